//! What is tried against a signature. None of it is verified, and each is told by its code.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::limits;
use portcullis::signature::{Dialect, Verdict, sign, verify};
use serde_json::json;

use super::stage::{
    AT, Forge, NPI, Party, SEARCHSET, authority_params, examined, instant, leaf_params, other_person, p256, party,
    rules, told,
};

#[test]
fn the_forge_makes_what_is_verified_before_it_is_made_otherwise() {
    assert_eq!(examined(&Forge::new(&party(), SEARCHSET).build()).verdict, Verdict::Verified);
}

#[test]
fn no_byte_of_the_content_can_be_another() {
    let signed = Forge::new(&party(), SEARCHSET).build();
    let from = SEARCHSET.find("\"type\"").unwrap();
    let to = SEARCHSET.len() - 1;
    for at in from..to {
        for other in [b'0', b'x', b' ', b'"'] {
            let mut changed = signed.clone();
            if std::mem::replace(&mut changed[at], other) != other {
                let report = examined(&changed);
                assert!(report.verdict > Verdict::Absent, "byte {at} as {other}: {report:#?}");
            }
        }
    }
}

/// The header is signed; the rest of `data` is the signature.
#[test]
fn no_character_of_the_jws_can_be_another() {
    let forge = Forge::new(&party(), SEARCHSET);
    let (header, signature) = forge.parts(&forge.header.to_string());
    let jws = format!("{header}..{signature}");
    for at in (0..jws.len()).step_by(3) {
        let mut changed = jws.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let report = examined(&forge.place(&forge.with_jws(&String::from_utf8(changed).unwrap())));
        assert!(report.verdict > Verdict::Absent, "character {at}: {report:#?}");
    }
}

#[test]
fn a_signature_is_of_its_own_bundle() {
    let other = SEARCHSET.replace("o1", "o2");
    let element = Forge::new(&party(), &other).signed_element();
    told("moved", &examined(&Forge::new(&party(), SEARCHSET).place(&element)), Verdict::Failed, "content-changed");
    let less = SEARCHSET.replace(",\"search\":{\"mode\":\"match\"}", "");
    let element = Forge::new(&party(), SEARCHSET).signed_element();
    told("less", &examined(&Forge::new(&party(), &less).place(&element)), Verdict::Failed, "content-changed");
    let report = examined(SEARCHSET.as_bytes());
    assert_eq!((report.verdict, report.findings[0].code), (Verdict::Absent, "signature-absent"));
    let document = String::from_utf8(Forge::new(&party(), SEARCHSET).build()).unwrap();
    let around = format!(r#"{{"resourceType":"Bundle","type":"searchset","entry":[{{"resource":{document}}}]}}"#);
    told("signed inside only", &examined(around.as_bytes()), Verdict::VerifiedWithWarnings, "partly-signed");
    let mut forge = Forge::new(&party(), &around.replace("13.2", "13.3"));
    forge.content = around.replace("13.2", "13.3");
    told("broken inside of a good one", &examined(&forge.build()), Verdict::Failed, "content-changed");
}

type Change = fn(&mut Forge);

#[test]
fn a_header_says_nothing_that_is_believed() {
    let cases: &[(&str, Change, Verdict, &str)] = &[
        ("alg none", |f| f.header["alg"] = json!("none"), Verdict::Failed, "algorithm-refused"),
        ("alg HS256", |f| f.header["alg"] = json!("HS256"), Verdict::Failed, "algorithm-refused"),
        ("alg of another key", |f| f.header["alg"] = json!("RS256"), Verdict::Failed, "content-changed"),
        ("alg of another curve", |f| f.header["alg"] = json!("ES384"), Verdict::Failed, "content-changed"),
        ("payload", |f| f.payload = URL_SAFE_NO_PAD.encode(&f.content), Verdict::Failed, "embedded-payload"),
        ("b64", |f| f.header["b64"] = json!(false), Verdict::Failed, "header-refused"),
        ("jwk", |f| f.header["jwk"] = json!({"kty": "EC"}), Verdict::Failed, "header-refused"),
        ("jku", |f| f.header["jku"] = json!("https://e.example"), Verdict::Failed, "header-refused"),
        ("x5u", |f| f.header["x5u"] = json!("https://e.example"), Verdict::Failed, "header-refused"),
        ("crit", |f| f.header["crit"] = json!(["exp"]), Verdict::Failed, "crit-unknown"),
        ("no x5c", |f| drop(f.header.as_object_mut().unwrap().remove("x5c")), Verdict::Failed, "certificate-missing"),
        ("x5c of no certificate", |f| f.header["x5c"] = json!(["AAAA"]), Verdict::Failed, "certificate-unreadable"),
        ("no sigT", |f| drop(f.header.as_object_mut().unwrap().remove("sigT")), Verdict::Failed, "sigt-missing"),
        ("another sigT", |f| f.header["sigT"] = json!("2026-11-26T12:00:00Z"), Verdict::Failed, "when-mismatch"),
        (
            "sigT in another spelling",
            |f| f.header["sigT"] = json!("2026-11-27T13:00:00.000+01:00"),
            Verdict::VerifiedWithWarnings,
            "when-spelled-otherwise",
        ),
        (
            "no srCms",
            |f| drop(f.header.as_object_mut().unwrap().remove("srCms")),
            Verdict::Failed,
            "commitment-missing",
        ),
        ("no commitment", |f| f.header["srCms"] = json!([]), Verdict::Failed, "commitment-mismatch"),
        (
            "another commitment",
            |f| f.header["srCms"] = json!([{"commId": {"id": "urn:oid:1.2.840.10065.1.12.1.1"}}]),
            Verdict::Failed,
            "commitment-mismatch",
        ),
        (
            "another purpose",
            |f| {
                f.header["srCms"] = json!([{"commId": {"id": "urn:oid:1.2.840.10065.1.12.1.1"}}]);
                f.element["type"][0]["code"] = json!("1.2.840.10065.1.12.1.1");
            },
            Verdict::Failed,
            "type-not-verification",
        ),
        (
            "another system",
            |f| f.element["type"][0]["system"] = json!("urn:x"),
            Verdict::Failed,
            "type-not-verification",
        ),
        (
            "another signer",
            |f| f.element["who"]["identifier"]["value"] = json!("1992999999"),
            Verdict::Failed,
            "who-mismatch",
        ),
        (
            "the number of another system",
            |f| f.element["who"]["identifier"]["system"] = json!("urn:oid:2.16.840.1.113883.4.4"),
            Verdict::Failed,
            "who-mismatch",
        ),
        (
            "a system that is mapped to nothing",
            |f| f.element["who"]["identifier"]["system"] = json!("http://e.example/ids"),
            Verdict::CannotVerify,
            "who-unmapped",
        ),
        ("nobody", |f| f.element["who"] = json!({"display": "the clinic"}), Verdict::Failed, "who-missing"),
        ("no who", |f| drop(f.element.as_object_mut().unwrap().remove("who")), Verdict::Failed, "who-missing"),
        (
            "another canonical form",
            |f| {
                f.element["targetFormat"] = json!(
                    "application/fhir+json;canonicalization=http://hl7.org/fhir/canonicalization/json+xml#document"
                )
            },
            Verdict::CannotVerify,
            "unknown-canonicalization",
        ),
        (
            "a data form",
            |f| f.element["targetFormat"] = json!("application/fhir+json"),
            Verdict::CannotVerify,
            "unknown-canonicalization",
        ),
        (
            "no target",
            |f| drop(f.element.as_object_mut().unwrap().remove("targetFormat")),
            Verdict::Failed,
            "format-missing",
        ),
        (
            "an image",
            |f| f.element["sigFormat"] = json!("image/png"),
            Verdict::CannotVerify,
            "unknown-signature-format",
        ),
        ("when of another kind", |f| f.element["when"] = json!(7), Verdict::Failed, "signature-unreadable"),
    ];
    for (name, change, expected, code) in cases {
        let mut forge = Forge::new(&party(), SEARCHSET);
        change(&mut forge);
        told(name, &examined(&forge.build()), *expected, code);
    }
    let forge = Forge::new(&party(), SEARCHSET);
    let twice = forge.header.to_string().replacen('{', r#"{"alg":"none","#, 1);
    let (header, signature) = forge.parts(&twice);
    let report = examined(&forge.place(&forge.with_jws(&format!("{header}..{signature}"))));
    told("alg twice", &report, Verdict::Failed, "header-unreadable");
    for (name, element, code) in [
        ("no data", forge.element.clone(), "data-missing"),
        ("no element", json!(null), "signature-unreadable"),
        ("one dot", forge.with_jws("a.b"), "data-unreadable"),
        ("base64 once", json!({"data": "e30..e30"}), "data-unreadable"),
    ] {
        let mut element = element;
        if let (Some(members), Some(known)) = (element.as_object_mut(), forge.element.as_object()) {
            members.extend(known.clone());
        }
        told(name, &examined(&forge.place(&element)), Verdict::Failed, code);
    }
}

#[test]
fn json_that_can_be_read_in_two_ways_is_not_read() {
    let signed = String::from_utf8(Forge::new(&party(), SEARCHSET).build()).unwrap();
    for (name, text, expected, code) in [
        (
            "a value twice",
            signed.replace("\"value\":13.2", "\"value\":13.2,\"value\":9"),
            Verdict::Failed,
            "json-ambiguous",
        ),
        (
            "signature twice",
            signed.replace("\"total\":1", "\"total\":1,\"signature\":{}"),
            Verdict::Failed,
            "json-ambiguous",
        ),
        ("a lone surrogate", signed.replace("g/dL", "\\udc00"), Verdict::Failed, "json-ambiguous"),
        ("a name in disguise", signed.replace("\"total\"", "\"t\\u006ftal\""), Verdict::Failed, "json-ambiguous"),
        ("cut", signed[..signed.len() - 2].to_owned(), Verdict::CannotVerify, "json-unreadable"),
        ("two documents", signed.repeat(2), Verdict::CannotVerify, "json-unreadable"),
        ("nothing", String::new(), Verdict::CannotVerify, "json-unreadable"),
        ("no resource", "{\"signature\":{}}".to_owned(), Verdict::CannotVerify, "resource-unknown"),
        ("a list", format!("[{signed}]"), Verdict::CannotVerify, "resource-unknown"),
        ("deep", format!("{}{}", "[".repeat(70), "]".repeat(70)), Verdict::CannotVerify, "beyond-limits"),
        ("a number beyond doubles", signed.replace("13.2", "1e999"), Verdict::CannotVerify, "number-unrepresentable"),
    ] {
        told(name, &examined(text.as_bytes()), expected, code);
    }
    let not_text = [signed.as_bytes(), b"\xff"].concat();
    assert!(examined(&not_text).verdict > Verdict::Absent);
    let many = vec![r#"{"resource":{"resourceType":"Bundle","signature":{}}}"#; limits::SIGNATURES + 1].join(",");
    let many = format!(r#"{{"resourceType":"Bundle","entry":[{many}]}}"#);
    told("many signatures", &examined(many.as_bytes()), Verdict::CannotVerify, "beyond-limits");
}

#[test]
fn several_certificates_are_of_one_signer() {
    let (mine, other) = (party(), other_person());
    let rogue = Party::self_signed(authority_params("Rogue")).issue(leaf_params(), p256());
    let serialised = |parties: &[&Party]| {
        let parts = parties.iter().map(|party| {
            let forge = Forge::new(party, SEARCHSET);
            let (protected, signature) = forge.parts(&forge.header.to_string());
            json!({"protected": protected, "signature": signature})
        });
        let forge = Forge::new(&mine, SEARCHSET);
        forge.place(&forge.with_jws(&json!({"signatures": parts.collect::<Vec<_>>()}).to_string()))
    };
    let mine_too = party();
    assert_eq!(examined(&serialised(&[&mine, &mine_too])).verdict, Verdict::Verified);
    for (name, parties, expected, code) in [
        ("one of a rogue", vec![&mine, &rogue], Verdict::VerifiedWithWarnings, "other-signature-worse"),
        ("the other order", vec![&rogue, &mine], Verdict::VerifiedWithWarnings, "other-signature-worse"),
        ("rogue alone", vec![&rogue, &rogue], Verdict::Failed, "chain-untrusted"),
        ("of another", vec![&other], Verdict::Failed, "who-mismatch"),
    ] {
        told(name, &examined(&serialised(&parties)), expected, code);
    }
    let mut rules = rules();
    rules.algorithms.retain(|algorithm| algorithm.as_str() != "ES256");
    let report = verify(&serialised(&[&mine]), &rules, Some(instant(AT)));
    told("an algorithm that is not wanted", &report, Verdict::Failed, "algorithm-refused");
}

#[test]
fn whoever_signed_is_shown() {
    let signed = sign(SEARCHSET.as_bytes(), &party().signer(), instant(AT), Dialect::Ci).unwrap();
    let report = examined(&signed);
    let signer = report.signatures[0].signer.as_ref().unwrap();
    assert_eq!(
        serde_json::to_value(signer).unwrap(),
        json!({
            "role": "system", "role_by": "Bundle.type", "who": format!("{NPI}|1234567893"), "certificate": "Invented clinic",
        })
    );
}
