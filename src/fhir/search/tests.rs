use super::*;
use crate::fhir::json::Tape;
use crate::fhir::name::ResourceType;

const BASES: &[&str] = &["http://ehr/fhir"];

fn criterion(resource_type: &str, key: &str, value: &str) -> Result<Criterion, SearchError> {
    Criterion::parse(ResourceType::parse(resource_type).unwrap(), key, value, BASES)
}

fn matches(resource_type: &str, query: &str, resource: &str) -> bool {
    let (key, value) = query.split_once('=').unwrap();
    let mut tape = Tape::new();
    let root = tape.read(resource.as_bytes()).unwrap().root();
    criterion(resource_type, key, value).unwrap().matches(root, BASES)
}

/// (type, resource, queries that match, queries that do not)
type Row = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const ROWS: &[Row] = &[
    (
        "QuestionnaireResponse",
        r#"{"resourceType":"QuestionnaireResponse","questionnaire":"http://forms/q|1.0"}"#,
        &["questionnaire=http://forms/q", "questionnaire=http://forms/q|1.0", "questionnaire=http://x,http://forms/q"],
        &["questionnaire=http://forms", "questionnaire=http://forms/q|1", "questionnaire=Questionnaire/q"],
    ),
    (
        "Observation",
        r#"{"resourceType":"Observation","id":"o1","status":"final",
            "category":[{"coding":[{"system":"http://c","code":"laboratory"}]},{"coding":[{"code":"local"}]}],
            "subject":{"reference":"Patient/p1"},"encounter":{"reference":"http://ehr/fhir/Encounter/e1"}}"#,
        &[
            "category=laboratory",
            "category=http://c|laboratory",
            "category=x,laboratory",
            "category=http://c|",
            "category=|local",
            "status=final",
            "_id=o1",
            "patient=p1",
            "patient=Patient/p1",
            "patient=http://ehr/fhir/Patient/p1",
            "subject=p1",
            "subject:Patient=p1",
            "patient=p2,p1",
            "encounter=e1",
            "category:not=vital-signs",
            "code:not=x",
        ],
        &[
            "category=Laboratory",
            "category=http://d|laboratory",
            "category=|laboratory",
            "category=lab",
            "status=prelim",
            "_id=o",
            "patient=p10",
            "subject:Group=p1",
            "subject=Group/p1",
            "encounter=e2",
            "category:not=laboratory",
            "code=x",
        ],
    ),
    (
        "Observation",
        r#"{"effectiveDateTime":"2024-03-15","valueQuantity":{"value":6.30,"unit":"%","system":"http://u","code":"pct"}}"#,
        &[
            "date=2024-03-15",
            "date=2024",
            "date=ge2024-03-15",
            "date=le2024-03-15",
            "date=gt2024-03-14",
            "date=lt2024-03-16",
            "date=ge2024",
            "date=sa2024-03-14",
            "date=eb2024-03-16",
            "date=ne2024-03-14",
            "value-quantity=6.3",
            "value-quantity=6.30|http://u|pct",
            "value-quantity=gt6.2",
            "value-quantity=6||%",
            "value-quantity=le6.3",
        ],
        &[
            "date=2024-03-14",
            "date=gt2024-03-15",
            "date=lt2024-03-15",
            "date=ge2024-03-16",
            "date=le2024-03-14",
            "date=ne2024",
            "date=sa2024",
            "date=eb2024",
            "value-quantity=6.4",
            "value-quantity=6.30|http://v|pct",
            "value-quantity=lt6.3",
            "value-quantity=7",
        ],
    ),
    (
        "Observation",
        r#"{"effectivePeriod":{"start":"2023-12-20","end":"2024-01-10"}}"#,
        &["date=ge2024-01-01", "date=lt2024", "date=le2023-12-31", "date=gt2024-01-09", "date=ge2024-01-10"],
        &["date=2024", "date=2023", "date=gt2024-01-10", "date=sa2023-12-31", "date=eb2024-01-05"],
    ),
    (
        "Observation",
        r#"{"effectivePeriod":{"start":"2023-12-20"}}"#,
        &["date=ge2024-01-01", "date=gt2040", "date=lt2024"],
        &["date=2024", "date=eb2050", "date=le2022"],
    ),
    (
        "Observation",
        r#"{"effectivePeriod":{"start":1990,"end":"2024-01-10"},"category":[{"coding":[{"code":"a"}]},{"coding":[{"code":7}]}],
            "code":{"coding":{"system":"http://c","code":"x"}}}"#,
        &["category=a"],
        &["date=lt2024-06-01", "date=ge1990", "category:not=b", "code:not=y"],
    ),
    ("Observation", r#"{"code":null}"#, &["category:not=x"], &["code:not=x"]),
    ("Observation", r#"{"code":{"coding":[["x"]]}}"#, &[], &["code:not=x"]),
    ("Observation", r#"{"code":{"text":"x"},"status":"final"}"#, &["code:not=x", "status:not=amended"], &["code=x"]),
    ("Observation", r#"{"status":"final"}"#, &["code:not=x"], &["date=ge1900", "date=lt2100", "patient=p1"]),
    (
        "Patient",
        r#"{"id":"p1","active":true,"gender":"female","birthDate":"1971-03-17","name":[{"family":"Müller-Lüdenscheidt","given":["Eva","Maria"]}],
            "identifier":[{"system":"http://mrn","value":"A,1"}],"telecom":[{"system":"phone","value":"555"},{"system":"email","value":"e@x"}]}"#,
        &[
            "family=mull",
            "family=MÜLLER",
            "family:exact=Müller-Lüdenscheidt",
            "family:contains=denscheidt",
            "name=eva",
            "given=maria",
            "birthdate=1971-03-17",
            "birthdate=1971",
            "gender=female",
            "gender=http://hl7.org/fhir/administrative-gender|female",
            "active=true",
            "identifier=http://mrn|A\\,1",
            "identifier=A\\,1",
            "phone=555",
            "email=e@x",
            "telecom=555",
            "identifier=http://mrn|",
        ],
        &[
            "family=denscheidt",
            "family:exact=Müller",
            "given=mar ia",
            "birthdate=1972",
            "gender=http://hl7.org/fhir/administrative-gender|male",
            "gender:not=http://hl7.org/fhir/administrative-gender|female",
            "active=false",
            "identifier=A",
            "phone=e@x",
            "identifier=|A\\,1",
        ],
    ),
    (
        "Condition",
        r#"{"onsetDateTime":"2024-05-01T10:00:00Z","clinicalStatus":{"coding":[{"code":"active"}]},"recordedDate":"2024-05"}"#,
        &[
            "onset-date=2024-05-01",
            "clinical-status=active,recurrence",
            "recorded-date=ge2024-05-31",
            "recorded-date=2024-05",
        ],
        &[
            "onset-date=2024-05-02",
            "clinical-status=resolved",
            "recorded-date=2024-05-31",
            "recorded-date=gt2024-05-31",
        ],
    ),
    (
        "RiskAssessment",
        r#"{"prediction":[{"probabilityDecimal":0.8}]}"#,
        &["probability=0.8", "probability=gt0.7", "probability=1"],
        &["probability=0.81", "probability=lt0.8"],
    ),
];

#[test]
fn both_sides_of_every_comparison() {
    for (resource_type, resource, yes, no) in ROWS {
        for query in *yes {
            assert!(matches(resource_type, query, resource), "{query} should match {resource}");
        }
        for query in *no {
            assert!(!matches(resource_type, query, resource), "{query} should not match {resource}");
        }
    }
}

#[test]
fn what_is_written_back_reads_the_same() {
    for (resource_type, _, yes, no) in ROWS {
        for query in yes.iter().chain(*no) {
            let (key, value) = query.split_once('=').unwrap();
            let Ok(first) = criterion(resource_type, key, value) else { continue };
            let second = criterion(resource_type, &first.key(), &first.value()).unwrap();
            assert_eq!(first.operands(), second.operands(), "{query}");
            assert_eq!(first.modifier(), second.modifier());
        }
    }
}

#[test]
fn refuses_by_name() {
    type Check = fn(&SearchError) -> bool;
    let rows: &[(&str, &str, &str, Check)] = &[
        ("Observation", "foo", "1", |error| matches!(error, SearchError::Parameter(name) if &**name == "foo")),
        ("Observation", "PATIENT", "p1", |error| matches!(error, SearchError::Parameter(_))),
        ("Observation", "_filter", "x", |error| matches!(error, SearchError::Parameter(_))),
        ("Observation", "code-value-quantity", "x$1", |error| matches!(error, SearchError::Parameter(_))),
        ("Observation", "patient:missing", "true", |error| matches!(error, SearchError::Modifier(..))),
        ("Observation", "patient:identifier", "x", |error| matches!(error, SearchError::Modifier(..))),
        ("Observation", "code:in", "x", |error| matches!(error, SearchError::Modifier(..))),
        ("Observation", "patient:", "p1", |error| matches!(error, SearchError::Modifier(..))),
        ("Observation", "patient:Observation", "p1", |error| matches!(error, SearchError::Modifier(..))),
        ("Observation", "subject:Patient.name", "x", |error| matches!(error, SearchError::Chain(_))),
        ("Observation", "patient.name", "x", |error| matches!(error, SearchError::Chain(_))),
        ("Observation", "patient", "", |error| matches!(error, SearchError::Value(..))),
        ("Observation", "patient", "p1,", |error| matches!(error, SearchError::Value(..))),
        ("Observation", "patient", "http://other/fhir/Patient/p1", |error| matches!(error, SearchError::Value(..))),
        ("Observation", "patient", "Group/g1", |error| matches!(error, SearchError::Value(..))),
        ("Observation", "patient", "p1\\,p2", |error| matches!(error, SearchError::Value(..))),
        ("Observation", "date", ">=2020-01-01", |error| matches!(error, SearchError::Value(..))),
        ("Observation", "date", "ap2020", |error| matches!(error, SearchError::Value(..))),
        ("Observation", "date", "garbage", |error| matches!(error, SearchError::Value(..))),
        ("Observation", "value-quantity", "6.3|", |error| matches!(error, SearchError::Value(..))),
        ("Observation", "code", "a|b|c", |error| matches!(error, SearchError::Value(..))),
        ("Observation", "code", "|", |error| matches!(error, SearchError::Value(..))),
        ("Observation", "code", "a\\b", |error| matches!(error, SearchError::Value(..))),
    ];
    for (resource_type, key, value, check) in rows {
        let error = criterion(resource_type, key, value).unwrap_err();
        assert!(check(&error), "{key}={value}: {error}");
    }
    let long = vec!["x"; crate::limits::SEARCH_VALUES + 1].join(",");
    assert!(matches!(criterion("Observation", "code", &long).unwrap_err(), SearchError::Limit(_)));
    assert!(criterion("Observation", "code", &vec!["x"; crate::limits::SEARCH_VALUES].join(",")).is_ok());
}
