//! A page is cut where it is full, after what earlier pages held, whatever searchsets it is made of.

use super::*;
use crate::fhir::json::Value;
use crate::understand::testing::page_after;

const SMALL: &str = "Observation?patient=p1&_count=2&_include=Observation:performer";

fn match_of(id: &str, performer: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"{id}","subject":{{"reference":"Patient/p1"}},"performer":[{{"reference":"Practitioner/{performer}"}}]}}"#
    )
}

fn performer(id: &str) -> String {
    format!(r#"{{"resourceType":"Practitioner","id":"{id}"}}"#)
}

/// A further page of `asked` that begins after so many matches.
fn further_page(asked: &str, passed: u32) -> Question {
    let digest = permit(EVERYTHING, &interaction(asked)).obligations().digest();
    let further = page_after(asked, "?x", passed, digest);
    let permitted = permit(EVERYTHING, &further);
    rewrite(further, permitted, &[Id::parse("p1").unwrap()]).unwrap().into_question()
}

/// The ids that a page of these searchsets holds, where the next page begins, and whether it would be read on.
fn paged(question: &Question, searchsets: &[&[String]]) -> (Vec<String>, Option<u32>, Tally) {
    let mut filter = BundleFilter::new(question, BASES).paged();
    for (at, resources) in searchsets.iter().enumerate() {
        if at > 0 {
            filter.next_searchset();
        }
        let resources: Vec<&str> = resources.iter().map(String::as_str).collect();
        filter.feed(bundle(&resources).as_bytes()).unwrap();
        filter.end().unwrap();
    }
    let further = filter.further();
    let (body, tally) = filter.close("s", None);
    let text = String::from_utf8(body.as_bytes().to_vec()).unwrap();
    let mut tape = Tape::new();
    let root = tape.read(text.as_bytes()).unwrap().root();
    let entries = root.get("entry").into_iter().flat_map(Value::items);
    let id = |entry: Value<'_>| entry.get("resource")?.get("id")?.text().map(|id| id.into_owned());
    (entries.filter_map(id).collect(), further, tally)
}

#[test]
fn a_page_ends_where_it_is_full_and_the_next_begins_there() {
    let all =
        [match_of("a", "x"), match_of("b", "y"), match_of("c", "z"), performer("x"), performer("y"), performer("z")];
    let first = paged(&question(SMALL, EVERYTHING), &[&all]);
    assert_eq!((first.0.as_slice(), first.1), (["a", "b", "x", "y"].map(String::from).as_slice(), Some(2)));
    assert_eq!((first.2.matches, first.2.released), (2, 4));
    let second = paged(&further_page(SMALL, 2), &[&all]);
    assert_eq!((second.0.as_slice(), second.1), (["c", "z"].map(String::from).as_slice(), None));
    let third = paged(&further_page(SMALL, 3), &[&all]);
    assert_eq!((third.0.len(), third.1), (0, None));
}

#[test]
fn a_page_is_made_of_several_searchsets() {
    let one = [match_of("a", "x"), performer("x"), match_of("p9", "x").replace("Patient/p1", "Patient/p2")];
    let two = [match_of("b", "x"), match_of("c", "z"), performer("x"), performer("z")];
    let page = paged(&question(SMALL, EVERYTHING), &[&one, &two]);
    assert_eq!(page.0, ["a", "x", "b"], "what came along once does not come again");
    assert_eq!(page.1, Some(1), "of the last searchset, one match stands before the next page");
    // What earlier pages held lies in the first searchset only.
    let page = paged(&further_page(SMALL, 1), &[&one, &two]);
    assert_eq!((page.0.as_slice(), page.1), (["b", "c", "x", "z"].map(String::from).as_slice(), None));
}

#[test]
fn a_full_page_looks_ahead_and_takes_nothing_from_there() {
    let one = [match_of("a", "x"), match_of("b", "x")];
    let withheld = [match_of("p9", "x").replace("Patient/p1", "Patient/p2"), performer("x")];
    let more = [performer("x"), match_of("c", "x"), match_of("d", "x")];
    let asked = question(SMALL, EVERYTHING);
    let page = paged(&asked, &[&one, &withheld]);
    assert_eq!((page.0.as_slice(), page.1), (["a", "b"].map(String::from).as_slice(), None));
    let page = paged(&asked, &[&one, &withheld, &more]);
    assert_eq!((page.0.as_slice(), page.1), (["a", "b"].map(String::from).as_slice(), Some(0)));
    assert_eq!(page.2.patients.len(), 1);
}

#[test]
fn without_a_limit_a_searchset_is_not_cut() {
    let many: Vec<String> = (0..250).map(|number| match_of(&format!("o{number}"), "x")).collect();
    let page = paged(&question("Observation?patient=p1", EVERYTHING), &[&many]);
    assert_eq!((page.0.len(), page.1), (250, None));
    let capped = EVERYTHING.replace(r#""withhold_labels""#, r#""page_cap":7,"withhold_labels""#);
    let page = paged(&question("Observation?patient=p1&_count=50", &capped), &[&many]);
    assert_eq!((page.0.len(), page.1), (7, Some(7)));
    let counted = paged(&question("Observation?patient=p1&_summary=count", &capped), &[&many, &many]);
    assert_eq!((counted.0.len(), counted.1, counted.2.matches), (0, None, 500));
}
