use super::*;
use crate::decide::testing::permit;
use crate::understand::testing::{interaction, page};

const ONE_PATIENT: &str = r#"{"allow":true,"reasons":[{"code":"c","text":"t","basis":"b"}],"patients":["p1"],
    "types":{"Observation":{"where":["category=laboratory&date=ge2024-01-01"],"elements":["status","code","category","effective[x]","name.family"]},
             "Patient":{"elements":["name.family","birthDate"]},"Provenance":{"elements":["*"]},"Practitioner":{"elements":["*"]}},
    "includes":["Observation:performer","Provenance:target"],"page_cap":50,"withhold_labels":[]}"#;

fn prepared(target: &str, decision: &str, about: &[&str]) -> Result<Prepared, RewriteError> {
    let about: Vec<Id> = about.iter().map(|id| Id::parse(id).unwrap()).collect();
    let interaction = interaction(target);
    let permit = permit(decision, &interaction);
    rewrite(interaction, permit, &about)
}

fn upstream(target: &str, decision: &str, about: &[&str]) -> String {
    prepared(target, decision, about).unwrap().target().to_owned()
}

#[test]
fn the_scope_is_composed_and_the_constraint_added_beside_what_the_client_asked() {
    for (asked, sent) in [
        (
            "Observation?patient=p1&category=vital-signs",
            "/Observation?patient=p1&category=vital-signs&category=laboratory&date=ge2024-01-01&_count=50",
        ),
        (
            "Observation?subject=Patient/p1&category=laboratory",
            "/Observation?patient=p1&category=laboratory&date=ge2024-01-01&_count=50",
        ),
        (
            "Observation?patient=p1,p2&_count=10",
            "/Observation?patient=p1&category=laboratory&date=ge2024-01-01&_count=10",
        ),
        (
            "Observation?subject:Patient=p1&_count=500",
            "/Observation?patient=p1&category=laboratory&date=ge2024-01-01&_count=50",
        ),
        ("Patient?_id=p1&family=x", "/Patient?_id=p1&family=x&_count=50"),
        ("Patient/p1", "/Patient/p1"),
        (
            "Observation?patient=p1&_include=Observation:performer&_revinclude=Provenance:target&_sort=-date&_elements=code",
            "/Observation?patient=p1&category=laboratory&date=ge2024-01-01&_include=Observation:performer\
             &_revinclude=Provenance:target&_sort=-date&_count=50",
        ),
    ] {
        let about: &[&str] = if asked.contains("p2") { &["p1", "p2"] } else { &["p1"] };
        assert_eq!(upstream(asked, ONE_PATIENT, about), sent, "{asked}");
    }
}

#[test]
fn nothing_goes_upstream_for_patients_types_and_includes_without_permission() {
    let error = |asked: &str, about: &[&str]| prepared(asked, ONE_PATIENT, about).unwrap_err();
    assert_eq!(error("Observation?patient=p2", &["p2"]), RewriteError::NoPatient);
    assert_eq!(error("Patient/p2", &["p2"]), RewriteError::NoPatient);
    let permit_for_another = permit(ONE_PATIENT, &interaction("Observation?patient=p1"));
    let rewritten = rewrite(interaction("Condition?patient=p1"), permit_for_another, &[Id::parse("p1").unwrap()]);
    assert_eq!(rewritten.unwrap_err(), RewriteError::Type);
    let include = error("Observation?patient=p1&_include=Observation:encounter", &["p1"]);
    assert_eq!(include, RewriteError::Include("_include=Observation:encounter".into()));
    let revinclude = error("Observation?patient=p1&_revinclude=Provenance:agent", &["p1"]);
    assert_eq!(revinclude, RewriteError::Include("_revinclude=Provenance:agent".into()));
}

#[test]
fn a_parameter_may_be_asked_by_where_the_decision_says_so() {
    let searchable =
        ONE_PATIENT.replace(r#"["name.family","birthDate"]"#, r#"["name.family"],"searchable":["identifier"]"#);
    assert_ne!(searchable, ONE_PATIENT);
    let (number, birth) = ("Patient?_id=p1&identifier=urn:s|7", "Patient?_id=p1&birthdate=1970");
    assert_eq!(upstream(number, &searchable, &["p1"]), "/Patient?_id=p1&identifier=urn:s%7C7&_count=50");
    for (asked, decision) in
        [(number, ONE_PATIENT), (birth, &searchable), ("Patient?_id=p1&_sort=identifier", &searchable)]
    {
        assert!(matches!(prepared(asked, decision, &["p1"]), Err(RewriteError::Predicate(_))), "{asked}");
    }
}

#[test]
fn nobody_is_asked_by_a_patient_who_is_not_permitted() {
    let whole = ONE_PATIENT.replace(r#""Practitioner":"#, r#""List":{"elements":["*"]},"Practitioner":"#);
    let whole = whole.replace(r#""elements":["status","code","#, r#""elements":["performer","status","code","#);
    let whole = whole.replace(r#"{"elements":["name.family","birthDate"]}"#, r#"{"elements":["*"]}"#);
    for good in [
        "Observation?patient=p1&performer=Patient/p1",
        "Observation?patient=p1&performer=Practitioner/p2",
        "Observation?patient=p1&performer=p1",
        "Observation?subject=p1",
    ] {
        assert!(prepared(good, &whole, &["p1"]).is_ok(), "{good}");
    }
    for (bad, name) in [
        ("Observation?patient=p1&performer=Patient/p2", "performer"),
        ("Observation?patient=p1&performer:Patient=p2", "performer"),
        ("Observation?patient=p1&performer=Practitioner/x,Patient/p2", "performer"),
        ("Observation?patient=p1&performer=p2", "performer"),
        ("Patient?_id=p1&link=Patient/p2", "link"),
        ("List?patient=p1&item=Patient/p2", "item"),
    ] {
        assert_eq!(prepared(bad, &whole, &["p1"]).unwrap_err(), RewriteError::Predicate(name.into()), "{bad}");
    }
}

#[test]
fn who_else_takes_part_can_be_asked_by_only_where_it_is_listed() {
    let decision = |elements: &str| {
        format!(
            r#"{{"allow":true,"reasons":[{{"code":"c","text":"t","basis":"b"}}],"patients":["p1"],
                "types":{{"Appointment":{{"elements":[{elements}]}}}},"includes":[],"withhold_labels":[]}}"#
        )
    };
    let (bare, listed) = (decision(r#""status""#), decision(r#""participant""#));
    for own in [
        "patient=p1",
        "actor=Patient/p1",
        "actor:Patient=p1",
        "actor=Patient/p1,Practitioner/dr",
        "patient=p1&_sort=patient",
        "patient=p1&status=booked",
    ] {
        assert!(prepared(&format!("Appointment?{own}"), &bare, &["p1"]).is_ok(), "{own}");
    }
    for others in [
        "practitioner=Practitioner/dr",
        "actor=Practitioner/dr",
        "location=Location/l",
        "part-status=declined",
        "_sort=actor",
        "_sort=practitioner",
        "_sort=part-status",
    ] {
        let asked = format!("Appointment?patient=p1&{others}");
        let refused = prepared(&asked, &bare, &["p1"]);
        assert!(matches!(refused, Err(RewriteError::Predicate(_))), "{asked} {refused:?}");
        assert!(prepared(&asked, &listed, &["p1"]).is_ok(), "{asked}");
    }
    let sent = upstream("Appointment?patient=p1&practitioner=Practitioner/dr", &listed, &["p1"]);
    assert_eq!(sent, "/Appointment?patient=p1&practitioner=Practitioner/dr&_count=100");
}

#[test]
fn a_predicate_may_read_only_what_is_released() {
    for good in [
        "Patient?_id=p1&family=x",
        "Patient?birthdate=1970",
        "Observation?patient=p1&date=2024&_sort=code",
        "Patient?_lastUpdated=ge2024",
    ] {
        assert!(prepared(good, ONE_PATIENT, &["p1"]).is_ok(), "{good}");
    }
    for (bad, name) in [
        ("Patient?_id=p1&given=x", "given"),
        ("Patient?_id=p1&name=x", "name"),
        ("Patient?_id=p1&gender=female", "gender"),
        ("Observation?patient=p1&value-quantity=gt5", "value-quantity"),
        ("Observation?patient=p1&_sort=value-quantity", "value-quantity"),
        ("Observation?patient=p1&combo-code=x", "combo-code"),
        ("Patient?_id=p1&_tag=x", "_tag"),
        ("Observation?patient=p1&_profile=http://x", "_profile"),
        ("Observation?patient=p1&_sort=_profile", "_profile"),
    ] {
        assert_eq!(prepared(bad, ONE_PATIENT, &["p1"]).unwrap_err(), RewriteError::Predicate(name.into()), "{bad}");
    }
}

#[test]
fn each_side_of_a_date_is_bounded_once() {
    let in_2024 = ONE_PATIENT.replace("date=ge2024-01-01", "date=ge2024-01-01&date=le2024-12-31");
    for (asked, sent) in [
        ("date=gt2020-01-01", "date=ge2024-01-01&date=le2024-12-31"),
        ("date=gt2024-05-01", "date=gt2024-05-01&date=le2024-12-31"),
        ("date=ge2024-02&date=lt2024-06", "date=ge2024-02&date=lt2024-06"),
        ("date=ge2020&date=lt2030", "date=ge2024-01-01&date=le2024-12-31"),
        ("date=2024-03-01", "date=2024-03-01"),
        ("date=2024-03-01&date=2024-03-02", "date=2024-03-01"),
        ("date=2024-03-01,2024-03-02", "date=ge2024-01-01&date=le2024-12-31"),
        ("date=ne2024-03-01&_lastUpdated=ge2024", "_lastUpdated=ge2024&date=ge2024-01-01&date=le2024-12-31"),
    ] {
        let target = upstream(&format!("Observation?patient=p1&category=laboratory&{asked}"), &in_2024, &["p1"]);
        let dates: Vec<&str> =
            target.split('&').filter(|pair| pair.contains("date=") || pair.contains("_last")).collect();
        assert_eq!(dates.join("&"), sent, "{asked}");
    }
}

#[test]
fn alternatives_are_sent_as_far_as_one_search_can_say_them() {
    let decision = |alternatives: &str| {
        format!(
            r#"{{"allow":true,"reasons":[{{"code":"c","text":"t","basis":"b"}}],"patients":["p1"],
                "types":{{"Observation":{{"where":[{alternatives}],"elements":["*"]}}}},"withhold_labels":[],"includes":[]}}"#
        )
    };
    for (alternatives, sent) in [
        (
            r#""category=laboratory&date=ge2024","category=vital-signs&date=ge2024""#,
            "&date=ge2024&category=laboratory,vital-signs",
        ),
        (r#""category=laboratory&date=ge2024","category=vital-signs&date=ge2023""#, ""),
        (r#""category=laboratory","category=laboratory&date=ge2023""#, "&category=laboratory"),
        (r#""category=laboratory","code=x""#, ""),
    ] {
        let upstream = upstream("Observation?patient=p1", &decision(alternatives), &["p1"]);
        assert_eq!(upstream, format!("/Observation?patient=p1{sent}&_count=100"), "{alternatives}");
    }
}

#[test]
fn a_long_search_becomes_a_form() {
    let codes = vec!["http://loinc.org|12345-6"; 200].join(",");
    let prepared = prepared(&format!("Observation?patient=p1&code={codes}"), ONE_PATIENT, &["p1"]).unwrap();
    assert_eq!(prepared.target(), "/Observation/_search");
    assert!(prepared.form().unwrap().starts_with(b"patient=p1&code=http://loinc.org%7C12345-6,"));
}

#[test]
fn a_page_belongs_to_the_decision_it_was_minted_under() {
    let decision_of = |asked: &str, decision: &str| permit(decision, &interaction(asked)).obligations().digest();
    let asked = "Observation?patient=p1";
    let digest = decision_of(asked, ONE_PATIENT);
    let about = [Id::parse("p1").unwrap()];
    let same = page(asked, "?_getpages=x", digest);
    let permitted = permit(ONE_PATIENT, &same);
    assert_eq!(rewrite(same, permitted, &about).unwrap().target(), "?_getpages=x");
    let narrower = ONE_PATIENT.replace("\"page_cap\":50", "\"page_cap\":49");
    let later = page(asked, "?_getpages=x", digest);
    let permitted = permit(&narrower, &later);
    assert_eq!(rewrite(later, permitted, &about).unwrap_err(), RewriteError::Superseded);
}

#[test]
fn where_single_repetitions_leave_only_those_may_be_asked_by() {
    let some = ONE_PATIENT.replace(
        r#"["name.family","birthDate"]"#,
        r#"["identifier[system=http://mrn]","identifier[system=http://part].value","telecom[system=phone]","name[use=official]"]"#,
    );
    assert_ne!(some, ONE_PATIENT);
    for asked in
        ["identifier=http://mrn|7", "identifier=http://mrn|", "identifier=http://mrn|7,http://mrn|8", "phone=1"]
    {
        prepared(&format!("Patient?_id=p1&{asked}"), &some, &["p1"]).unwrap();
    }
    for asked in [
        "identifier=7",
        "identifier=|7",
        "identifier=http://hl7.org/fhir/sid/us-ssn|7",
        "identifier=http://mrn|7,http://hl7.org/fhir/sid/us-ssn|7",
        "identifier=http://part|7",
        "identifier:not=http://mrn|7",
        "_sort=identifier",
        "email=a",
        "telecom=1",
        "family=x",
    ] {
        let refused = prepared(&format!("Patient?_id=p1&{asked}"), &some, &["p1"]);
        assert!(matches!(refused, Err(RewriteError::Predicate(_))), "{asked}");
    }
}

#[test]
fn content_is_asked_for_under_the_policies_its_link_was_made_under() {
    use crate::understand::testing::content as following;
    let decision = r#"{"allow":true,"reasons":[{"code":"c","text":"t","basis":"b"}],"patients":["p1"],
        "types":{"DocumentReference":{"elements":["*"]},"Binary":{"elements":["*"]}},"withhold_labels":[],"includes":[]}"#;
    let asked = |revision: &str, decision: &str| {
        let interaction = following("d", "b", None, revision);
        let permit = permit(decision, &interaction);
        rewrite(interaction, permit, &[Id::parse("p1").unwrap()])
    };
    let revision = "0".repeat(64);
    let prepared = asked(&revision, decision).unwrap();
    assert_eq!(prepared.target(), "/DocumentReference/d");
    assert_eq!(content(prepared.into_question()).unwrap().target(), "/Binary/b");
    assert_eq!(asked("1", decision).unwrap_err(), RewriteError::Superseded);
    let without = asked(&revision, &decision.replace(r#","Binary":{"elements":["*"]}"#, "")).unwrap();
    assert_eq!(content(without.into_question()).unwrap_err(), RewriteError::Type);
    let plain = interaction("DocumentReference/d");
    let permit = permit(decision, &plain);
    let question = rewrite(plain, permit, &[Id::parse("p1").unwrap()]).unwrap().into_question();
    assert_eq!(content(question).unwrap_err(), RewriteError::Type);
}
