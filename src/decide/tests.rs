//! Decisions end to end.

use crate::clock::Now;
use crate::understand::{Asked, Interaction, PageKey, Setting, understand};

fn asked(path: &[&str], query: Option<&str>) -> Interaction {
    let pages = PageKey::random().unwrap();
    let now = Now::at("2026-11-23T12:00:00Z".parse().unwrap());
    let setting = Setting { bases: &[], pages: &pages, client: "c", purpose: "p", now };
    understand(Asked { post: false, path, query, form: None }, setting).unwrap()
}

pub(super) fn read(resource_type: &str, id: &str) -> Interaction {
    asked(&[resource_type, id], None)
}

pub(super) fn search(resource_type: &str, query: &str) -> Interaction {
    asked(&[resource_type], Some(query))
}
