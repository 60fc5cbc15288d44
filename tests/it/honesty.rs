//! An EHR that ignores what narrows a search is noticed, counted and on record, and changes nothing for the payer.

use std::time::Duration;

use portcullis::demo::ehr::Behaviour;
use portcullis::limits;

use crate::support::{Ending, clinic, gateway};

const SEARCH: &str = "/Observation?patient=maren&code=4548-4";

fn answered_with(link: &str) -> Behaviour {
    let link = format!(r#"[{{"relation":"self","url":"{link}"}}]"#);
    let body = format!(r#"{{"resourceType":"Bundle","type":"searchset","link":{link},"entry":[]}}"#);
    Behaviour::faithful().status(200, &body)
}

#[test]
fn an_ignored_parameter_is_on_record_and_counted() {
    let ehr = clinic();
    let gateway = gateway().with("[cache]\nbytes = 0\n").in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let honest = payer.get(SEARCH);
    ehr.behave(Behaviour::faithful().careless());
    let careless = payer.get(SEARCH);
    assert_eq!(careless.searchset().names(), honest.searchset().names());
    ehr.behave(answered_with("http://elsewhere/fhir/Observation?code=4548-4&_count=100"));
    let silent = payer.get(SEARCH);
    for (answer, ignored) in [(&honest, &[][..]), (&careless, &["code", "patient"][..]), (&silent, &["patient"][..])] {
        let record = gateway.log();
        let counts = record.exchange(answer.header("x-request-id")).counts.clone().unwrap();
        assert_eq!(counts.ignored, ignored);
    }
    let answer = crate::operators::ask_admin(&gateway, "GET", "/metrics");
    let metrics = answer.text();
    for (evidence, count) in [("content", 1), ("self_link", 1)] {
        let line = format!("portcullis_upstream_ignored_total{{evidence=\"{evidence}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[test]
fn an_answer_to_another_question_is_none() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    for link in ["http://ehr/fhir/Condition?patient=maren&code=4548-4", "http://ehr/fhir/Observation?patient=ines"] {
        ehr.behave(answered_with(link));
        let refusal = payer.get(SEARCH).refusal();
        assert_eq!((refusal.status, refusal.code.as_str()), (502, "transient"), "{link}");
    }
}

/// Observations of Maren's in this order, by the year they are of.
fn of_years(years: &[u32]) -> String {
    let entry = |year: &u32| {
        format!(
            r#"{{"resource":{{"resourceType":"Observation","id":"of-{year}","status":"final","code":{{"coding":[{{"code":"4548-4"}}]}},"subject":{{"reference":"Patient/maren"}},"effectiveDateTime":"{year}-05-01"}}}}"#
        )
    };
    let entries: Vec<String> = years.iter().map(entry).collect();
    format!(r#"{{"resourceType":"Bundle","type":"searchset","entry":[{}]}}"#, entries.join(","))
}

#[test]
fn what_is_at_hand_is_in_the_order_that_was_asked_for() {
    let ehr = clinic();
    let gateway = gateway().with("[cache]\nbytes = 0\n").in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    ehr.behave(Behaviour::faithful().status(200, &of_years(&[2023, 2025, 2021, 2024])));
    for (sort, years) in [
        ("date", ["2021", "2023", "2024", "2025"]),
        ("-date", ["2025", "2024", "2023", "2021"]),
        ("code,-_id", ["2025", "2024", "2023", "2021"]),
        ("-_id", ["2025", "2024", "2023", "2021"]),
        ("subject,date", ["2021", "2023", "2024", "2025"]),
        ("performer", ["2023", "2025", "2021", "2024"]),
    ] {
        let answer = payer.get(&format!("{SEARCH}&_sort={sort}"));
        let expected = years.map(|year| format!("Observation/of-{year}"));
        assert_eq!(answer.searchset().matches(), expected, "{sort}");
        let record = gateway.log();
        let counts = record.exchange(answer.header("x-request-id")).counts.clone().unwrap();
        let told: &[&str] = if sort.ends_with("date") && !sort.contains(',') { &["_sort"] } else { &[] };
        assert_eq!(counts.ignored, told, "{sort}");
    }
    assert_eq!(payer.search(&format!("{SEARCH}&_sort=-date&_count=9")).total, Some(4));
}

#[test]
fn a_page_in_another_order_does_not_say_that_it_was_sorted() {
    let ehr = clinic();
    let gateway = gateway().with("[cache]\nbytes = 0\n").in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let few = of_years(&[2021, 2023, 2024, 2025]);
    let many: Vec<u32> = (1100..2000).collect();
    let late: Vec<u32> = (1100..2000).chain([1000]).collect();
    for (body, sort, is_sorted) in [
        (&few, "_sort=-date&_count=2", false),
        (&few, "_sort=date&_count=2", true),
        (&few, "_sort=-date", true),
        (&of_years(&many), "_sort=-date", false),
        (&of_years(&many), "_sort=date", true),
        (&of_years(&late), "_sort=date", false),
    ] {
        ehr.behave(Behaviour::faithful().status(200, body));
        let answer = payer.get(&format!("{SEARCH}&{sort}"));
        assert_eq!((answer.status(), &answer.ending), (200, &Ending::Whole), "{sort}");
        let own = answer.json()["link"][0]["url"].as_str().unwrap().to_owned();
        assert_eq!(own.contains("_sort="), is_sorted, "{own}");
        assert!(own.contains("code=4548-4"), "{own}");
        let record = gateway.log();
        if *body == few {
            let counts = record.exchange(answer.header("x-request-id")).counts.clone().unwrap();
            assert_eq!(counts.ignored.contains(&"_sort".to_owned()), !is_sorted || sort == "_sort=-date", "{sort}");
        }
    }
    ehr.behave(Behaviour::faithful().status(200, &few));
    let counted = payer.search(&format!("{SEARCH}&_sort=-date&_summary=count"));
    assert_eq!(counted.total, Some(4));
}

#[test]
fn a_large_answer_that_breaks_off_or_drips_is_a_failure_from_the_start() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let padding = " ".repeat(2 * limits::WHOLE_ANSWER_BYTES);
    let body = format!(r#"{{"resourceType":"Bundle","type":"searchset",{padding}"entry":[]}}"#);
    for broken_off in [0, 60, limits::WHOLE_ANSWER_BYTES + 1] {
        ehr.behave(Behaviour::faithful().status(200, &body).truncated(broken_off));
        let answer = payer.get(SEARCH);
        assert_eq!((answer.status(), &answer.ending), (502, &Ending::Whole), "after {broken_off} bytes");
    }
    ehr.behave(Behaviour::faithful().status(200, &body).drip(4_096, Duration::from_millis(1)));
    assert_eq!(payer.search(SEARCH).entries.len(), 0);
}
