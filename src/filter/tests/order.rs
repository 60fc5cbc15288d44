//! What is at hand is sorted; an order that is wrong and cannot be mended is told of.

use super::*;

fn dated(id: &str, date: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"{id}","status":"final","subject":{{"reference":"Patient/p1"}},"performer":[{{"reference":"Practitioner/d"}}],"effectiveDateTime":"{date}"}}"#
    )
}

/// The ids in order, and whether the order is certainly another; `sends` takes the output of each entry away.
fn sorted(asked: &str, entries: &[String], sends: bool, next: Option<&str>) -> (Vec<String>, bool, bool) {
    let question = question(asked, EVERYTHING);
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let body = bundle(&entries);
    let mut filter = BundleFilter::new(&question, BASES).paged();
    let mut out = Vec::new();
    for bite in body.as_bytes().chunks(64) {
        filter.feed(bite).unwrap();
        if sends {
            out.extend(filter.take_output().as_bytes());
        }
    }
    filter.end().unwrap();
    let is_broken = filter.is_out_of_order(next.is_none());
    let (rest, tally) = filter.close("https://gw/fhir/self", next);
    out.extend(rest.as_bytes());
    let mut tape = Tape::new();
    let bundle = tape.read(&out).unwrap().root();
    let entries = bundle.get("entry").into_iter().flat_map(crate::fhir::json::Value::items);
    let ids = entries.map(|entry| entry.get("resource").unwrap().get("id").unwrap().text().unwrap().into_owned());
    (ids.collect(), is_broken, tally.unheeded.contains("_sort"))
}

#[test]
fn what_is_at_hand_is_sorted_and_what_is_not_is_told_of() {
    let entries: Vec<String> = [("b", "2023"), ("d", "2025"), ("a", "2021"), ("c", "2024-01-01")]
        .iter()
        .map(|(id, date)| dated(id, date))
        .chain([r#"{"resourceType":"Practitioner","id":"d","active":true}"#.to_owned(), dated("none", "soon")])
        .collect();
    let asked = |sort: &str| format!("Observation?patient=p1&_include=Observation:performer&_sort={sort}");
    let whole = |sort: &str| sorted(&asked(sort), &entries, false, None);
    let ids = |ids: [&str; 6]| ids.map(str::to_owned).to_vec();
    assert_eq!(whole("date"), (ids(["a", "b", "c", "d", "none", "d"]), false, true));
    assert_eq!(whole("-date"), (ids(["d", "c", "b", "a", "none", "d"]), false, true));
    assert_eq!(whole("_id"), (ids(["a", "b", "c", "d", "none", "d"]), false, false));
    assert_eq!(whole("status,-_id"), (ids(["none", "d", "c", "b", "a", "d"]), false, false));
    assert_eq!(whole("performer"), (ids(["b", "d", "a", "c", "d", "none"]), false, false));
    let came = ids(["b", "d", "a", "c", "d", "none"]);
    assert_eq!(sorted(&asked("date"), &entries, true, None), (came.clone(), true, true));
    assert_eq!(sorted(&asked("date"), &entries, false, Some("https://gw/fhir/_page/x")), (came.clone(), true, true));
    assert_eq!(sorted(&asked("status"), &entries, true, None), (came, false, false));
    assert_eq!(sorted("Observation?patient=p1&_sort=date", &[], false, None), (Vec::new(), false, false));
}

#[test]
fn what_is_behind_the_page_tells_of_the_order_too() {
    let entries = [dated("a", "2023"), dated("b", "2024"), dated("c", "2021")];
    let page = sorted("Observation?patient=p1&_sort=date&_count=2", &entries, false, Some("https://gw/fhir/_page/x"));
    assert_eq!(page, (vec!["a".to_owned(), "b".to_owned()], true, true));
    let counted = sorted("Observation?patient=p1&_sort=date&_summary=count", &entries, false, None);
    assert_eq!(counted, (Vec::new(), false, false));
}

#[test]
fn a_further_page_is_held_against_the_order_and_not_sorted() {
    let search = "Observation?patient=p1&_sort=date";
    let first = question(search, EVERYTHING);
    let interaction = page(search, "/Observation?page=2", first.permit().obligations().digest());
    let permit = permit(EVERYTHING, &interaction);
    let question = rewrite(interaction, permit, &[Id::parse("p1").unwrap()]).unwrap().into_question();
    let mut filter = BundleFilter::new(&question, BASES).paged();
    filter.feed(bundle(&[&dated("a", "2023"), &dated("b", "2021")]).as_bytes()).unwrap();
    filter.end().unwrap();
    assert!(filter.is_out_of_order(true));
}
