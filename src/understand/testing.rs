//! Interactions for the tests of later steps.

use jiff::Timestamp;

use super::{Asked, Interaction, Page, PageKey, Setting, understand};
use crate::clock::Now;

/// The interaction that a GET of `target` below the base asks for.
pub(crate) fn interaction(target: &str) -> Interaction {
    let pages = PageKey::random().unwrap();
    let now = Now::at(Timestamp::from_second(1_700_000_000).unwrap());
    let setting =
        Setting { bases: &["https://gw.example/fhir"], pages: &pages, client: "payer-a", purpose: "HPAYMT", now };
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let path: Vec<&str> = path.split('/').collect();
    understand(Asked { post: false, path: &path, query, form: None }, setting).unwrap()
}

/// A further page of the search that a GET of `target` asks for.
pub(crate) fn page(target: &str, continuation: &str, decision: [u8; 16]) -> Interaction {
    let Interaction::Search(search) = interaction(target) else { panic!("not a search") };
    Interaction::Page(Page { search, continuation: continuation.into(), decision })
}
