use super::*;
use crate::decide::Roster;
use crate::decide::testing::{obligations_with, permit, permit_bound_to};
use crate::fhir::name::Id;
use crate::rewrite::rewrite;
use crate::understand::testing::{interaction, page};

const BASES: Bases<'static> = Bases { ehr: "http://ehr/fhir", gateway: "https://gw/fhir" };

const LABS: &str = r#"{"allow":true,"reasons":[{"code":"c","text":"t","basis":"b"}],"patients":["p1"],
    "types":{"Observation":{"where":["category=laboratory&date=ge2024-01-01"],"elements":["status","code","category","subject","performer","value[x]","effective[x]"]},
             "Practitioner":{"elements":["name.family"]},"Provenance":{"elements":["target","recorded"]}},
    "withhold_labels":["http://terminology.hl7.org/CodeSystem/v3-ActCode|PSY"],
    "includes":["Observation:performer","Provenance:target"]}"#;

const EVERYTHING: &str = r#"{"allow":true,"reasons":[{"code":"c","text":"t","basis":"b"}],"patients":["p1"],
    "types":{"*":{"elements":["*"]}},"withhold_labels":[],"includes":["Observation:performer","Provenance:target"]}"#;

fn question(asked: &str, decision: &str) -> Question {
    let interaction = interaction(asked);
    let permit = permit(decision, &interaction);
    rewrite(interaction, permit, &[Id::parse("p1").unwrap()]).unwrap().into_question()
}

fn bundle(entries: &[&str]) -> String {
    let entries: Vec<String> = entries
        .iter()
        .map(|resource| {
            format!(r#"{{"fullUrl":"http://ehr/fhir/x","resource":{resource},"search":{{"mode":"match"}}}}"#)
        })
        .collect();
    format!(r#"{{"resourceType":"Bundle","id":"b","type":"searchset","total":99,"entry":[{}]}}"#, entries.join(","))
}

/// Filters in pieces of `size` bytes.
fn filtered_in(
    size: usize,
    asked: &str,
    decision: &str,
    body: &str,
) -> Result<(String, Tally, Option<String>), FilterError> {
    let question = question(asked, decision);
    let mut filter = BundleFilter::new(&question, BASES);
    let mut out = Vec::new();
    for piece in body.as_bytes().chunks(size) {
        filter.feed(piece)?;
        out.extend(filter.take_output().as_bytes());
    }
    let next = filter.end()?;
    let (rest, tally) = filter.close("https://gw/fhir/self", None);
    out.extend(rest.as_bytes());
    let text = String::from_utf8(out).unwrap();
    Tape::new().read(text.as_bytes()).unwrap();
    Ok((text, tally, next))
}

fn filtered(asked: &str, decision: &str, body: &str) -> (String, Tally) {
    let whole = filtered_in(usize::MAX, asked, decision, body).unwrap();
    for size in [1, 7, 64] {
        assert_eq!(filtered_in(size, asked, decision, body).unwrap(), whole, "in pieces of {size}");
    }
    (whole.0, whole.1)
}

fn lab(id: &str, patient: &str, more: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"{id}","meta":{{"versionId":"2","source":"http://s"}},"status":"final",
            "category":[{{"coding":[{{"code":"laboratory"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"4548-4"}}]}},
            "subject":{{"reference":"Patient/{patient}"}},"effectiveDateTime":"2024-05-01","valueQuantity":{{"value":6.30}}{more}}}"#
    )
}

/// One resource that is released, and for every check a neighbour that only that check withholds.
#[test]
fn each_check_withholds_what_no_other_would() {
    let asked = "Observation?patient=p1&code=4548-4";
    let good = lab("good", "p1", "");
    let released = filtered(asked, LABS, &bundle(&[&good]));
    assert_eq!((released.1.released, released.1.withheld.len()), (1, 0));
    let label = |label: &str| good.replace(r#""versionId":"2""#, &format!(r#""security":[{label}]"#));
    let psy = r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}"#;
    for (neighbour, reason) in [
        (lab("x", "p2", ""), Withheld::Patient),
        (lab("x", "p10", ""), Withheld::Patient),
        (good.replace("Patient/p1", "Group/g1"), Withheld::Subject),
        (good.replace("Patient/p1", "#p1"), Withheld::Subject),
        (good.replace("Patient/p1", "http://other/fhir/Patient/p1"), Withheld::Subject),
        (good.replace("laboratory", "social-history"), Withheld::Constraint),
        (good.replace("2024-05-01", "2023-05-01"), Withheld::Constraint),
        (good.replace(r#""effectiveDateTime":"2024-05-01","#, ""), Withheld::Constraint),
        (good.replace("4548-4", "718-7"), Withheld::Query),
        (label(psy), Withheld::Label),
        (
            lab(
                "x",
                "p1",
                &format!(
                    r#","note":[{{"extension":[{{"url":"http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label","valueCoding":{psy}}}]}}]"#
                ),
            ),
            Withheld::Label,
        ),
        (lab("x", "p1", r#","modifierExtension":[{"url":"http://m","valueBoolean":true}]"#), Withheld::Modifier),
        (lab("x", "p1", r#","component":[{"modifierExtension":[{"url":"http://m"}]}]"#), Withheld::Modifier),
        (good.replace("\"Observation\"", "\"Condition\""), Withheld::Type),
        (good.replace("\"Observation\"", "\"Nonsense\""), Withheld::Malformed),
        (good.replace("\"id\":\"good\",", ""), Withheld::Malformed),
        (r#"{"resourceType":"Practitioner","id":"x"}"#.to_owned(), Withheld::Include),
        (
            r#"{"resourceType":"Provenance","id":"x","target":[{"reference":"Observation/good"}]}"#.to_owned(),
            Withheld::Subject,
        ),
    ] {
        let (text, tally) = filtered(asked, LABS, &bundle(&[&neighbour, &good]));
        assert_eq!(tally.withheld.iter().collect::<Vec<_>>(), [(&reason, &1)], "{neighbour}");
        assert_eq!((tally.received, tally.released, tally.matches), (2, 1, 1));
        assert_eq!(text, released.0, "{neighbour}");
    }
    let withheld = |text: &str| filtered(asked, LABS, &bundle(&[text])).1.withheld;
    for text in [
        good.replace(r#"{"versionId":"2","source":"http://s"}"#, &format!(r#"[{{"security":[{psy}]}}]"#)),
        label(&psy.replace("PSY", " psy")),
        label(&psy.replace("v3-ActCode", "v3-ActCode/")),
        lab("x", "p1", &format!(r#","securityLabel":[{{"coding":[{psy}]}}]"#)),
        lab("x", "p1", r#","securityLabel":[{"text":"PSY"}]"#),
    ] {
        assert_eq!(withheld(&text).into_iter().collect::<Vec<_>>(), [(Withheld::Label, 1)], "{text}");
    }
    let unlabelled = label(r#"{"system":"http://other","code":"PSY"}"#);
    assert_eq!(filtered(asked, LABS, &bundle(&[&unlabelled])).1.released, 1);
}

#[test]
fn the_answer_is_our_own_bundle() {
    let (text, _) = filtered("Observation?patient=p1", LABS, &bundle(&[&lab("a", "p1", "")]));
    assert_eq!(
        text,
        concat!(
            r#"{"resourceType":"Bundle","type":"searchset","entry":[{"fullUrl":"https://gw/fhir/Observation/a","resource":"#,
            r#"{"resourceType":"Observation","id":"a","meta":{"versionId":"2","tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED","display":"subsetted"}]},"#,
            r#""status":"final","category":[{"coding":[{"code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"4548-4"}]},"#,
            r#""subject":{"reference":"Patient/p1"},"effectiveDateTime":"2024-05-01","valueQuantity":{"value":6.30}},"search":{"mode":"match"}}],"#,
            r#""total":1,"link":[{"relation":"self","url":"https://gw/fhir/self"}]}"#
        )
    );
    let (empty, _) = filtered("Observation?patient=p1", LABS, &bundle(&[]));
    assert_eq!(
        empty,
        r#"{"resourceType":"Bundle","type":"searchset","total":0,"link":[{"relation":"self","url":"https://gw/fhir/self"}]}"#
    );
}

#[test]
fn what_repeats_a_removed_element_goes_with_it() {
    let more = r##","text":{"div":"SECRET"},"contained":[{"resourceType":"Patient","id":"c","name":[{"text":"SECRET"}]}],"note":[{"text":"SECRET"}],
        "_status":{"extension":[{"url":"u","valueString":"SECRET"}]},"extension":[{"url":"SECRET"}],"unknown":"SECRET","implicitRules":"SECRET",
        "performer":[{"reference":"#c"},{"extension":[{"url":"SECRET"}]},{"reference":"Practitioner/x","_display":{"extension":[{"url":"SECRET"}]}}]"##;
    let (text, tally) = filtered("Observation?patient=p1", LABS, &bundle(&[&lab("a", "p1", more)]));
    assert!(!text.contains("SECRET"), "{text}");
    assert!(!text.contains("http://s\""), "{text}");
    assert!(text.contains(r#""performer":[{"reference":"Practitioner/x"}]"#), "{text}");
    assert_eq!(tally.redacted, 1);
    let kept = r#"{"resourceType":"Practitioner","id":"x","name":[{"family":"F","given":["SECRET"]},{"given":["SECRET"]}],"birthDate":"SECRET"}"#;
    let with = lab("a", "p1", r#","performer":[{"reference":"Practitioner/x"}]"#);
    let (text, _) = filtered("Observation?patient=p1&_include=Observation:performer", LABS, &bundle(&[&with, kept]));
    assert!(text.contains(r#""name":[{"family":"F"}]"#) && !text.contains("SECRET"), "{text}");
}

#[test]
fn includes_need_a_released_match_whatever_their_order() {
    let with = |id: &str, patient: &str| lab(id, patient, r#","performer":[{"reference":"Practitioner/x"}]"#);
    let practitioner = r#"{"resourceType":"Practitioner","id":"x","name":[{"family":"F"}]}"#;
    let provenance = |targets: &str| {
        format!(r#"{{"resourceType":"Provenance","id":"v","target":[{targets}],"recorded":"2024-01-01T00:00:00Z"}}"#)
    };
    let (a, other) = (r#"{"reference":"Observation/a"}"#, r#"{"reference":"Observation/b"}"#);
    let asked = "Observation?patient=p1&_include=Observation:performer&_revinclude=Provenance:target";
    for (entries, released) in [
        (vec![with("a", "p1"), practitioner.to_owned()], 2),
        (vec![practitioner.to_owned(), with("a", "p1")], 2),
        (vec![with("b", "p2"), practitioner.to_owned()], 0),
        (vec![lab("a", "p1", ""), practitioner.to_owned()], 1),
        (vec![lab("a", "p1", ""), provenance(a)], 2),
        (vec![provenance(a), lab("a", "p1", "")], 2),
        (vec![lab("a", "p1", ""), lab("b", "p2", ""), provenance(&format!("{a},{other}"))], 1),
        (vec![lab("a", "p1", ""), provenance(&format!(r#"{a},{{"display":"x"}}"#))], 1),
        (vec![provenance(other)], 0),
    ] {
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let (text, tally) = filtered(asked, LABS, &bundle(&entries));
        assert_eq!(tally.released, released, "{text}");
        assert_eq!(tally.matches, text.matches(r#""mode":"match""#).count() as u32);
    }
    let unasked = filtered("Observation?patient=p1", LABS, &bundle(&[&with("a", "p1"), practitioner]));
    assert_eq!(unasked.1.withheld.get(&Withheld::Include), Some(&1));
}

#[test]
fn under_a_policy_that_allows_everything_nothing_is_lost() {
    let rich = r#"{"resourceType":"Observation","id":"a","meta":{"source":"http://ehr/fhir","tag":[{"code":"t"}]},"text":{"div":"<a href=\"http:\/\/ehr\/fhir\/x\">http://ehr/fhir2 \u00e9</a>"},
        "contained":[{"resourceType":"Device","id":"d"}],"modifierExtension":[{"url":"u"}],"_status":{"id":"x"},"subject":{"reference":"http://ehr/fhir/Patient/p1"},
        "valueQuantity":{"value":12345678901234567890.10},"note":[{"text":"6.30"}]}"#;
    let (text, tally) = filtered("Observation?patient=p1", EVERYTHING, &bundle(&[rich]));
    let expected = rich
        .replace(r#""source":"http://ehr/fhir""#, r#""source":"https://gw/fhir""#)
        .replace(r#"http:\/\/ehr\/fhir\/x"#, "https://gw/fhir/x")
        .replace(r"\u00e9", "é")
        .replace("http://ehr/fhir/Patient", "https://gw/fhir/Patient");
    let squeeze = |text: &str| text.split_whitespace().collect::<String>();
    assert!(squeeze(&text).contains(&squeeze(&expected)), "{text}");
    assert_eq!((tally.released, tally.redacted), (1, 0));
    let foreign = rich.replace(
        r#"{"resourceType":"Device","id":"d"}"#,
        r#"{"resourceType":"Observation","id":"d","subject":{"reference":"Patient/p2"},"valueString":"SECRET"}"#,
    );
    let (text, tally) = filtered("Observation?patient=p1", EVERYTHING, &bundle(&[&foreign]));
    assert!(!text.contains("SECRET") && !text.contains("contained") && text.contains("SUBSETTED"), "{text}");
    assert_eq!((tally.released, tally.redacted), (1, 1));
}

#[test]
fn the_client_may_ask_for_less() {
    let (text, _) = filtered(
        "Observation?patient=p1&_elements=status,value,id,resourceType",
        EVERYTHING,
        &bundle(&[&lab("a", "p1", "")]),
    );
    assert!(
        text.contains(r#""subject":{"reference":"Patient/p1"}"#) && text.contains(r#""valueQuantity":{"value":6.30}"#),
        "{text}"
    );
    assert!(
        text.contains("SUBSETTED")
            && text.contains("http://s")
            && !text.contains("effectiveDateTime")
            && !text.contains("loinc"),
        "{text}"
    );
    let (text, tally) =
        filtered("Observation?patient=p1&_summary=count", LABS, &bundle(&[&lab("a", "p1", ""), &lab("b", "p2", "")]));
    assert_eq!(
        text,
        r#"{"resourceType":"Bundle","type":"searchset","total":1,"link":[{"relation":"self","url":"https://gw/fhir/self"}]}"#
    );
    assert_eq!(tally.released, 1);
    let (text, _) = filtered("Observation?patient=p1&_total=none", LABS, &bundle(&[]));
    assert!(!text.contains("total"));
}

#[test]
fn the_next_page_is_followed_only_below_the_ehrs_base() {
    let with = |url: &str| {
        format!(
            r#"{{"resourceType":"Bundle","type":"searchset","link":[{{"relation":"self","url":"x"}},{{"relation":"next","url":"{url}"}}]}}"#
        )
    };
    let next = |url: &str| filtered_in(5, "Observation?patient=p1", LABS, &with(url)).unwrap();
    assert_eq!(next("http://ehr/fhir?_getpages=1&o=2").2.unwrap(), "?_getpages=1&o=2");
    assert_eq!(next("http://ehr/fhir/Observation?page=2").2.unwrap(), "/Observation?page=2");
    for foreign in [
        "http://evil/fhir?x",
        "http://ehr/fhirx?x",
        "http://ehr/fhir@evil/",
        "http://ehr/fhir?a#b",
        "http://ehr/fhir?a b",
        "http://ehr/fhir/../admin?x",
        "http://ehr/fhir/%2E%2e/admin?x",
        "http://ehr/fhir//evil",
        "?x",
    ] {
        let (text, tally, next) = next(foreign);
        assert!(!text.contains("total"), "{text}");
        assert_eq!((next, tally.foreign_links), (None, 1), "{foreign}");
    }
    let question = question("Observation?patient=p1", LABS);
    let mut filter = BundleFilter::new(&question, BASES);
    filter.feed(bundle(&[&lab("a", "p1", "")]).as_bytes()).unwrap();
    filter.end().unwrap();
    let (body, _) = filter.close("s", Some("https://gw/fhir/_page/t"));
    let text = String::from_utf8(body.as_bytes().to_vec()).unwrap();
    assert!(
        text.contains(r#"{"relation":"next","url":"https://gw/fhir/_page/t"}"#) && !text.contains("total"),
        "{text}"
    );
}

#[test]
fn totals_speak_of_first_pages_only() {
    let asked = "Observation?patient=p1";
    let further = page(asked, "?x", permit(LABS, &interaction(asked)).obligations().digest());
    let permitted = permit(LABS, &further);
    let question = rewrite(further, permitted, &[Id::parse("p1").unwrap()]).unwrap().into_question();
    let mut filter = BundleFilter::new(&question, BASES);
    filter.feed(bundle(&[&lab("a", "p1", "")]).as_bytes()).unwrap();
    filter.end().unwrap();
    let text = String::from_utf8(filter.close("s", None).0.as_bytes().to_vec()).unwrap();
    assert!(text.contains(r#""id":"a""#) && !text.contains("total"), "{text}");
}

#[test]
fn an_answer_that_is_not_the_searchset_asked_for_is_refused() {
    let good = bundle(&[&lab("a", "p1", "")]);
    let asked = "Observation?patient=p1";
    for (bad, error) in [
        (good.replace("searchset", "history"), FilterError::Mismatch),
        (good.replace("\"Bundle\"", "\"List\""), FilterError::Mismatch),
        (good.replace(r#""type":"searchset","#, ""), FilterError::Mismatch),
        (good.replace(r#""entry":["#, r#""entry":{"a":["#), FilterError::Mismatch),
        (r#"{"resourceType":"Bundle"}"#.to_owned(), FilterError::Mismatch),
        (format!("{good} x"), FilterError::Json(JsonError::Trailing(0))),
        (good.replace(r#""total":99"#, r#""type":"searchset""#), FilterError::Json(JsonError::Duplicate(0))),
        (
            good.replace(r#""status":"final""#, r#""status":"final","status":"final""#),
            FilterError::Json(JsonError::Duplicate(0)),
        ),
        (good.replace("},{", "}{"), FilterError::Json(JsonError::Syntax(0))),
        ("<html>".to_owned(), FilterError::Json(JsonError::Syntax(0))),
        (String::new(), FilterError::Truncated),
    ] {
        if bad == good {
            continue;
        }
        let same_kind = |found: &FilterError| {
            matches!((found, &error), (FilterError::Json(a), FilterError::Json(b)) if std::mem::discriminant(a) == std::mem::discriminant(b))
                || *found == error
        };
        for size in [3, usize::MAX] {
            let found = filtered_in(size, asked, LABS, &bad).unwrap_err();
            assert!(same_kind(&found), "{found:?} for {bad}");
        }
    }
    for end in 0..good.len() {
        assert!(filtered_in(usize::MAX, asked, LABS, &good[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_read_answers_what_was_asked_or_nothing() {
    let question = question("Observation/a", LABS);
    let body = |text: &str| {
        read(text.as_bytes(), &question, BASES)
            .map(|filtered| filtered.into_body().map(|body| String::from_utf8(body.as_bytes().to_vec()).unwrap()))
    };
    let good = lab("a", "p1", "");
    assert!(
        body(&good)
            .unwrap()
            .unwrap()
            .starts_with(r#"{"resourceType":"Observation","id":"a","meta":{"versionId":"2","tag":["#)
    );
    assert_eq!(body(&lab("a", "p2", "")).unwrap(), None);
    assert_eq!(body(&good.replace("laboratory", "vital-signs")).unwrap(), None);
    assert_eq!(body(&lab("b", "p1", "")).unwrap_err(), FilterError::Mismatch);
    assert_eq!(body(&good.replace("\"Observation\"", "\"Condition\"")).unwrap_err(), FilterError::Mismatch);
    assert!(matches!(body("{}x").unwrap_err(), FilterError::Json(_)));
}

#[test]
fn an_entry_has_a_largest_size() {
    let question = question("Observation?patient=p1", LABS);
    let mut filter = BundleFilter::new(&question, BASES);
    filter.feed(br#"{"resourceType":"Bundle","type":"searchset","entry":[{"x":""#).unwrap();
    let piece = vec![b'a'; 64 * 1024];
    let fed = (0..100).find_map(|_| filter.feed(&piece).err());
    assert_eq!(fed, Some(FilterError::EntryTooLarge));
}

#[test]
fn what_can_come_along_waits_for_its_match_and_the_rest_takes_no_room() {
    let note = "n".repeat(crate::limits::WHOLE_ANSWER_BYTES / 4);
    let other = |id: u32| {
        format!(
            r#"{{"resourceType":"Goal","id":"g{id}","subject":{{"reference":"Patient/p1"}},"note":[{{"text":"{note}"}}]}}"#
        )
    };
    let goals: Vec<String> = (0..5).map(other).collect();
    let practitioner = r#"{"resourceType":"Practitioner","id":"dr"}"#;
    let entry = lab("a", "p1", r#","performer":[{"reference":"Practitioner/dr"}]"#);
    let mut entries: Vec<&str> = goals.iter().map(String::as_str).collect();
    entries.extend([practitioner, &entry]);
    let (text, tally) =
        filtered("Observation?patient=p1&_include=Observation:performer", EVERYTHING, &bundle(&entries));
    assert_eq!((tally.released, tally.withheld.get(&Withheld::Include)), (2, Some(&5)), "{text}");
}

#[test]
fn records_of_others_stay_whoever_else_is_permitted() {
    let appointment = |patients: &[&str]| {
        let actors: Vec<String> =
            patients.iter().map(|id| format!(r#"{{"actor":{{"reference":"Patient/{id}"}}}}"#)).collect();
        format!(r#"{{"resourceType":"Appointment","id":"a","participant":[{}]}}"#, actors.join(","))
    };
    for (patients, released) in [(&["p1"][..], 1), (&["p1", "p2"], 0), (&["p2", "p1"], 0)] {
        let (_, tally) = filtered("Appointment?patient=p1", EVERYTHING, &bundle(&[&appointment(patients)]));
        assert_eq!(tally.released, released, "{patients:?}");
    }
    let two =
        EVERYTHING.replace(r#"["p1"]"#, r#"["p1","p2"]"#).replace("Observation:performer", "DiagnosticReport:result");
    let report = r#"{"resourceType":"DiagnosticReport","id":"r","subject":{"reference":"Patient/p1"},"result":[{"reference":"Observation/o"}]}"#;
    for (patient, released) in [("p1", 2), ("p2", 1)] {
        let result = lab("o", patient, "");
        let asked = "DiagnosticReport?patient=p1&_include=DiagnosticReport:result";
        assert_eq!(filtered(asked, &two, &bundle(&[report, &result])).1.released, released, "{patient}");
    }
}

#[test]
fn a_population_is_judged_one_by_one() {
    let interaction = interaction("Patient?identifier=http://payer|7");
    let members = EVERYTHING.replace(r#"["p1"]"#, r#"{"roster":"r"}"#);
    let rows = b"patient,roster,member_id,start,end\np1,r,7,,\np2,other,7,,\np3,r,7,,2020-01-01\n";
    let permit = permit_bound_to(obligations_with(&members, &interaction, Roster::read(rows).unwrap()));
    let question = rewrite(interaction, permit, &[]).unwrap().into_question();
    let patient = |id: &str| {
        format!(r#"{{"resourceType":"Patient","id":"{id}","identifier":[{{"system":"http://payer","value":"7"}}]}}"#)
    };
    let mut filter = BundleFilter::new(&question, BASES);
    filter.feed(bundle(&[&patient("p1"), &patient("p2"), &patient("p3"), &patient("p4")]).as_bytes()).unwrap();
    filter.end().unwrap();
    let (_, tally) = filter.close("https://gw/fhir/self", None);
    assert_eq!((tally.released, tally.withheld.get(&Withheld::Patient)), (1, Some(&3)));
}

#[test]
fn only_what_was_asked_to_come_along_does() {
    let entry = lab("a", "p1", r#","performer":[{"reference":"Organization/o"}]"#);
    let organization = r#"{"resourceType":"Organization","id":"o"}"#;
    let of_nothing = r#"{"resourceType":"Provenance","id":"v","recorded":"2024-01-01T00:00:00Z"}"#;
    for (asked, other, released) in [
        ("_include=Observation:performer", organization, 2),
        ("_include=Observation:performer:Organization", organization, 2),
        ("_include=Observation:performer:Practitioner", organization, 1),
        ("_revinclude=Provenance:target", organization, 1),
        ("_revinclude=Provenance:target", of_nothing, 1),
    ] {
        let (_, tally) = filtered(&format!("Observation?patient=p1&{asked}"), EVERYTHING, &bundle(&[&entry, other]));
        assert_eq!(tally.released, released, "{asked}");
    }
}

const CONTAINERS: &str = r#"{"allow":true,"reasons":[{"code":"c","text":"t","basis":"b"}],"patients":["p1"],
    "types":{"DiagnosticReport":{"elements":["*"]},"Observation":{"where":["category=laboratory"],"elements":["*"]},
             "Goal":{"elements":["contained","subject"]},"Practitioner":{"elements":["name.family"]}},
    "withhold_labels":["http://terminology.hl7.org/CodeSystem/v3-ActCode|PSY"],"includes":[]}"#;

fn holding(resource_type: &str, decision: &str, inside: &str) -> (String, Tally) {
    let holder = format!(
        r#"{{"resourceType":"{resource_type}","id":"h","subject":{{"reference":"Patient/p1"}},"contained":[{inside}]}}"#
    );
    filtered(&format!("{resource_type}?patient=p1"), decision, &bundle(&[&holder]))
}

#[test]
fn what_is_contained_is_judged_like_anything_else() {
    let inside = lab("i", "p1", r#","note":[{"text":"SECRET"}]"#);
    let (text, tally) = holding("DiagnosticReport", CONTAINERS, &inside);
    assert!(text.contains("SECRET") && !text.contains("SUBSETTED"), "{text}");
    assert_eq!((tally.released, tally.redacted), (1, 0));
    let psy = r#""security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]"#;
    for bad in [
        inside.replace("Patient/p1", "Patient/p2"),
        inside.replace("Patient/p1", "urn:uuid:0"),
        inside.replace(r#""versionId":"2""#, psy),
        inside.replace("laboratory", "social-history"),
        inside.replace(r#""status""#, r#""contained":[{"resourceType":"Practitioner"}],"status""#),
        inside.replace(r#""Observation""#, r#""Procedure""#),
        inside.replace(r#""Observation""#, r#""Nonsense""#),
    ] {
        let (text, tally) = holding("DiagnosticReport", CONTAINERS, &bad);
        assert!(!text.contains("SECRET") && !text.contains("contained") && text.contains("SUBSETTED"), "{bad}\n{text}");
        assert_eq!((tally.released, tally.redacted), (1, 1));
    }
}

#[test]
fn what_is_contained_leaves_with_its_own_elements() {
    let inside =
        r#"{"resourceType":"Practitioner","id":"i","name":[{"family":"F","given":["SECRET"]}],"birthDate":"SECRET"}"#;
    let changed = inside.replace(r#""birthDate""#, r#""modifierExtension":[{"url":"http://m"}],"birthDate""#);
    for holder in ["DiagnosticReport", "Goal"] {
        let (text, tally) = holding(holder, CONTAINERS, inside);
        assert!(text.contains(r#""name":[{"family":"F"}]"#) && !text.contains("SECRET"), "{text}");
        assert_eq!((tally.released, tally.redacted), (1, 1));
        assert_eq!(holding(holder, CONTAINERS, &changed).1.withheld.get(&Withheld::Modifier), Some(&1));
    }
    for listed in ["", r#""contained.name","#] {
        let (text, _) = holding("Goal", &CONTAINERS.replace(r#""contained","#, listed), inside);
        assert!(!text.contains("Practitioner"), "{text}");
    }
}

#[test]
fn escapes_hide_nothing() {
    let label = r#","note":[{"extension":[{"url":"http:\/\/hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension\u002dinline\u002dsec\u002dlabel",
        "valueCoding":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}}]}]"#;
    let (_, tally) = filtered("Observation?patient=p1", LABS, &bundle(&[&lab("a", "p1", label)]));
    assert_eq!(tally.withheld.get(&Withheld::Label), Some(&1));
    for address in [r"http:\/\/ehr\/fhir\/x", r"http://ehr\u002ffhir/x"] {
        let entry = lab("a", "p1", &format!(r#","note":[{{"text":"{address}"}}]"#));
        let (text, _) = filtered("Observation?patient=p1", EVERYTHING, &bundle(&[&entry]));
        assert!(text.contains("https://gw/fhir/x") && !text.contains("ehr"), "{text}");
    }
}

#[test]
fn what_hangs_on_a_primitive_goes_and_so_do_tags() {
    let entry = lab("a", "p1", "")
        .replace(r#""code":{"#, r#""code":{"text":"t","_text":{"unknown":"SECRET"},"#)
        .replace(r#""versionId":"2""#, r#""versionId":"2","tag":[{"code":"SECRET"}]"#);
    let (text, tally) = filtered("Observation?patient=p1", LABS, &bundle(&[&entry]));
    assert!(!text.contains("SECRET") && text.contains(r#""text":"t""#), "{text}");
    assert_eq!(tally.redacted, 1);
    for hidden in [r#""extension":[{"url":"SECRET"}],"#, r#""_text":{"id":"SECRET"},"#] {
        let entry = lab("a", "p1", "").replace(r#""code":{"#, &format!(r#""code":{{{hidden}"#));
        let (text, _) = filtered("Observation?patient=p1", LABS, &bundle(&[&entry]));
        assert!(!text.contains("SECRET") && text.contains("4548-4"), "{text}");
    }
}

#[test]
fn a_subject_that_is_not_listed_stays_as_a_bare_reference() {
    let named = r#""subject":{"reference":"Patient/p1","display":"SECRET","identifier":{"value":"SECRET"}}"#;
    let entry = lab("a", "p1", "").replace(r#""subject":{"reference":"Patient/p1"}"#, named);
    for listed in ["\"encounter\"", "\"subject.reference\"", "\"subject.type\""] {
        let decision = LABS.replace("\"subject\"", listed);
        let (text, _) = filtered("Observation?patient=p1", &decision, &bundle(&[&entry]));
        assert!(text.contains(r#""subject":{"reference":"Patient/p1"}"#) && !text.contains("SECRET"), "{text}");
    }
    let (text, _) = filtered("Observation?patient=p1", LABS, &bundle(&[&entry]));
    assert!(text.contains(named), "{text}");
    let appointment = r#"{"resourceType":"Appointment","id":"a","status":"booked","participant":[
        {"actor":{"reference":"Patient/p1","display":"SECRET"},"status":"accepted","type":[{"text":"SECRET"}]},
        {"type":[{"text":"SECRET"}]}]}"#;
    let decision = r#"{"allow":true,"reasons":[{"code":"c","text":"t","basis":"b"}],"patients":["p1"],
        "types":{"Appointment":{"elements":["status"]}},"withhold_labels":[],"includes":[]}"#;
    let (text, _) = filtered("Appointment?patient=p1", decision, &bundle(&[appointment]));
    assert!(text.contains(r#""participant":[{"actor":{"reference":"Patient/p1"}}]"#), "{text}");
}

#[test]
fn a_provenance_is_judged_by_its_targets_whatever_brings_it_along() {
    let decision =
        EVERYTHING.replace("Provenance:target", "Provenance:agent\",\"Provenance:entity\",\"Provenance:patient");
    let provenance = |target: &str, named: &str| {
        format!(
            r#"{{"resourceType":"Provenance","id":"v","target":[{{"reference":"{target}"}}],"recorded":"2024-01-01T00:00:00Z",
                "agent":[{{"who":{{"reference":"{named}"}}}}],"entity":[{{"role":"source","what":{{"reference":"{named}"}}}}]}}"#
        )
    };
    let patient = r#"{"resourceType":"Patient","id":"p1"}"#;
    for parameter in ["agent", "entity"] {
        let asked = format!("Patient?_id=p1&_revinclude=Provenance:{parameter}");
        for (target, named, released) in
            [("Patient/p1", "Patient/p1", 2), ("Observation/of-p2", "Patient/p1", 1), ("Patient/p1", "Patient/p2", 1)]
        {
            let (text, tally) = filtered(&asked, &decision, &bundle(&[patient, &provenance(target, named)]));
            assert_eq!(tally.released, released, "{text}");
        }
    }
}
