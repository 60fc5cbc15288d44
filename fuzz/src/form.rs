//! The body of a search by POST: it is understood as the same text in a query is, wherever it is divided between both,
//! and its canonical spelling is understood as itself.

use portcullis::understand::{Interaction, UnderstandError};

use super::stage::{get, post, whole};

const TYPES: [&str; 6] = ["Observation", "Patient", "Condition", "Coverage", "Provenance", "Encounter"];

/// The first byte chooses a type, the second where the form is divided, the rest is the form.
pub fn run(data: &[u8]) {
    let [first, second, form @ ..] = data else { return };
    let resource_type = TYPES[usize::from(*first) % TYPES.len()];
    let understood = post(resource_type, None, form);
    let Ok(text) = std::str::from_utf8(form) else {
        assert_eq!(understood.as_ref().err(), Some(&UnderstandError::Encoding));
        return;
    };
    let as_query = post(resource_type, Some(text), b"");
    assert_eq!(as_query.as_ref().map(whole), understood.as_ref().map(whole));
    divided(resource_type, text, usize::from(*second), &understood);
    let Ok(interaction) = understood else { return };
    assert!(matches!(interaction, Interaction::Search(_)));
    let canonical = interaction.canonical();
    let again = get(&canonical).unwrap_or_else(|error| panic!("{canonical}: {error}"));
    assert_eq!(whole(&again), whole(&interaction), "{canonical}");
}

/// Some pairs in the query and some in the form say what all of them say in the form.
fn divided(resource_type: &str, text: &str, at: usize, whole_form: &Result<Interaction, UnderstandError>) {
    let cuts: Vec<usize> = text.match_indices('&').map(|(at, _)| at).collect();
    let Some(cut) = cuts.get(at % cuts.len().max(1)) else { return };
    let (query, form) = (&text[..*cut], &text[cut + 1..]);
    if query.is_empty() || form.is_empty() {
        return;
    }
    match (post(resource_type, Some(query), form.as_bytes()), whole_form) {
        (Ok(divided), Ok(whole_form)) => assert_eq!(whole(&divided), whole(whole_form)),
        (Err(_), Err(_)) => {}
        // Each place may hold as many parameters as both together.
        (Ok(_), Err(UnderstandError::Parameters)) => {}
        (divided, _) => panic!("divided {divided:?}, whole {whole_form:?}"),
    }
}
