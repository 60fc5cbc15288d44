//! Interactions for the tests of later steps.

use jiff::Timestamp;

use super::{Asked, ContentLink, Interaction, Page, PageKey, Setting, understand};
use crate::clock::Now;
use crate::fhir::name::Id;

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
    page_after(target, continuation, 0, decision)
}

/// As [`page`], where earlier pages held `passed` matches of what lies there.
pub(crate) fn page_after(target: &str, continuation: &str, passed: u32, decision: [u8; 16]) -> Interaction {
    let Interaction::Search(search) = interaction(target) else { panic!("not a search") };
    Interaction::Page(Page { search, continuation: continuation.into(), passed, decision })
}

/// What a link to the content of a document asks for.
pub(crate) fn content(document: &str, binary: &str, media: Option<&str>, revision: &str) -> Interaction {
    let pages = PageKey::random().unwrap();
    let now = Now::at(Timestamp::from_second(1_700_000_000).unwrap());
    let (client, purpose) = ("payer-a", "HPAYMT");
    let (document, binary) = (Id::parse(document).unwrap(), Id::parse(binary).unwrap());
    let link = ContentLink { document: &document, binary: &binary, media, revision, client, purpose, now };
    let token = pages.seal_content(&link).unwrap();
    let setting = Setting { bases: &[], pages: &pages, client, purpose, now };
    understand(Asked { post: false, path: &["_content", &token], query: None, form: None }, setting).unwrap()
}
