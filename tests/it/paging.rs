//! Pages are filled up from what may leave: withheld entries leave no holes, no links and no lengths behind.

use std::fmt::Write as _;

use portcullis::demo::ehr::{Behaviour, Ehr};
use portcullis::limits;

use crate::support::{Gateway, Payer, clinic, gateway, permitting};

/// Observations of Maren's under one code, in this order; those marked carry a label that is withheld.
fn with_records(ehr: &Ehr, code: &str, withheld: &[bool], padding: usize) {
    let mut bundle = r#"{"resourceType":"Bundle","type":"collection","entry":["#.to_owned();
    for (number, withheld) in withheld.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let label = if *withheld { r#""meta":{"security":[{"system":"urn:l","code":"secret"}]},"# } else { "" };
        let note = "x".repeat(padding);
        write!(
            bundle,
            r#"{comma}{{"resource":{{"resourceType":"Observation","id":"{code}-{number:03}",{label}"status":"final","code":{{"coding":[{{"system":"urn:c","code":"{code}"}}]}},"subject":{{"reference":"Patient/maren"}},"performer":[{{"reference":"Practitioner/sethi"}}],"note":[{{"text":"{note}"}}]}}}}"#
        )
        .unwrap();
    }
    bundle.push_str("]}");
    ehr.put(&bundle).unwrap();
}

fn stage(code: &str, withheld: &[bool], padding: usize) -> (Ehr, Gateway) {
    let ehr = clinic();
    with_records(&ehr, code, withheld, padding);
    let policy = permitting(r#""withhold_labels": ["urn:l|secret"], "includes": ["Observation:performer"]"#);
    let gateway = gateway().with_policy(policy).in_front_of(&ehr);
    (ehr, gateway)
}

/// How many matches each page of a walk has.
fn walk(payer: &Payer, target: &str) -> Vec<usize> {
    payer.every_page(target).iter().map(|page| page.matches().len()).collect()
}

/// Whether each of `count` records is withheld: all but every `each`th.
fn all_but_every(each: usize, count: usize) -> Vec<bool> {
    (0..count).map(|number| number % each != 0).collect()
}

#[test]
fn a_page_is_full_unless_it_is_the_last() {
    let (_ehr, mut gateway) = stage("walk", &all_but_every(4, 40), 10);
    let payer = gateway.payer("lanternfield");
    for (count, expected) in [
        (1, vec![1; 10]),
        (2, vec![2; 5]),
        (3, vec![3, 3, 3, 1]),
        (5, vec![5, 5]),
        (7, vec![7, 3]),
        (10, vec![10]),
        (40, vec![10]),
    ] {
        let target = format!("/Observation?patient=maren&code=urn:c|walk&_count={count}");
        assert_eq!(walk(&payer, &target), expected, "_count={count}");
    }
    let last = payer.get("/Observation?patient=maren&code=urn:c|walk&_count=10");
    let log = gateway.stop();
    let record = log.exchange(last.header("x-request-id"));
    let asked = record.upstream_request.as_deref().unwrap();
    assert!(asked.starts_with("/Observation?") && asked.matches(" ?_getpages=").count() == 3, "{asked}");
    assert_eq!(record.counts.as_ref().map(|counts| (counts.received, counts.released)), Some((40, 10)));
}

#[test]
fn a_walk_finds_every_record_once() {
    let (_ehr, gateway) = stage("once", &all_but_every(3, 50), 10);
    let payer = gateway.payer("lanternfield");
    for include in ["", "&_include=Observation:performer"] {
        let pages = payer.every_page(&format!("/Observation?patient=maren&code=urn:c|once&_count=4{include}"));
        let mut found: Vec<&str> = pages.iter().flat_map(|page| page.matches()).collect();
        found.sort_unstable();
        let expected: Vec<String> = (0..50).step_by(3).map(|number| format!("Observation/once-{number:03}")).collect();
        assert_eq!(found, expected);
        let included: Vec<usize> = pages.iter().map(|page| page.included().len()).collect();
        let along = usize::from(!include.is_empty());
        assert_eq!(included, vec![along; pages.len()], "once a page, however many of the EHR's it came from");
    }
}

#[test]
fn there_is_a_next_page_only_where_something_may_leave() {
    // Two that may leave, then nothing but withheld ones.
    let mut withheld = vec![true; 12];
    withheld[0] = false;
    withheld[1] = false;
    let (ehr, gateway) = stage("tail", &withheld, 10);
    with_records(&ehr, "tall", &[false, false], 10);
    let payer = gateway.payer("lanternfield");
    let page = |code: &str| {
        let answer = payer.get(&format!("/Observation?patient=maren&code=urn:c|{code}&_sort=_id&_count=2"));
        (answer.searchset(), answer)
    };
    let ((hiding, with), (plain, without)) = (page("tail"), page("tall"));
    assert_eq!((hiding.matches().len(), hiding.next.as_ref(), hiding.total), (2, None, Some(2)));
    assert_eq!((plain.matches().len(), plain.next.as_ref(), plain.total), (2, None, Some(2)));
    for name in ["content-length", "transfer-encoding", "content-type", "etag"] {
        assert_eq!(with.header(name), without.header(name), "{name}");
    }
}

#[test]
fn how_an_answer_is_framed_tells_what_leaves_and_no_more() {
    // A large answer of the EHR of which nothing or little leaves, beside one that has nothing else.
    let mut withheld = vec![true; 60];
    withheld[30] = false;
    let (ehr, gateway) = stage("much", &withheld, 3_000);
    with_records(&ehr, "some", &[false], 3_000);
    let payer = gateway.payer("lanternfield");
    let of = |code: &str| {
        let answer = payer.get(&format!("/Observation?patient=maren&code=urn:c|{code}"));
        let found = answer.searchset();
        let framing = (answer.header("content-length").to_owned(), answer.header("transfer-encoding").to_owned());
        (found.matches().len(), found.total, found.next, framing.0, framing.1)
    };
    let (much, some) = (of("much"), of("some"));
    assert_eq!((much.0, much.1, &much.2), (1, Some(1), &None));
    // The ids differ by two digits, which is one character for each of the two places where they stand.
    assert_eq!(much.3.len(), some.3.len());
    assert_eq!((much.4.as_str(), some.4.as_str()), ("", ""));
    assert_eq!(much.3, some.3);
}

#[test]
fn an_ehr_that_ignores_the_page_size_does_not_decide_it() {
    let (ehr, gateway) = stage("wide", &all_but_every(2, 30), 10);
    let payer = gateway.payer("lanternfield");
    ehr.behave(Behaviour::faithful().careless().only_for("Observation"));
    assert_eq!(walk(&payer, "/Observation?patient=maren&code=urn:c|wide&_count=6"), [6, 6, 3]);
    let capped = permitting(r#""withhold_labels": ["urn:l|secret"], "page_cap": 4"#);
    gateway.reload(&capped).unwrap();
    assert_eq!(walk(&payer, "/Observation?patient=maren&code=urn:c|wide"), [4, 4, 4, 3]);
    let first = payer.search("/Observation?patient=maren&code=urn:c|wide&_count=100");
    assert_eq!((first.matches().len(), first.total), (4, None));
}

#[test]
fn what_is_counted_is_what_leaves() {
    let (_ehr, gateway) = stage("sum", &all_but_every(5, 250), 10);
    let payer = gateway.payer("lanternfield");
    let target = "/Observation?patient=maren&code=urn:c|sum";
    assert_eq!(payer.search(&format!("{target}&_summary=count")).total, Some(50));
    let whole = payer.search(target);
    assert_eq!((whole.matches().len(), whole.total, whole.next), (50, Some(50), None));
}

#[test]
fn the_search_for_more_has_an_end() {
    // More withheld pages in a row than are looked through for one page.
    let count = limits::UPSTREAM_PAGES * 2 + 6;
    let mut withheld = vec![true; count];
    withheld[0] = false;
    withheld[count - 1] = false;
    let (ehr, gateway) = stage("far", &withheld, 10);
    let payer = gateway.payer("lanternfield");
    let before = ehr.requests().len();
    let first = payer.search("/Observation?patient=maren&code=urn:c|far&_sort=_id&_count=2");
    assert_eq!(first.matches(), ["Observation/far-000"]);
    assert_eq!(ehr.requests().len() - before, limits::UPSTREAM_PAGES);
    assert_eq!(first.total, None, "not all was seen");
    let last = payer.search(&first.next.unwrap());
    assert_eq!(last.matches(), [format!("Observation/far-{:03}", count - 1)]);
    assert_eq!(last.next, None);
}

#[test]
fn an_ehr_that_goes_in_circles_is_no_answer() {
    let (ehr, gateway) = stage("loop", &[true], 10);
    let payer = gateway.payer("lanternfield");
    let itself = format!("{}?_getpages=again", ehr.base());
    let body =
        format!(r#"{{"resourceType":"Bundle","type":"searchset","link":[{{"relation":"next","url":"{itself}"}}]}}"#);
    ehr.behave(Behaviour::faithful().status(200, &body));
    assert_eq!(payer.get("/Observation?patient=maren&code=urn:c|loop").refusal().status, 502);
}
