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

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::policy_tests;
use super::{Engine, EngineSetting, Policies, PolicySettings};

fn starter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

fn patient() -> PolicySettings {
    PolicySettings { time: Duration::from_secs(10), ..PolicySettings::default() }
}

#[test]
fn the_starter_policies_pass_their_own_tests() {
    let report = policy_tests::run(&starter()).unwrap();
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    assert!(report.is_success());
    println!("{}", report.passed.len());
}

#[test]
fn the_starter_policies_run_on_the_machine() {
    let started = std::time::Instant::now();
    let policies = Policies::load(&starter(), patient()).unwrap();
    println!("{:?}", started.elapsed());
    assert_eq!(policies.current().engine(), Engine::Machine, "{}", policies.current().engine_reason());
    let slow = PolicySettings { engine: EngineSetting::Interpreter, ..patient() };
    assert_eq!(Policies::load(&starter(), slow).unwrap().current().engine(), Engine::Interpreter);
}
