//! The filter of searchsets: what leaves is JSON, is what the reference lets out, is the same in whatever pieces it came,
//! and holds nothing that was put where nothing leaves.

use std::sync::LazyLock;

use portcullis::fhir::json::{Kind, Tape};
use portcullis::fhir::name::Id;
use portcullis::filter::{Bases, BundleFilter, FilterError};
use portcullis::rewrite::{Question, rewrite};

use super::dom::Dom;
use super::reference::{Criterion, Decision, Leaving, Rule, Search, answer, reach};
use super::stage::{Decisions, EHR, GATEWAY, get};

const BASES: Bases<'static> = Bases { ehr: EHR, gateway: GATEWAY };

/// What is asked and permitted, for both filters.
#[derive(Debug)]
pub struct Case {
    decision: Decision,
    search: Search,
    question: Question,
}

impl Case {
    /// The question that this search is under this decision; `None` where it would not be asked.
    pub fn new(decision: Decision, search: Search) -> Option<Self> {
        let decisions = Decisions::load([("payer-a", decision.members().as_str())]);
        let interaction = get(&search.target()).unwrap_or_else(|error| panic!("{}: {error}", search.target()));
        let patients = [Id::parse(&search.patient).expect("an id")];
        let permit = decisions.permit("payer-a", &interaction, &patients)?;
        let question = rewrite(interaction, permit, &patients).ok()?.into_question();
        Some(Self { decision, search, question })
    }

    /// What the filter lets out of a searchset that comes in pieces of this size.
    pub fn filtered(&self, searchset: &[u8], size: usize) -> Result<String, FilterError> {
        let mut filter = fed(BundleFilter::new(&self.question, BASES), searchset, size)?;
        if filter.leads_to_withheld() {
            filter = fed(filter.again(), searchset, size)?;
        }
        let (out, _) = filter.close("https://gateway.example.org/fhir/self", None);
        Ok(String::from_utf8(out.as_bytes().to_vec()).expect("UTF-8"))
    }

    /// Compares what left with what the reference lets out; gives how many resources that is, or where they differ.
    pub fn compare(&self, searchset: &str, left: &str) -> Result<usize, String> {
        let sent = Dom::read(searchset).ok_or("what was sent is no JSON")?;
        let left = Dom::read(left).ok_or("what left is no JSON")?;
        let holds = |promise: bool, what: &str| if promise { Ok(()) } else { Err(format!("{what}: {left}")) };
        holds(!left.repeats_a_name(), "a name is repeated")?;
        let entries = sent.get("entry").map(Dom::items).unwrap_or_default();
        let resources: Vec<Dom> = entries.iter().filter_map(|entry| entry.get("resource").cloned()).collect();
        let expected = sorted(answer(&self.decision, &self.search, &resources));
        let entries = left.get("entry").map(Dom::items).unwrap_or_default();
        let found = sorted(entries.iter().map(leaving).collect::<Option<_>>().ok_or("an entry is not the gateway's")?);
        let matches = found.iter().filter(|leaving| leaving.mode == "match").count().to_string();
        holds(left.get("total").is_none_or(|total| total.to_string() == matches), "total")?;
        let known = |name: &str| ["resourceType", "type", "total", "link", "entry"].contains(&name);
        holds(left.members().iter().all(|(name, _)| known(name)), "members of the Bundle")?;
        for (found, expected) in found.iter().zip(&expected) {
            if found != expected {
                return Err(format!("\nfound    {found}\nexpected {expected}"));
            }
        }
        let first = expected.get(found.len()).or(found.get(expected.len()));
        first.map_or(Ok(found.len()), |first| Err(format!("{} left, not {}: {first}", found.len(), expected.len())))
    }

    fn lists_elements(&self) -> bool {
        self.decision.types.values().all(|rule| rule.elements.is_some())
    }
}

fn fed<'q>(mut filter: BundleFilter<'q>, searchset: &[u8], size: usize) -> Result<BundleFilter<'q>, FilterError> {
    searchset.chunks(size).try_for_each(|piece| filter.feed(piece))?;
    filter.end()?;
    Ok(filter)
}

fn leaving(entry: &Dom) -> Option<Leaving> {
    let resource = entry.get("resource")?.clone();
    let name = format!("{}/{}", resource.text_of("resourceType")?, resource.text_of("id")?);
    let mode = match entry.get("search")?.text_of("mode")? {
        "match" => "match",
        "include" => "include",
        _ => return None,
    };
    let is_own = entry.text_of("fullUrl") == Some(format!("{GATEWAY}/{name}").as_str());
    is_own.then_some(Leaving { name, mode, resource })
}

/// In an order of their own, members too: the filter's is not promised.
fn sorted(leaving: Vec<Leaving>) -> Vec<Leaving> {
    let mut leaving: Vec<Leaving> =
        leaving.into_iter().map(|one| Leaving { resource: by_name(one.resource), ..one }).collect();
    leaving.sort_by_key(|one| (one.name.clone(), one.mode, one.resource.to_string()));
    leaving
}

fn by_name(value: Dom) -> Dom {
    match value {
        Dom::Array(items) => Dom::Array(items.into_iter().map(by_name).collect()),
        Dom::Object(members) => {
            let mut members: Vec<_> = members.into_iter().map(|(name, value)| (name, by_name(value))).collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            Dom::Object(members)
        }
        other => other,
    }
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let decision = |types: &[(&str, Rule)]| Decision {
        patients: vec!["p1".to_owned(), "p3".to_owned()],
        types: types.iter().map(|(name, rule)| ((*name).to_owned(), rule.clone())).collect(),
        labels: vec![
            ("http://terminology.hl7.org/CodeSystem/v3-ActCode".to_owned(), Some("PSY".to_owned())),
            ("http://example.org/labels".to_owned(), None),
        ],
        includes: vec!["Observation:performer".to_owned(), "Provenance:target".to_owned()],
    };
    let of = |elements: &[&str], alternatives: Vec<Vec<Criterion>>| Rule {
        alternatives,
        elements: (elements != ["*"]).then(|| elements.iter().map(|name| (*name).to_owned()).collect()),
    };
    let token = |parameter, code: &str| Criterion::Token { parameter, values: vec![(None, code.to_owned())] };
    let laboratory = vec![vec![token("category", "laboratory"), Criterion::From("2024-01-01".parse().unwrap())]];
    let labs = decision(&[
        (
            "Observation",
            of(&["status", "code", "category", "subject", "performer", "value[x]", "effective[x]"], laboratory),
        ),
        ("Practitioner", of(&["name.family"], vec![])),
        ("Provenance", of(&["target", "recorded"], vec![])),
    ]);
    let whole = decision(&[
        ("Observation", of(&["*"], vec![])),
        ("Practitioner", of(&["*"], vec![])),
        ("Provenance", of(&["*"], vec![])),
    ]);
    let people = decision(&[("Patient", of(&["identifier", "name.family", "name.given", "birthDate"], vec![]))]);
    let visits = decision(&[(
        "Encounter",
        of(
            &["status", "class.code", "type.coding.code", "period", "subject.reference"],
            vec![vec![token("status", "finished")], vec![Criterion::Before("2020-01-01".parse().unwrap())]],
        ),
    )]);
    let search = |resource_type: &str| Search {
        resource_type: resource_type.to_owned(),
        patient: "p1".to_owned(),
        ..Search::default()
    };
    let all = Search { performers: true, provenance: true, ..search("Observation") };
    let coded = Search { criteria: vec![token("code", "4548-4")], ..search("Observation") };
    [
        (labs.clone(), all.clone()),
        (labs, coded.clone()),
        (whole.clone(), all),
        (whole, coded),
        (people, search("Patient")),
        (visits, search("Encounter")),
    ]
    .into_iter()
    .map(|(decision, search)| Case::new(decision, search).expect("a question"))
    .collect()
});

/// The first byte chooses what is asked, the second the pieces in which the answer comes; the rest is a searchset, or one
/// resource of it where the second byte is odd.
pub fn run(data: &[u8]) {
    let [first, second, body @ ..] = data else { return };
    let case = &CASES[usize::from(*first) % CASES.len()];
    let size = 1 + usize::from(second >> 1) * 3;
    if second % 2 == 0 {
        both(case, body, size);
    } else if case.lists_elements() {
        hidden(case, body, size);
    }
}

fn both(case: &Case, searchset: &[u8], size: usize) {
    let whole = case.filtered(searchset, usize::MAX);
    let pieces = case.filtered(searchset, size);
    assert_eq!(whole.as_ref().ok(), pieces.as_ref().ok());
    let Ok(left) = whole else { return };
    let text = std::str::from_utf8(searchset).expect("what is accepted is UTF-8");
    Tape::new().read(left.as_bytes()).expect("what leaves can be read");
    if !beyond_the_reference(searchset) && !names_twice(text) {
        case.compare(text, &left).unwrap_or_else(|difference| panic!("{difference}"));
    }
}

/// Whether two entries are one resource: what comes along does so once, and which of the two that is hangs on the order.
fn names_twice(searchset: &str) -> bool {
    let Some(sent) = Dom::read(searchset) else { return true };
    let entries = sent.get("entry").map(Dom::items).unwrap_or_default();
    let resources = entries.iter().filter_map(|entry| entry.get("resource"));
    let mut names: Vec<_> =
        resources.filter_map(|resource| Some((resource.text_of("resourceType")?, resource.text_of("id")?))).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    names.len() < all
}

/// What the reference has no rules for: resources in resources, and times that are not where and as FHIR has
/// them.
fn beyond_the_reference(searchset: &[u8]) -> bool {
    let mut tape = Tape::new();
    let Ok(document) = tape.read(searchset) else { return true };
    let entries = document.root().get("entry").map_or(0, |entries| entries.items().count());
    if document.root().traits().resources as usize > 1 + entries {
        return true;
    }
    document.root().below().any(|(name, value)| match name {
        Some("contained") => true,
        Some("effectiveDateTime" | "effectivePeriod" | "period" | "start" | "end") => {
            value.kind() != Kind::Object && value.text().is_none_or(|text| reach(&text).is_none())
        }
        Some(name) => name.starts_with("effective"),
        None => false,
    })
}

/// A resource with canaries in places of which none is listed, and another patient's beside it.
fn hidden(case: &Case, resource: &[u8], size: usize) {
    let mut tape = Tape::new();
    let Ok(document) = tape.read(resource) else { return };
    let text = document.text().trim();
    if document.root().kind() != Kind::Object || document.root().is_empty() || text.contains("CANARY") {
        return;
    }
    let open = &text[..text.len() - 1];
    let resource_type = case.search.resource_type.as_str();
    let searchset = format!(
        r##"{{"resourceType":"Bundle","id":"CANARY","type":"searchset","total":7,"meta":{{"source":"CANARY"}},
        "link":[{{"relation":"self","url":"http://ehr.example.org/r4/CANARY"}}],"entry":[
        {{"fullUrl":"http://ehr.example.org/r4/CANARY","id":"CANARY","resource":{text},"search":{{"mode":"match","CANARY":1}}}},
        {{"resource":{{"resourceType":"{resource_type}","id":"CANARY","subject":{{"reference":"Patient/p2"}}}}}},
        {{"resource":{{"resourceType":"Observation","id":"CANARY","status":"final"}}}},
        {{"resource":{open},"text":{{"div":"CANARY"}},"extension":[{{"url":"CANARY"}}],"_status":{{"id":"CANARY"}},
        "contained":[{{"resourceType":"Patient","id":"c","name":[{{"family":"CANARY"}}]}}],"CANARY":"CANARY"}}}}]}}"##
    );
    for size in [usize::MAX, size] {
        if let Ok(left) = case.filtered(searchset.as_bytes(), size) {
            assert!(Dom::read(&left).is_some(), "no JSON: {left}");
            assert!(!left.contains("CANARY"), "{left}");
        }
    }
}
