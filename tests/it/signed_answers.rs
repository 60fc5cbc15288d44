//! Where it was agreed, every searchset is signed as the organisation, as it is sent, and what is no searchset is refused.

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::cli;
use portcullis::clock::Clock;
use portcullis::demo::ehr::{Behaviour, Ehr};
use portcullis::limits;
use rcgen::date_time_ymd;
use rustls::pki_types::ServerName;
use serde_json::{Value as Json, json};

use crate::signature::stage::{
    NPI, ORGANISATION, Party, authority, authority_params, leaf_params, named, p256, params,
};
use crate::support::folder::Folder;
use crate::support::gateway::{BASE, HOST, Setup, block_on, hex};
use crate::support::{Answer, Gateway, Payer, clinic, gateway, starter};

/// Clients with whom signatures were agreed, and how the gateway signs.
fn sections() -> String {
    let mut text = format!(
        "[organization]\nidentifier = \"{NPI}|{}\"\nname = \"Invented clinic\"\n\
         [signing]\ncertificate = \"signing.pem\"\nkey = \"signing.key\"\n",
        ORGANISATION.1
    );
    for (id, edition) in [("notary", "ci"), ("notary-published", "2.1.0")] {
        text.push_str(&format!(
            "[[client]]\nid = \"{id}\"\norganization = \"https://lanternfield.example\"\nissuer = \"https://as.example.org\"\n\
             purposes = [\"HPAYMT\"]\nscopes = [\"system/*.rs\"]\nsigned_answers = \"{edition}\"\n"
        ));
    }
    text
}

fn signing(setup: Setup, party: &Party) -> Setup {
    let setup = setup.with_file("signing.pem", party.chain_pem()).with_file("signing.key", party.key_pem());
    setup.with(&sections())
}

fn stage(party: &Party) -> (Ehr, Gateway) {
    let ehr = clinic();
    let gateway = signing(gateway(), party).in_front_of(&ehr);
    (ehr, gateway)
}

/// Exit code, and verdict of `portcullis verify` on what was saved.
fn verified(body: &[u8], edition: &str) -> (String, String) {
    let folder = Folder::new();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("saved.json"), body).unwrap();
    folder.write("ca.pem", &authority().chain_pem());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let now = Clock::System.now().to_instant();
    let words =
        ["portcullis", "verify", &path("saved.json"), "--anchors", &path("ca.pem"), "--at", &now, "--dialect", edition];
    let exit = ExitCode::from(cli::run(words.map(std::ffi::OsString::from), &mut out, &mut err));
    (format!("{exit:?}"), String::from_utf8(out).unwrap())
}

#[track_caller]
fn assert_signed(answer: &Answer, edition: &str) {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let (exit, said) = verified(&answer.body, edition);
    if edition == "2.1.0" {
        // It knows neither the purpose nor the time in what is signed.
        assert_eq!(exit, format!("{:?}", ExitCode::from(3)), "{said}");
        assert!(said.contains("commitment-missing"), "{said}");
        assert!(
            said.matches("  warning").count() <= 2 && !said.contains("FAILS") && !said.contains("undecided"),
            "{said}"
        );
        return;
    }
    assert_eq!(exit, format!("{:?}", ExitCode::SUCCESS), "{said}\n{}", answer.text());
    assert!(said.starts_with("verified\n"), "{said}");
}

fn with_records(ehr: &Ehr, count: usize, size: usize) {
    let note = "x".repeat(size);
    let record = |at: usize| {
        json!({"resource": {"resourceType": "Observation", "id": format!("large-{at}"), "status": "final",
            "code": {"coding": [{"system": "http://example.org", "code": "large"}]},
            "subject": {"reference": "Patient/maren"}, "note": [{"text": note}]}})
    };
    let entries: Vec<Json> = (0..count).map(record).collect();
    ehr.put(&json!({"resourceType": "Bundle", "type": "collection", "entry": entries}).to_string()).unwrap();
}

const LARGE: &str = "/Observation?patient=maren&code=http://example.org|large";

#[test]
fn what_verify_says_of_a_saved_answer() {
    for party in [Party::new(), Party::on_p384(), Party::with_rsa()] {
        let (ehr, gateway) = stage(&party);
        with_records(&ehr, 5, 10);
        for (client, edition) in [("notary", "ci"), ("notary-published", "2.1.0")] {
            let payer = gateway.payer(client);
            let answer = payer.get(&format!("{LARGE}&_include=Observation:subject&_count=3"));
            assert_signed(&answer, edition);
            let json = answer.json();
            let signature = &json["signature"];
            assert_eq!(signature["who"]["identifier"], json!({"system": NPI, "value": ORGANISATION.1}));
            assert_eq!(signature["who"]["display"], "Invented clinic");
            // Each page is signed with its own links.
            let next = answer.searchset().next.unwrap();
            let second = payer.get(&next);
            assert_signed(&second, edition);
            assert_ne!(second.json()["signature"]["data"], signature["data"]);
            // Whatever is changed afterwards shows, a link and an entry among it.
            for (from, to) in [("final", "amended"), ("fhir/Observation/", "fhir/Condition/"), ("_page/", "_Page/")] {
                let text = answer.text().replacen(from, to, 1);
                assert_ne!(text, answer.text());
                assert_eq!(verified(text.as_bytes(), edition).0, format!("{:?}", ExitCode::FAILURE), "{from}");
            }
        }
        // Nobody else's answers are signed.
        assert!(gateway.payer("lanternfield").get("/Observation?patient=maren").json().get("signature").is_none());
    }
}

#[test]
fn every_way_to_search_is_signed_and_what_is_concealed_looks_like_what_is_not_there() {
    let ehr = clinic();
    let gateway = signing(gateway().with_policy(starter()), &Party::new()).in_front_of(&ehr);
    let payer = gateway.payer("notary");
    assert_signed(&payer.get("/Patient/maren/Condition"), "ci");
    assert_signed(&payer.post("/Condition/_search", "patient=maren&_sort=recorded-date"), "ci");
    assert_signed(&payer.get("/Observation?patient=maren&_summary=count"), "ci");
    let (absent, concealed) =
        (payer.get("/Observation?patient=maren&code=none"), payer.get("/Observation?patient=nobody&code=none"));
    assert_signed(&absent, "ci");
    assert_signed(&concealed, "ci");
    let without = |answer: &Answer| {
        let mut json = answer.json();
        json.as_object_mut().unwrap().remove("signature");
        json.as_object_mut().unwrap().remove("link");
        json
    };
    assert_eq!(without(&absent), without(&concealed));
}

#[test]
fn a_read_is_refused_by_a_business_rule_before_anybody_is_asked() {
    let (ehr, mut gateway) = stage(&Party::new());
    let payer = gateway.payer("notary");
    ehr.reset();
    for target in
        ["/Observation/maren-hba1c-2025", "/Patient/nobody", "/Bundle/x", "/Observation/maren-hba1c-2025?_summary=true"]
    {
        let answer = payer.get(target);
        let refusal = answer.refusal();
        assert_eq!((refusal.status, refusal.code.as_str()), (400, "business-rule"), "{target}");
        assert!(refusal.text.contains("search"), "{}", refusal.text);
    }
    assert!(ehr.requests().is_empty());
    assert_eq!(gateway.payer("lanternfield").get("/Observation/maren-hba1c-2025").status(), 200);
    assert_eq!(payer.without_token().get("/metadata").status(), 200);
    let log = gateway.stop();
    let faults = log.exchanges().into_iter().filter(|entry| entry.client.as_deref() == Some("notary"));
    assert!(faults.into_iter().all(|entry| entry.outcome.as_ref().unwrap().fault.as_deref() == Some("unsigned")));
}

#[test]
fn an_answer_too_large_to_be_sent_whole_is_held_and_signed() {
    let (ehr, mut gateway) = stage(&Party::with_rsa());
    with_records(&ehr, 100, 3_000);
    let answer = gateway.payer("notary").get(LARGE);
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    assert_eq!(answer.searchset().entries.len(), 100);
    assert_signed(&answer, "ci");
    let id = answer.header("x-request-id").to_owned();
    let log = gateway.stop();
    let record = log.exchange(&id);
    assert!(log.closing(&id).is_none(), "there is one record of it");
    assert_eq!(record.digest, Some(hex(digest(&SHA256, &answer.body).as_ref())));
    assert_eq!(record.counts.as_ref().unwrap().released, 100);
    assert_eq!(record.signature.as_ref().unwrap().edition, "ci");
}

#[test]
fn an_answer_too_large_to_be_held_is_refused_and_nothing_of_it_leaves() {
    let (ehr, mut gateway) = stage(&Party::new());
    with_records(&ehr, limits::SIGNED_ANSWER_BYTES / 100_000 + 1, 100_000);
    let payer = gateway.payer("notary");
    let answer = payer.get(LARGE);
    let refusal = answer.refusal();
    assert_eq!((refusal.status, refusal.code.as_str()), (413, "too-costly"));
    assert!(refusal.text.contains("_count") && !answer.text().contains("xxx"), "{}", refusal.text);
    // In smaller pages it can be had.
    assert_signed(&payer.get(&format!("{LARGE}&_count=10")), "ci");
    let log = gateway.stop();
    let record = log.exchange(answer.header("x-request-id"));
    assert_eq!(record.outcome.as_ref().unwrap().fault.as_deref(), Some("unsignable"));
    assert!(record.patients.is_empty() && record.signature.is_none() && record.digest.is_none());
    assert!(record.counts.as_ref().is_none_or(|counts| counts.released == 0));
}

#[test]
fn an_ehr_that_breaks_off_midway_leaves_nothing_to_sign() {
    let (ehr, mut gateway) = stage(&Party::new());
    with_records(&ehr, 100, 3_000);
    ehr.behave(Behaviour::faithful().truncated(200_000));
    let answer = gateway.payer("notary").get(LARGE);
    assert_eq!(answer.refusal().status, 502);
    let record = gateway.stop().exchange(answer.header("x-request-id")).clone();
    assert!(record.signature.is_none() && record.patients.is_empty());
}

#[test]
fn a_number_that_a_signature_cannot_protect_is_not_sent_as_if_it_could() {
    let (ehr, mut gateway) = stage(&Party::new());
    ehr.put(
        r#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Observation","id":"long","status":"final","code":{"coding":[{"system":"urn:n","code":"long"}]},"subject":{"reference":"Patient/maren"},"valueQuantity":{"value":1.000000000000000000001}}}]}"#,
    )
    .unwrap();
    let answer = gateway.payer("notary").get("/Observation?patient=maren&code=urn:n|long");
    assert_eq!((answer.refusal().status, answer.refusal().code.as_str()), (502, "processing"));
    let record = gateway.stop().exchange(answer.header("x-request-id")).clone();
    assert_eq!(record.counts.unwrap().released, 0);
    assert!(record.patients.is_empty() && record.signature.is_none());
}

/// What is said where the EHR wrote `6.30`: the signature is over 6.3 (RFC 8785), and the digits stay as they are.
const PRECISION: &str = "number-rewritten";

#[test]
fn digits_stay_as_they_are_and_verify_tells_that_they_are_not_protected() {
    let (_ehr, gateway) = stage(&Party::new());
    let (notary, plain) = (gateway.payer("notary"), gateway.payer("lanternfield"));
    let (signed, unsigned) = (notary.get("/Observation?patient=maren"), plain.get("/Observation?patient=maren"));
    let (exit, said) = verified(&signed.body, "ci");
    assert_eq!(exit, format!("{:?}", ExitCode::from(3)));
    assert_eq!(said.matches("  warning").count(), 1, "{said}");
    assert!(said.contains(PRECISION), "{said}");
    let all = unsigned.text().strip_suffix('}').unwrap();
    assert!(signed.text().starts_with(&format!("{all},\"signature\":")));
}

fn responses(payer: &Payer, targets: &[&str]) -> Vec<Json> {
    let entries: Vec<Json> = targets.iter().map(|url| json!({"request": {"method": "GET", "url": url}})).collect();
    let body = json!({"resourceType": "Bundle", "type": "batch", "entry": entries}).to_string();
    let answer = payer.ask("POST", "").header("content-type", "application/fhir+json").body(body).send();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let entries = answer.json()["entry"].as_array().unwrap().clone();
    entries.iter().for_each(|entry| payer.answered(entry["id"].as_str().unwrap()));
    entries
}

#[test]
fn in_a_batch_each_searchset_is_signed_by_itself() {
    let (ehr, gateway) = stage(&Party::new());
    with_records(&ehr, 100, 3_000);
    let payer = gateway.payer("notary");
    let large = LARGE.strip_prefix('/').unwrap();
    let entries =
        responses(&payer, &["Observation?patient=maren&_count=2", "Patient/maren", "Condition?patient=maren", large]);
    for signed in [&entries[0], &entries[2]] {
        let (exit, said) = verified(signed["resource"].to_string().as_bytes(), "ci");
        assert_eq!(exit, format!("{:?}", ExitCode::SUCCESS), "{said}");
    }
    assert_eq!(entries[1]["response"]["status"], "400 Bad Request");
    assert_eq!(entries[1]["response"]["outcome"]["issue"][0]["code"], "business-rule");
    // It is held to the size of what stands in a batch.
    assert_eq!(entries[3]["response"]["status"], "413 Payload Too Large");
}

#[test]
fn all_about_a_patient_is_signed_as_a_whole() {
    let (_ehr, mut gateway) = stage(&Party::new());
    let payer = gateway.payer("notary");
    let answer = payer.get("/Patient/maren/$everything");
    let (_, said) = verified(&answer.body, "ci");
    assert!(said.starts_with("verified-with-warnings\n") && said.contains(PRECISION), "{said}");
    let json = answer.json();
    assert!(json["entry"].as_array().unwrap().iter().any(|entry| entry["resource"]["resourceType"] == "Patient"));
    assert_eq!(answer.text().matches("\"signature\"").count(), 1);
    let id = answer.header("x-request-id").to_owned();
    let log = gateway.stop();
    assert_eq!(log.exchange(&id).signature.as_ref().unwrap().edition, "ci");
    assert_eq!(log.exchange(&id).digest, Some(hex(digest(&SHA256, &answer.body).as_ref())));
    let parts = log.exchanges().into_iter().filter(|entry| entry.batch.as_deref() == Some(&id));
    assert!(parts.into_iter().all(|part| part.signature.is_none()), "a part is not what is sent");
}

/// What `portcullis check` says.
fn checked(setup: &Setup, ehr: &Ehr) -> (String, String) {
    let folder = setup.written(ehr);
    let config = folder.path().join("portcullis.toml").display().to_string();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let words = ["portcullis", "check", "--config", &config].map(std::ffi::OsString::from);
    let exit = ExitCode::from(cli::run(words, &mut out, &mut err));
    out.extend(err);
    (format!("{exit:?}"), String::from_utf8(out).unwrap())
}

#[test]
fn the_content_of_a_document_is_no_searchset_and_comes_as_it_is() {
    let (ehr, gateway) = stage(&Party::new());
    let document = json!({"resourceType": "DocumentReference", "id": "d", "status": "current",
        "subject": {"reference": "Patient/maren"}, "content": [{"attachment": {"contentType": "text/plain", "url": "Binary/n"}}]});
    let binary = json!({"resourceType": "Binary", "id": "n", "contentType": "text/plain", "data": "bm90ZQ=="});
    ehr.put(&document.to_string()).unwrap();
    ehr.put(&binary.to_string()).unwrap();
    let payer = gateway.payer("notary");
    let found = payer.get("/DocumentReference?patient=maren&_id=d");
    assert_signed(&found, "ci");
    let url = found.json()["entry"][0]["resource"]["content"][0]["attachment"]["url"].as_str().unwrap().to_owned();
    let content = payer.ask("GET", &url).without("accept").send();
    assert_eq!((content.status(), content.body.as_slice()), (200, &b"note"[..]));
    assert_eq!(payer.get("/DocumentReference/d").refusal().code, "business-rule");
}

#[test]
fn what_does_not_fit_together_does_not_start() {
    let ehr = clinic();
    let party = Party::new();
    let mut expired = leaf_params();
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let expired = authority().issue(expired, p256());
    let stranger = authority().issue(named(params("Another"), "1992999999", "https://other.example.org"), p256());
    let root = Party::self_signed(authority_params("Root"));
    for (name, certificate, key, expected) in [
        ("another key", &party, &stranger, "signing.key: the first certificate is not that of the key"),
        ("expired", &expired, &expired, "signing.certificate"),
        ("of somebody else", &stranger, &stranger, "signing.certificate: no name in the certificate"),
        ("an authority's", &root, &root, "signing.certificate: the certificate is not for digital signatures"),
    ] {
        let setup = gateway().with_file("signing.pem", certificate.chain_pem());
        let setup = setup.with_file("signing.key", key.key_pem()).with(&sections());
        let (exit, said) = checked(&setup, &ehr);
        assert!(exit != format!("{:?}", ExitCode::SUCCESS) && said.contains(expected), "{name}: {said}");
        let problems = setup.try_in_front_of(&ehr).err().unwrap_or_else(|| panic!("{name} started"));
        assert!(problems.len() == 1 && problems[0].contains(expected), "{name}: {problems:?}");
    }
    let (exit, said) = checked(&signing(gateway(), &party), &ehr);
    assert_eq!(exit, format!("{:?}", ExitCode::SUCCESS), "{said}");
    let signs =
        format!("  signs      as {NPI}|{} (Invented clinic), certificate valid until 2031-01-01", ORGANISATION.1);
    assert!(
        said.contains(&signs) && said.contains("notary for HPAYMT: system/*.rs, answers signed by CDex ci"),
        "{said}"
    );
    let (_, said) = checked(&gateway().with(&sections()), &ehr);
    assert!(said.contains("signing.certificate: cannot read") && said.contains("signing.key: cannot read"), "{said}");
    let missing = gateway().with(&sections()).try_in_front_of(&ehr).err().unwrap();
    assert_eq!(missing.len(), 2, "certificate and key: {missing:?}");
    let without = sections().replace("[signing]\ncertificate = \"signing.pem\"\nkey = \"signing.key\"\n", "");
    let problems = gateway().with(&without).try_in_front_of(&ehr).err().unwrap();
    assert!(problems.len() == 2 && problems.iter().all(|one| one.contains("there is no [signing]")), "{problems:?}");
}

#[test]
fn http_2_sends_the_same_signed_answer() {
    let ehr = clinic();
    let gateway = signing(gateway().with_tls("optional"), &Party::with_rsa()).in_front_of(&ehr);
    with_records(&ehr, 100, 3_000);
    let payer = gateway.payer("notary");
    let first = payer.over_tls(gateway.tls(None)).get(LARGE);
    let mut tls = (*gateway.tls(None)).clone();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let (status, id, body) = block_on(async {
        let stream = tokio::net::TcpStream::connect(gateway.running().address()).await.unwrap();
        let name = ServerName::try_from(HOST).unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("{BASE}{LARGE}"))
            .header("authorization", format!("Bearer {}", payer.token()))
            .body(Empty::<bytes::Bytes>::new())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), id, answer.into_body().collect().await.unwrap().to_bytes())
    });
    payer.answered(&id);
    assert_eq!(status, 200);
    for body in [&first.body[..], &body] {
        let (exit, said) = verified(body, "ci");
        assert_eq!(exit, format!("{:?}", ExitCode::SUCCESS), "{said}");
    }
    let until =
        |text: &[u8]| String::from_utf8(text.to_vec()).unwrap().split(",\"signature\"").next().unwrap().to_owned();
    assert_eq!(until(&first.body), until(&body));
}
