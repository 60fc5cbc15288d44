//! One request in many spellings is one request.

use portcullis::fhir::name::Id;
use portcullis::rewrite::rewrite;
use portcullis::understand::{Interaction, UnderstandError};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::drawing;
use super::request::{Asked, search};
use crate::fuzz::stage::{Decisions, get, post, whole};

const REGRESSIONS: &str = "tests/it/properties/regressions/spelling.txt";

/// A query of these pairs. Bytes that must be encoded are; of the others, those that the bits of `more` choose.
pub(super) fn query(pairs: &[(String, String)], more: u64) -> String {
    let mut bits = more | 1;
    let mut encode = |text: &str| -> String {
        let byte = |byte: u8| {
            bits = bits.rotate_left(7).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let chosen = more != 0 && bits >> 61 == 0;
            match byte {
                b' ' if bits & 8 == 0 => "+".to_owned(),
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b',' | b'|'
                    if !chosen =>
                {
                    char::from(byte).to_string()
                }
                _ if bits & 16 == 0 => format!("%{byte:02x}"),
                _ => format!("%{byte:02X}"),
            }
        };
        text.bytes().map(byte).collect()
    };
    let pair = |(name, value): &(String, String)| format!("{}={}", encode(name), encode(value));
    let pairs: Vec<String> = pairs.iter().map(pair).collect();
    pairs.join("&")
}

fn by_get(resource_type: &str, query: &str) -> Result<Interaction, UnderstandError> {
    let mark = if query.is_empty() { "" } else { "?" };
    get(&format!("{resource_type}{mark}{query}"))
}

#[test]
fn what_is_written_back_is_understood_as_the_same() {
    let mut runner = TestRunner::new(drawing(1_500, REGRESSIONS));
    let mut understood = 0;
    let seen = std::cell::Cell::new(0);
    let property = |(asked, more): (Asked, u64)| {
        let (resource_type, pairs) = asked;
        let Ok(interaction) = by_get(resource_type, &query(&pairs, more)) else { return Ok(()) };
        seen.set(seen.get() + 1);
        let canonical = interaction.canonical();
        let again = get(&canonical);
        prop_assert_eq!(again.as_ref().map(whole), Ok(whole(&interaction)), "{}", canonical);
        prop_assert_eq!(again.unwrap().canonical(), canonical);
        Ok(())
    };
    runner.run(&(search(), any::<u64>()), property).unwrap();
    understood += seen.get();
    assert!(understood >= runner.config().cases / 2, "{understood} of {} were understood", runner.config().cases);
}

#[test]
fn reads_are_written_back_too() {
    let mut runner = TestRunner::new(drawing(300, REGRESSIONS));
    let shape = ("[A-Za-z0-9.-]{1,64}", prop::option::of("[a-z]{1,8}(,[a-z]{1,8}){0,3}"));
    let property = |(id, elements): (String, Option<String>)| {
        let target = elements.map_or(format!("Patient/{id}"), |elements| format!("Patient/{id}?_elements={elements}"));
        let interaction = get(&target).unwrap();
        let again = get(&interaction.canonical()).unwrap();
        prop_assert_eq!(whole(&again), whole(&interaction), "{}", target);
        Ok(())
    };
    runner.run(&shape, property).unwrap();
}

#[test]
fn every_spelling_is_one_interaction() {
    let mut runner = TestRunner::new(drawing(500, REGRESSIONS));
    let property = |(asked, one, other, cut): (Asked, u64, u64, usize)| {
        let (resource_type, pairs) = asked;
        let plain = by_get(resource_type, &query(&pairs, 0)).map(|interaction| whole(&interaction));
        for spelt in [query(&pairs, one), query(&pairs, other)] {
            let again = by_get(resource_type, &spelt).map(|interaction| whole(&interaction));
            prop_assert_eq!(&again, &plain, "{}", spelt);
        }
        let (first, rest) = pairs.split_at(cut % (pairs.len() + 1));
        for (in_query, in_form) in [(&[][..], &pairs[..]), (&pairs, &[]), (first, rest)] {
            let in_query = query(in_query, one);
            let form = query(in_form, other);
            let posted = post(
                resource_type,
                Some(&in_query).filter(|query| !query.is_empty()).map(String::as_str),
                form.as_bytes(),
            );
            prop_assert_eq!(posted.map(|interaction| whole(&interaction)), plain.clone(), "{} and {}", in_query, form);
        }
        Ok(())
    };
    runner.run(&(search(), any::<u64>(), any::<u64>(), any::<usize>()), property).unwrap();
}

/// The decision, and what the EHR is asked, or why it is not.
#[test]
fn get_and_post_meet_one_verdict() {
    const LABS: &str = r#""patients":["p1","p2"],"types":{"Observation":{"where":["category=laboratory&date=ge2024-01-01"],
        "elements":["status","category","code","subject","effective[x]","value[x]","performer"]},"Patient":{"elements":["name.family","gender"]}},
        "withhold_labels":[],"includes":["Observation:performer"]"#;
    let decisions = Decisions::load([("payer-a", LABS)]);
    let patients = [Id::parse("p1").unwrap()];
    let verdict = |understood: Result<Interaction, UnderstandError>| -> Result<String, String> {
        let interaction = understood.map_err(|error| format!("{error:?}"))?;
        let permit = decisions.permit("payer-a", &interaction, &patients).ok_or("not permitted")?;
        let prepared = rewrite(interaction, permit, &patients).map_err(|error| format!("{error:?}"))?;
        Ok(format!("{} {:?} {:?}", prepared.target(), prepared.form(), prepared.keep()))
    };
    let permitted = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(drawing(400, REGRESSIONS));
    let property = |(asked, one, other): (Asked, u64, u64)| {
        let (resource_type, pairs) = asked;
        let got = verdict(by_get(resource_type, &query(&pairs, one)));
        let posted = verdict(post(resource_type, None, query(&pairs, other).as_bytes()));
        permitted.set(permitted.get() + usize::from(got.is_ok()));
        prop_assert_eq!(got, posted);
        Ok(())
    };
    runner.run(&(search(), any::<u64>(), any::<u64>()), property).unwrap();
    assert!(permitted.get() > 20, "{} were permitted", permitted.get());
}
