//! The input document.

use jiff::civil::date;
use serde_json::{Value as Json, json};

use super::*;
use crate::decide::tests::{asked, read, search};
use crate::fhir::json::Tape;
use crate::fhir::name::ResourceType;

/// Everything that a question is made of, owned.
#[derive(Clone)]
struct Made {
    id: &'static str,
    organization: &'static str,
    purpose: &'static str,
    attributes: BTreeMap<String, String>,
    scopes: Vec<ScopeGrant<'static>>,
    interaction: Interaction,
    patients: Vec<Id>,
    facts: Facts,
    lookback: LookBack,
    today: Date,
}

impl Made {
    fn shape(&self) -> Option<Vec<u8>> {
        let caller = Caller {
            id: self.id,
            organization: self.organization,
            purpose: self.purpose,
            scopes: &self.scopes,
            attributes: &self.attributes,
        };
        shape(&Question {
            caller: &caller,
            interaction: &self.interaction,
            patients: &self.patients,
            facts: &self.facts,
            lookback: &self.lookback,
            today: self.today,
        })
    }

    fn json(&self) -> Json {
        let bytes = self.shape().unwrap();
        Tape::new().read(&bytes).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }
}

const QUERY: &str = "patient=p1&category=http://c|lab,vital-signs&code:not=x&date=ge2024&value-quantity=gt5.4||mg&_include=Observation:performer:Practitioner&_elements=code,status&_count=5";

fn made() -> Made {
    let day = |year, month, day| Some(date(year, month, day));
    let id = Id::parse("p1").unwrap();
    let known = PatientFacts {
        coverage: vec![CoverageFact {
            status: "active".into(),
            payor_references: vec!["Organization/a".into()],
            payor_identifiers: vec!["naic|1".into()],
            subscriber_id: Some("S\"1".into()),
            types: vec!["t|1".into()],
            start: day(2024, 1, 1),
            end: day(2024, 12, 31),
        }],
        consents: vec![ConsentFact {
            status: "active".into(),
            scope: vec!["s|privacy".into()],
            category: vec!["l|1".into()],
            date: day(2024, 1, 1),
            policy: vec!["urn:p".into()],
            supported: true,
            provisions: vec![Provision {
                level: 0,
                decision: "deny".into(),
                start: day(2024, 1, 1),
                end: day(2025, 1, 1),
                actors: vec!["Organization/a".into()],
                actions: vec!["a|1".into()],
                labels: vec!["l|PSY".into()],
                purposes: vec!["p|HPAYMT".into()],
                classes: vec!["c|1".into()],
                codes: vec!["c|2".into()],
                data_start: day(2023, 1, 1),
                data_end: day(2023, 2, 1),
            }],
        }],
        roster: vec![Membership {
            roster: "payer-a".into(),
            member_id: "M1".into(),
            start: day(2024, 1, 1),
            end: None,
        }],
    };
    Made {
        id: "client",
        organization: "payer-a",
        purpose: "HPAYMT",
        attributes: BTreeMap::from([("kind".to_owned(), "health-plan".to_owned())]),
        scopes: vec![ScopeGrant {
            resource_type: ResourceType::parse("Observation").ok(),
            read: true,
            search: true,
            constraint: Some("category=laboratory"),
        }],
        interaction: search("Observation", QUERY),
        patients: vec![id.clone()],
        facts: Facts { patients: BTreeMap::from([(id, known)]) },
        lookback: LookBack::parse(["P12M", "P90D"]).unwrap(),
        today: date(2026, 11, 23),
    }
}

#[test]
fn everything_is_typed_and_in_one_order() {
    let made = made();
    let json = made.json();
    assert_eq!(
        json["client"],
        json!({"id":"client","organization":"payer-a","purpose":"HPAYMT","attributes":{"kind":"health-plan"}})
    );
    assert_eq!(
        json["scopes"],
        json!([{"type":"Observation","read":true,"search":true,"constraint":"category=laboratory"}])
    );
    assert_eq!(json["time"], json!({"today":"2026-11-23","back":{"P12M":"2025-11-23","P90D":"2026-08-25"}}));
    let request = &json["request"];
    assert_eq!(request["interaction"], "search-type");
    assert_eq!(request["elements"], json!(["code", "status"]));
    assert_eq!(
        request["includes"],
        json!([{"direction":"_include","source":"Observation","parameter":"performer","target":"Practitioner"}])
    );
    assert_eq!(
        request["parameters"],
        json!([
            {"name":"patient","values":[{"type":"Patient","id":"p1"}]},
            {"name":"category","values":[{"system":"http://c","code":"lab"},{"code":"vital-signs"}]},
            {"name":"code","modifier":"not","values":[{"code":"x"}]},
            {"name":"date","values":[{"prefix":"ge","text":"2024","start":"2024-01-01T00:00:00Z","end":"2025-01-01T00:00:00Z"}]},
            {"name":"value-quantity","values":[{"prefix":"gt","text":"5.4||mg"}]}
        ])
    );
    let facts = &json["facts"]["patients"]["p1"];
    assert_eq!(facts["coverage"][0]["subscriber_id"], "S\"1");
    assert_eq!(facts["consents"][0]["provisions"][0]["type"], "deny");
    assert_eq!(facts["roster"][0], json!({"roster":"payer-a","member_id":"M1","start":"2024-01-01"}));
    assert_eq!(made.shape(), made.clone().shape());
}

#[test]
fn a_read_carries_its_id_and_a_page_is_its_search() {
    let reads = Made { interaction: read("Observation", "o1"), ..made() };
    assert_eq!(reads.json()["request"]["id"], "o1");
    let base = made().json();
    assert!(base["request"].get("id").is_none());
    let counted = Made { interaction: search("Observation", "_summary=count"), ..made() };
    assert_eq!(counted.json()["request"]["count_only"], true);
    assert_eq!(asked(&["Observation"], Some("_summary=count")).code(), "search-type");
}

/// Every leaf, changed or removed, must change the bytes: they are the key of the decision cache.
#[test]
fn every_part_of_a_question_changes_the_document() {
    let base = made().shape().unwrap();
    let mut variants: Vec<Made> = Vec::new();
    let mut vary = |change: &dyn Fn(&mut Made)| {
        let mut variant = made();
        change(&mut variant);
        variants.push(variant);
    };
    let p1 = || Id::parse("p1").unwrap();
    vary(&|made| made.id = "other");
    vary(&|made| made.organization = "other");
    vary(&|made| made.purpose = "TREAT");
    vary(&|made| made.attributes = BTreeMap::new());
    vary(&|made| made.scopes[0].read = false);
    vary(&|made| made.scopes[0].search = false);
    vary(&|made| made.scopes[0].constraint = None);
    vary(&|made| made.scopes[0].resource_type = None);
    vary(&|made| made.scopes.clear());
    vary(&|made| made.patients.clear());
    vary(&|made| made.today = date(2026, 11, 24));
    vary(&|made| made.lookback = LookBack::parse(["P12M"]).unwrap());
    vary(&|made| made.facts.patients.clear());
    for query in [
        "patient=p2",
        "patient=p1",
        &QUERY.replace("lab,", ""),
        &QUERY.replace("code:not", "code"),
        &QUERY.replace("ge2024", "gt2024"),
        &QUERY.replace("2024", "2025"),
        &QUERY.replace("||mg", "||g"),
        &QUERY.replace("_include", "_revinclude"),
        &QUERY.replace(":Practitioner", ""),
        &QUERY.replace(",status", ""),
        &QUERY.replace("_count=5", "_count=0"),
    ] {
        vary(&|made| made.interaction = search("Observation", query));
    }
    vary(&|made| made.interaction = read("Observation", "o1"));
    vary(&|made| made.interaction = read("Observation", "o2"));
    vary(&|made| made.interaction = read("Condition", "o1"));
    type Change = fn(&mut PatientFacts);
    let changes: &[Change] = &[
        |known| known.coverage.clear(),
        |known| known.coverage[0].status = "cancelled".into(),
        |known| known.coverage[0].payor_references.clear(),
        |known| known.coverage[0].payor_identifiers.clear(),
        |known| known.coverage[0].subscriber_id = None,
        |known| known.coverage[0].types.clear(),
        |known| known.coverage[0].start = None,
        |known| known.coverage[0].end = None,
        |known| known.consents.clear(),
        |known| known.consents[0].status = "inactive".into(),
        |known| known.consents[0].scope.clear(),
        |known| known.consents[0].category.clear(),
        |known| known.consents[0].date = None,
        |known| known.consents[0].policy.clear(),
        |known| known.consents[0].supported = false,
        |known| known.consents[0].provisions.clear(),
        |known| known.consents[0].provisions[0].level = 1,
        |known| known.consents[0].provisions[0].decision = "permit".into(),
        |known| known.consents[0].provisions[0].start = None,
        |known| known.consents[0].provisions[0].end = None,
        |known| known.consents[0].provisions[0].actors.clear(),
        |known| known.consents[0].provisions[0].actions.clear(),
        |known| known.consents[0].provisions[0].labels.clear(),
        |known| known.consents[0].provisions[0].purposes.clear(),
        |known| known.consents[0].provisions[0].classes.clear(),
        |known| known.consents[0].provisions[0].codes.clear(),
        |known| known.consents[0].provisions[0].data_start = None,
        |known| known.consents[0].provisions[0].data_end = None,
        |known| known.roster.clear(),
        |known| known.roster[0].roster = "payer-b".into(),
        |known| known.roster[0].member_id = "M2".into(),
        |known| known.roster[0].start = None,
        |known| known.roster[0].end = Some(date(2027, 1, 1)),
    ];
    for change in changes {
        vary(&|made| change(made.facts.patients.get_mut(&p1()).unwrap()));
    }
    let mut seen = std::collections::BTreeSet::from([base]);
    for (at, variant) in variants.iter().enumerate() {
        assert!(seen.insert(variant.shape().unwrap()), "variant {at} is not told apart");
    }
}

#[test]
fn nothing_is_left_out_of_the_published_schema() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/schema/input.json");
    let schema: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for variant in [made(), Made { interaction: read("Observation", "o1"), ..made() }] {
        conforms(&variant.json(), &schema, "input");
    }
    let stranger: Json = serde_json::from_str(super::super::policy::STRANGER).unwrap();
    conforms(&stranger, &schema, "stranger");
}

/// The part of JSON Schema that the schema uses: types, properties, required, additionalProperties, items.
fn conforms(value: &Json, schema: &Json, place: &str) {
    match schema["type"].as_str().unwrap() {
        "string" => assert!(value.is_string(), "{place}"),
        "boolean" => assert!(value.is_boolean(), "{place}"),
        "integer" => assert!(value.is_u64(), "{place}"),
        "array" => value
            .as_array()
            .unwrap_or_else(|| panic!("{place}"))
            .iter()
            .for_each(|item| conforms(item, &schema["items"], place)),
        _ => {
            let members = value.as_object().unwrap_or_else(|| panic!("{place}"));
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(members.contains_key(name.as_str().unwrap()), "{place}: {name} is missing");
            }
            for (name, member) in members {
                let place = format!("{place}.{name}");
                match schema["properties"].get(name) {
                    Some(schema) => conforms(member, schema, &place),
                    None if schema["additionalProperties"].is_object() => {
                        conforms(member, &schema["additionalProperties"], &place);
                    }
                    None => panic!("{place} is not in the schema"),
                }
            }
        }
    }
}

#[test]
fn strings_cannot_break_out_of_the_document() {
    let nasty = "\"},\"scopes\":[{\"type\":\"*\"}],\"x\":{\"\\\n\u{1}";
    let attributes = BTreeMap::from([(nasty.to_owned(), nasty.to_owned())]);
    let bytes = Made { attributes, ..made() }.shape().unwrap();
    let json: Json = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(json["client"]["attributes"][nasty], nasty);
    assert_eq!(json["scopes"].as_array().unwrap().len(), 1);
}

#[test]
fn a_document_beyond_the_limit_is_not_written() {
    let mut large = made();
    let value = "x".repeat(limits::POLICY_INPUT_BYTES - large.shape().unwrap().len() - r#","k":"""#.len());
    large.attributes.insert("k".to_owned(), value.clone());
    assert_eq!(large.shape().unwrap().len(), limits::POLICY_INPUT_BYTES);
    large.attributes.insert("k".to_owned(), format!("{value}x"));
    assert!(large.shape().is_none());
}

#[test]
fn looking_back_is_calendar_arithmetic() {
    let back =
        |text, today| LookBack::parse([text]).unwrap().days(today).map(|(_, day)| day.to_string()).collect::<String>();
    assert_eq!(back("P12M", date(2024, 2, 29)), "2023-02-28");
    assert_eq!(back("P1M", date(2026, 3, 31)), "2026-02-28");
    assert_eq!(back("P2W", date(2026, 1, 3)), "2025-12-20");
    assert_eq!(back("P100Y", date(2026, 11, 23)), "1926-11-23");
    for bad in ["", "P", "12M", "P12", "PM", "P-1M", "P1H", "PT1H", "P1M1D", "P1.5M", "P101Y", "P999999D"] {
        assert!(LookBack::parse([bad]).is_none(), "{bad}");
    }
}
