//! What the gateway says of what it did: of released records only, and the same whatever was withheld.

use super::*;
use crate::clock::Now;
use crate::config::Organization;
use crate::fhir::json::Value;
use crate::id::Token128;
use crate::limits;

/// Chooses among Observations, reduces them; Encounters leave as they are, all of them.
const DECISION: &str = r#"{"allow":true,"reasons":[{"code":"c","text":"t","basis":"b"}],"patients":["p1"],
    "types":{"Observation":{"where":["category=laboratory"],"elements":["status","category","code"]},
             "Encounter":{"elements":["*"]},"Provenance":{"elements":["*"]}},
    "withhold_labels":[],"includes":["Provenance:target"],"provenance":"asked"}"#;

const ASKED: &str = "Observation?patient=p1&_revinclude=Provenance:target";

fn stated_in(size: usize, asked: &str, decision: &str, resources: &[String]) -> String {
    let organization =
        Organization { system: "urn:s".to_owned(), value: "\"7\"".to_owned(), name: "A \"B\"".to_owned() };
    let now = Now::at("2026-11-27T12:00:00Z".parse().unwrap());
    let assembler =
        Assembler { organization: &organization, purpose: "HPAYMT", now, seed: Token128::from_bytes([7; 16]) };
    let question = question(asked, decision);
    let resources: Vec<&str> = resources.iter().map(String::as_str).collect();
    let mut filter = BundleFilter::new(&question, BASES).paged().stating(Some(assembler));
    let mut out = Vec::new();
    for piece in bundle(&resources).as_bytes().chunks(size) {
        filter.feed(piece).unwrap();
        if size < 1_000 {
            out.extend(filter.take_output().as_bytes());
        }
    }
    filter.end().unwrap();
    if size >= 1_000 && filter.leads_to_withheld() {
        filter = filter.again();
        filter.feed(bundle(&resources).as_bytes()).unwrap();
        filter.end().unwrap();
    }
    out.extend(filter.close("self", None).0.as_bytes());
    String::from_utf8(out).unwrap()
}

#[test]
fn what_it_takes_is_known_before_it_is_written() {
    let organization = Organization { system: "urn:s".to_owned(), value: "7".to_owned(), name: "A".to_owned() };
    let now = Now::at("2026-11-27T12:00:00Z".parse().unwrap());
    let question = question(ASKED, DECISION);
    for count in [1, 50, limits::PROVENANCE_TARGETS - 1] {
        let assembler =
            Assembler { organization: &organization, purpose: "HPAYMT", now, seed: Token128::from_bytes([7; 16]) };
        let labs: Vec<String> = (0..count).map(|at| lab(&format!("o{at}"), "p1", "")).collect();
        let mut filter = BundleFilter::new(&question, BASES).stating(Some(assembler));
        filter.feed(bundle(&labs.iter().map(String::as_str).collect::<Vec<_>>()).as_bytes()).unwrap();
        filter.end().unwrap();
        let known = filter.whole_len();
        let text = String::from_utf8(filter.close("self", None).0.as_bytes().to_vec()).unwrap();
        let taken = text.rfind(",\"link\"").unwrap() - 20;
        assert!(taken <= known && known <= taken + 3_000 + taken / 20, "{count}: {taken} of {known}");
    }
}

fn stated(asked: &str, decision: &str, resources: &[String]) -> String {
    stated_in(usize::MAX, asked, decision, resources)
}

/// By activity: the targets and the sources of each Provenance of the gateway's own.
fn own(text: &str) -> Vec<(String, Vec<String>, Vec<String>)> {
    let mut tape = Tape::new();
    let root = tape.read(text.as_bytes()).unwrap().root();
    let text_of = |value: Value<'_>, path: &[&str]| {
        let found = path.iter().try_fold(value, |value, step| {
            if value.kind() == crate::fhir::json::Kind::Array {
                value.items().next()?.get(step)
            } else {
                value.get(step)
            }
        });
        found.and_then(Value::text).unwrap_or_default().into_owned()
    };
    let entries = root.get("entry").into_iter().flat_map(Value::items);
    let ours = entries.filter(|entry| text_of(*entry, &["fullUrl"]).starts_with("urn:uuid:"));
    ours.map(|entry| {
        assert_eq!(text_of(entry, &["search", "mode"]), "include");
        let resource = entry.get("resource").unwrap();
        assert_eq!(text_of(entry, &["fullUrl"]), format!("urn:uuid:{}", text_of(resource, &["id"])));
        let all = |name: &str, path: &[&str]| {
            resource.get(name).into_iter().flat_map(Value::items).map(|one| text_of(one, path)).collect()
        };
        let code = text_of(resource, &["activity", "coding", "code"]);
        (code, all("target", &["reference"]), all("entity", &["what", "reference"]))
    })
    .collect()
}

fn expected(code: &str, targets: &[&str], version: &str) -> (String, Vec<String>, Vec<String>) {
    let target = |name: &&str| format!("https://gw/fhir/{name}");
    let source = |name: &&str| format!("https://gw/fhir/{name}{version}");
    (code.to_owned(), targets.iter().map(target).collect(), targets.iter().map(source).collect())
}

#[test]
fn it_is_said_where_it_is_asked_for_and_the_decision_wants_it_said() {
    let labs = [lab("a", "p1", ""), lab("b", "p1", "")];
    let both = [
        expected("narrowed", &["Observation/a", "Observation/b"], "/_history/2"),
        expected("redacted", &["Observation/a", "Observation/b"], "/_history/2"),
    ];
    let always = DECISION.replace("\"asked\"", "\"always\"");
    let never = DECISION.replace(",\"provenance\":\"asked\"", "");
    let without_type = always.replace(",\"Provenance\":{\"elements\":[\"*\"]}", "");
    for (asked, decision, said) in [
        (ASKED, DECISION, true),
        ("Observation?patient=p1", DECISION, false),
        ("Observation?patient=p1", &always, true),
        (ASKED, &never, false),
        ("Observation?patient=p1", &without_type, false),
    ] {
        let text = stated(asked, decision, &labs);
        assert_eq!(own(&text), if said { &both[..] } else { &[] }, "{asked} {decision}");
    }
    // What was neither chosen nor reduced has nothing to be said of.
    let encounter = r#"{"resourceType":"Encounter","id":"e","status":"finished","subject":{"reference":"Patient/p1"}}"#;
    assert_eq!(own(&stated("Encounter?patient=p1", &always, &[encounter.to_owned()])), []);
    // Nor has an answer that only counts, or that holds nothing.
    assert_eq!(own(&stated("Observation?patient=p1&_summary=count", &always, &labs)), []);
    assert_eq!(own(&stated(ASKED, DECISION, &[lab("a", "p2", "")])), []);
}

#[test]
fn what_is_withheld_changes_nothing_of_what_is_said() {
    let hidden = [lab("x", "p2", ""), lab("y", "p1", "").replace("laboratory", "survey")];
    let labs = [lab("a", "p1", ""), lab("b", "p1", "")];
    let alone = stated(ASKED, DECISION, &labs);
    for at in 0..=2 {
        let mut all = labs.to_vec();
        all.splice(at..at, hidden.iter().cloned());
        assert_eq!(stated(ASKED, DECISION, &all), alone);
    }
    // A decision that chooses says so although there was nothing to leave out.
    assert_eq!(own(&alone)[0].0, "narrowed");
}

#[test]
fn a_reference_that_was_cut_from_what_the_client_itself_reduced_is_not_told_of() {
    let decision = DECISION
        .replace("[\"status\",\"category\",\"code\"]", "[\"*\"]")
        .replace("\"where\":[\"category=laboratory\"],", "");
    let led = lab("a", "p1", r#","encounter":{"reference":"Encounter/x"}"#);
    let hidden = r#"{"resourceType":"Encounter","id":"x","status":"finished","subject":{"reference":"Patient/p2"}}"#;
    let all = [led.clone(), hidden.to_owned()];
    let reduced = format!("{ASKED}&_elements=status");
    assert_eq!(own(&stated(&reduced, &decision, &all)), []);
    // Without that, the tag tells of it, and so may the Provenance.
    let text = stated(ASKED, &decision, &all);
    assert!(text.contains("SUBSETTED") && !text.contains("Encounter/x"), "{text}");
    assert_eq!(own(&text), [expected("redacted", &["Observation/a"], "/_history/2")]);
    assert_eq!(own(&stated(ASKED, &decision, &[led])), []);
}

#[test]
fn nobody_elses_provenance_is_touched_and_each_text_is_written_as_json() {
    let other = r#"{"resourceType":"Provenance","id":"v","target":[{"reference":"Observation/a"}],"recorded":"2024-01-01T00:00:00Z","agent":[{"who":{"reference":"Practitioner/d"}}]}"#;
    let text = stated(ASKED, DECISION, &[lab("a", "p1", ""), other.to_owned()]);
    assert!(text.contains(other), "{text}");
    let named = r#""identifier":[{"system":"urn:s","value":"\"7\""}],"name":"A \"B\"""#;
    assert_eq!(text.matches(named).count(), 2, "{text}");
    assert_eq!(text.matches("\"recorded\":\"2026-11-27T12:00:00.000Z\"").count(), 2);
    let revision = question(ASKED, DECISION).permit().revision().to_string();
    assert_eq!(text.matches(&format!("\"policy\":[\"urn:portcullis:policy:{revision}\"]")).count(), 2);
}

#[test]
fn no_provenance_has_more_targets_than_are_read_in_pieces_and_in_any_order() {
    let count = limits::PROVENANCE_TARGETS + 3;
    let labs: Vec<String> = (0..count)
        .map(|at| {
            lab(&format!("o{at}"), "p1", "").replace("2024-05-01", if at == 5 { "2030-01-01" } else { "2024-05-01" })
        })
        .collect();
    for (size, asked) in
        [(usize::MAX, ASKED.to_owned()), (500, ASKED.to_owned()), (usize::MAX, format!("{ASKED}&_sort=-date"))]
    {
        let decision = DECISION.replace("\"code\"]", "\"code\",\"effective[x]\"]");
        let text = stated_in(size, &asked, &decision, &labs);
        let said = own(&text);
        assert_eq!(said.len(), 4, "{size} {asked}");
        for code in ["narrowed", "redacted"] {
            let mut targets: Vec<&String> = said.iter().filter(|one| one.0 == code).flat_map(|one| &one.1).collect();
            assert!(said.iter().all(|one| one.1.len() <= limits::PROVENANCE_TARGETS));
            targets.sort();
            targets.dedup();
            assert_eq!(targets.len(), count);
        }
        if asked.contains("_sort") {
            let (late, early) = (text.find("\"id\":\"o5\"").unwrap(), text.find("\"id\":\"o1\"").unwrap());
            assert!(late < early, "sorted");
        }
    }
}
