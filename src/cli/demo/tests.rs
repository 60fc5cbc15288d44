use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use serde_json::Value;

use super::invitation::{TRIES, Try};
use super::*;
use crate::audit::records;
use crate::audit::verify::{Trust, verify};
use crate::cli::{Exit, run};

fn demo(words: &[&str]) -> (Exit, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = ["portcullis", "demo"].iter().chain(words).map(OsString::from);
    let exit = run(arguments, &mut out, &mut err);
    (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn on_a_stage<T>(act: impl AsyncFnOnce(&Stage) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stage = Stage::set(0).unwrap();
        let outcome = act(&stage).await;
        stage.strike().await;
        outcome
    })
}

fn names(bundle: &Value) -> BTreeSet<String> {
    let name = |entry: &Value| {
        let text = |name: &str| entry["resource"][name].as_str().unwrap().to_owned();
        format!("{}/{}", text("resourceType"), text("id"))
    };
    bundle["entry"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn the_object_adds_up() {
    let (exit, out, err) = demo(&["--once", "--json"]);
    assert_eq!((exit, err.as_str()), (Exit::Ok, ""));
    let object: Value = serde_json::from_str(&out).unwrap();
    let members: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["decision_id", "released", "request", "upstream", "upstream_request", "withheld"]);
    let (upstream, released) = (names(&object["upstream"]), names(&object["released"]));
    let mut withheld = BTreeSet::new();
    for held in object["withheld"].as_array().unwrap() {
        let (what, reason) = (held["what"].as_str().unwrap(), held["reason"].as_str().unwrap());
        match what.split_once('.') {
            Some((resource, element)) => {
                assert!(released.contains(resource) && reason.starts_with("element: "), "{held}");
                let of = |bundle: &Value| {
                    let entries = bundle["entry"].as_array().unwrap();
                    entries
                        .iter()
                        .find(|entry| resource.ends_with(entry["resource"]["id"].as_str().unwrap()))
                        .unwrap()
                        .clone()
                };
                assert!(of(&object["upstream"])["resource"].get(element).is_some(), "{held}");
                assert!(of(&object["released"])["resource"].get(element).is_none(), "{held}");
            }
            None => {
                let known = ["authorship: ", "constraint: ", "label: "].iter().any(|code| reason.starts_with(code));
                assert!(known, "{held}");
                assert!(withheld.insert(what.to_owned()), "{what} twice");
            }
        }
    }
    assert_eq!((upstream.len(), released.len(), withheld.len()), (16, 8, 8));
    assert!(released.is_disjoint(&withheld));
    assert_eq!(released.union(&withheld).cloned().collect::<BTreeSet<_>>(), upstream);

    let (_, text) = out.split_once("\"released\":").unwrap();
    let (text, _) = text.split_once("\"withheld\":").unwrap();
    let squeezed: String = text.split_whitespace().collect();
    assert!(squeezed.contains("\"value\":6.30,"), "{text}");
    for secret in ["\"security\"", "42CFRPart2", "HIV", "Ethanol", "2021-", "2022-", "Non-fasting", "18 March 2025"] {
        assert!(out.contains(secret) && !text.contains(secret), "{secret}");
    }
    assert_eq!(object["request"], "Observation?patient=Patient/maren&category=laboratory");
    assert!(object["upstream_request"].as_str().unwrap().contains("date=ge2024-01-01"));
}

#[test]
fn one_is_withheld_for_want_of_an_author_and_one_for_a_broken_signature() {
    let (_, out, _) = demo(&["--once", "--json"]);
    let object: Value = serde_json::from_str(&out).unwrap();
    let reasons = object["withheld"].as_array().unwrap();
    let reason = |what: &str| reasons.iter().find(|held| held["what"] == what).unwrap()["reason"].as_str().unwrap();
    let nobody = reason("Observation/maren-ferritin-2026");
    assert!(
        nobody.starts_with("authorship: ") && nobody.ends_with("(unknown, author-stated: cannot-tell)"),
        "{nobody}"
    );
    let broken = reason("Observation/maren-vitamin-d-2026");
    assert!(broken.starts_with("authorship: ") && broken.contains("signature-holds: mismatch"), "{broken}");
    // The same laboratory's other result, whose signature holds, and the clinic's own, which needs none.
    let entries = object["released"]["entry"].as_array().unwrap();
    let mark = |id: &str| {
        let entry = entries.iter().find(|entry| entry["resource"]["id"] == id).unwrap();
        let tags = entry["resource"]["meta"]["tag"].as_array().unwrap();
        tags.iter().find(|tag| tag["system"] == "urn:portcullis:authorship").unwrap()["code"].clone()
    };
    assert_eq!(mark("maren-b12-2026"), "verified");
    assert_eq!(mark("maren-hba1c-2025"), "asserted-by-source");
}

#[test]
fn the_exchange_is_in_the_log_that_verifies() {
    on_a_stage(async |stage| {
        let comparison = stage.compare().await.unwrap();
        let entries: Vec<_> = records(stage.audit()).unwrap().map(|record| record.unwrap().entry).collect();
        let decided = |id: &str| entries.iter().find(|entry| entry.decision.as_ref().is_some_and(|one| one.id == id));
        let entry = decided(&comparison.decision_id).unwrap();
        assert_eq!(entry.exchange.as_deref(), Some(comparison.exchange.as_str()));
        assert_eq!(entry.request.as_deref(), Some(comparison.request.as_str()));
        assert_eq!(entry.upstream_request.as_deref(), Some(comparison.upstream_request.as_str()));
        assert_eq!(entry.counts.as_ref().unwrap().released, 8);
        verify(stage.audit(), &Trust::default()).unwrap();
    });
}

#[test]
fn every_request_that_is_proposed_has_the_status_that_is_promised() {
    on_a_stage(async |stage| {
        for Try { shows, status, target, form, token } in TRIES {
            let request = match form {
                None => Request::get(format!("/fhir/{target}")).body(Full::default()),
                Some(form) => Request::post(format!("/fhir/{target}"))
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(Full::new(Bytes::from_static(form.as_bytes()))),
            };
            let answer = stage.send(request.unwrap(), *token).await.unwrap();
            assert_eq!(answer.status().as_u16(), *status, "{shows}");
            let text = String::from_utf8(answer.body().to_vec()).unwrap();
            let text: String = text.split_whitespace().collect();
            match *target {
                "Observation?patient=ines" => {
                    assert!(text.contains("\"total\":0") && !text.contains("\"entry\""), "{text}")
                }
                "Observation/maren-hba1c-2025" => assert!(text.contains("\"value\":6.30"), "{text}"),
                "Observation?category=laboratory" => assert!(text.contains("patient-needed"), "{text}"),
                _ => {}
            }
        }
    });
}

#[test]
fn the_text_fits_a_terminal_and_has_colour_only_if_it_may() {
    on_a_stage(async |stage| {
        let comparison = stage.compare().await.unwrap();
        let text = |style| {
            let mut out = Vec::new();
            introduce(style, &mut out).unwrap();
            show(&comparison, style, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let plain = text(Style::Plain);
        assert!(plain.lines().all(|line| line.chars().count() <= 80), "{plain}");
        assert!(!plain.contains('\u{1b}') && text(Style::Colour).contains('\u{1b}'));
        for part in [
            "1. Through an open door: 16 resources",
            "2. Through the gateway: 8 resources",
            "3. Withheld, and why: 8 resources, 2 elements of others",
            "    maren-hba1c-2025        2025-03-18  HbA1c                  6.30 %\n",
            "    maren-tsh-2022          fails date=ge2024-01-01\n",
            "    maren-hiv-2025          v3-Confidentiality|R, v3-ActCode|HIV\n",
            "    maren-ferritin-2026     unknown, author-stated: cannot-tell\n",
            "    maren-vitamin-d-2026    contradicted, signature-holds: mismatch,\n",
            "    maren-ldl-2025.note\n",
        ] {
            assert!(plain.contains(part), "{part}\n{plain}");
        }
        let mut commands = Vec::new();
        invitation::write(stage, &comparison, Style::Plain, &mut commands).unwrap();
        let commands = String::from_utf8(commands).unwrap();
        assert_eq!(commands.matches("curl --cacert ").count(), TRIES.len());
        assert!(commands.contains(&format!("http://{}/health/ready", stage.admin_address())));
    });
}

#[test]
fn the_folder_is_private_and_gone_in_the_end() {
    let folder = on_a_stage(async |stage| {
        let mode = fs::metadata(stage.folder()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700);
        let before = fs::read_to_string(stage.token_file()).unwrap();
        stage.renew_token().unwrap();
        assert_ne!(fs::read_to_string(stage.token_file()).unwrap(), before);
        stage.folder().to_owned()
    });
    assert!(!folder.exists());
}

#[test]
fn a_port_that_is_taken_is_not_shared() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (exit, out, err) = demo(&["--once", "--port", &port]);
    assert_eq!((exit, out.as_str()), (Exit::Failed, ""));
    assert!(err.contains(&format!("port {port} cannot be used")), "{err}");
    assert_eq!(demo(&["--json"]).0, Exit::Usage);
}
