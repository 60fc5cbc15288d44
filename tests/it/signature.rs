//! Nothing is verified but what was signed by whom it names; whatever is done to a signed resource, its verdict says so.

mod attacks;
mod certificates;
mod commands;
mod forged;
mod gateway;
mod published;
pub(crate) mod stage;

use portcullis::fhir::json::Tape;
use portcullis::oauth::algorithm::Algorithm;
use portcullis::signature::{
    Dialect, Identities, NameKind, Omitted, SIGNATURE_EXTENSION, SignError, Signer, SignerError, Trust, Verdict,
    canonical, sign, verify,
};

use stage::{AT, Forge, NPI, ORGANISATION, Party, SEARCHSET, authority, codes, instant, other_person, party, rules};

#[test]
fn what_is_signed_is_verified_and_keeps_its_text() {
    let pretty =
        "{\n  \"resourceType\": \"Bundle\",\n  \"id\": \"1\",\n  \"type\": \"document\",\n  \"entry\": [ ]\n}\n";
    let rsa = Party::with_rsa();
    let small = Party::new();
    let large = Party::on_p384();
    for (party, algorithm) in [
        (&rsa, Algorithm::Rs256),
        (&rsa, Algorithm::Rs384),
        (&rsa, Algorithm::Ps256),
        (&rsa, Algorithm::Ps384),
        (&small, Algorithm::Es256),
        (&large, Algorithm::Es384),
    ] {
        let signer = party.signer().with_algorithm(algorithm).expect("of its kind of key");
        for text in [SEARCHSET, pretty] {
            let signed = String::from_utf8(sign(text.as_bytes(), &signer, instant(AT), Dialect::Ci).unwrap()).unwrap();
            let report = verify(signed.as_bytes(), &rules(), Some(instant(AT)));
            assert_eq!(report.verdict, Verdict::Verified, "{algorithm}: {report:#?}");
            let at = signed.find(",\"signature\":").expect("a signature");
            let rest = text.strip_prefix(&signed[..at]).expect("the text as it was");
            assert!(signed.ends_with(rest), "{signed}");
            assert_eq!(verify(signed.as_bytes(), &rules(), None).verdict, Verdict::VerifiedWithWarnings);
        }
    }
    assert!(small.signer().with_algorithm(Algorithm::Rs256).is_none());
    assert!(rsa.signer().with_algorithm(Algorithm::Rs512).is_none());
}

#[test]
fn id_meta_and_layout_are_outside_the_signature() {
    let signed =
        String::from_utf8(sign(SEARCHSET.as_bytes(), &party().signer(), instant(AT), Dialect::Ci).unwrap()).unwrap();
    for (from, to) in [
        ("\"id\":\"set-1\",", ""),
        ("\"id\":\"set-1\"", "\"id\":\"set-2\",\"meta\":{\"lastUpdated\":\"2027-01-01T00:00:00Z\"}"),
        ("\"total\":1", " \"total\" :\n 1.0e0 "),
        ("\"value\":13.2", "\"value\":1.32E1"),
        ("glucose", "\\u0067lucose"),
    ] {
        assert!(signed.contains(from), "{from}");
        let report = verify(signed.replace(from, to).as_bytes(), &rules(), Some(instant(AT)));
        assert!(report.verdict <= Verdict::VerifiedWithWarnings, "{from}: {report:#?}");
    }
}

/// PRV-21: the text stays, and what is not protected of it is said.
#[test]
fn numbers_that_do_not_survive_are_not_signed_and_remarked_on() {
    let with = |number: &str| SEARCHSET.replace("13.2", number);
    let signer = party().signer();
    for number in ["123456789012345678901234567890", "0.12345678901234567890", "9007199254740993", "1e-400"] {
        assert_eq!(
            sign(with(number).as_bytes(), &signer, instant(AT), Dialect::Ci),
            Err(SignError::Numbers(1)),
            "{number}"
        );
    }
    assert_eq!(sign(with("1e400").as_bytes(), &signer, instant(AT), Dialect::Ci), Err(SignError::NumberRange));
    let signed = String::from_utf8(sign(with("6.30").as_bytes(), &signer, instant(AT), Dialect::Ci).unwrap()).unwrap();
    assert!(signed.contains("\"value\":6.30,"));
    let report = verify(signed.as_bytes(), &rules(), Some(instant(AT)));
    assert_eq!(report.verdict, Verdict::VerifiedWithWarnings);
    assert!(codes(&report).contains(&"number-rewritten"));
    let forged = Forge::new(&party(), &with("123456789012345678901234567890")).build();
    let report = verify(&forged, &rules(), Some(instant(AT)));
    assert_eq!(report.verdict, Verdict::VerifiedWithWarnings);
    assert!(codes(&report).contains(&"number-damaged"));
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let signer = party().signer();
    let signed = sign(SEARCHSET.as_bytes(), &signer, instant(AT), Dialect::Ci).unwrap();
    let again = String::from_utf8(signed).unwrap();
    for (text, error) in [
        (again.as_str(), SignError::AlreadySigned),
        ("", SignError::Unreadable),
        ("[]", SignError::Unsignable),
        (r#"{"resourceType":"Bundle","type":"transaction"}"#, SignError::Unsignable),
        (r#"{"resourceType":"Patient","type":"document"}"#, SignError::Unsignable),
        (r#"{"resourceType":"Bundle","type":"searchset","total":1,"total":2}"#, SignError::Unreadable),
        ("{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"x\":\"\\ud800\"}", SignError::Unreadable),
    ] {
        assert_eq!(sign(text.as_bytes(), &signer, instant(AT), Dialect::Ci), Err(error), "{text}");
    }
    for at in ["2025-12-31T00:00:00Z", "2031-01-01T00:00:01Z"] {
        assert_eq!(sign(SEARCHSET.as_bytes(), &signer, instant(at), Dialect::Ci), Err(SignError::Validity), "{at}");
    }
}

#[test]
fn key_certificate_and_name_belong_together() {
    let (mine, other) = (party(), other_person());
    let identities = Identities::default();
    let new = |key: &Party, chain: &str, who: (&str, &str)| {
        Signer::new(key.key_pem().as_bytes(), chain.as_bytes(), who, &identities).err()
    };
    for (error, key, chain, who) in [
        (None, &mine, mine.chain_pem(), ORGANISATION),
        (Some(SignerError::KeyAndCertificate), &other, mine.chain_pem(), ORGANISATION),
        (Some(SignerError::Who), &mine, mine.chain_pem(), (NPI, "1999999999")),
        (Some(SignerError::Who), &mine, mine.chain_pem(), ("http://nobody.example/ids", ORGANISATION.1)),
        (Some(SignerError::Chain), &mine, String::new(), ORGANISATION),
        (Some(SignerError::Chain), &mine, mine.chain_pem().repeat(9), ORGANISATION),
        (Some(SignerError::KeyUsage), authority(), authority().chain_pem(), ORGANISATION),
    ] {
        assert_eq!(new(key, &chain, who), error);
    }
    assert_eq!(
        Signer::new(
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            mine.chain_pem().as_bytes(),
            ORGANISATION,
            &identities
        )
        .err(),
        Some(SignerError::Key)
    );
    let uri = ("urn:ietf:rfc:3986", "https://clinic.example.org/fhir/Organization/1");
    assert_eq!(new(&mine, &mine.chain_pem(), uri), None);
    let agreed = Identities::default().with("http://payer.example/ids".to_owned(), NameKind::Uri);
    let who = ("http://payer.example/ids", uri.1);
    assert!(Signer::new(mine.key_pem().as_bytes(), mine.chain_pem().as_bytes(), who, &agreed).is_ok());
    assert!(Trust::new(b"").is_err() && Trust::new(b"no pem").is_err());
    assert!(Trust::new(mine.key_pem().as_bytes()).is_err());
}

/// The published guide demands less, and what it does not demand is remarked on, not passed over.
#[test]
fn both_editions_are_written_and_read() {
    let signed = sign(SEARCHSET.as_bytes(), &party().signer(), instant(AT), Dialect::Published).unwrap();
    let mut published = rules();
    published.dialect = Dialect::Published;
    let report = verify(&signed, &published, Some(instant(AT)));
    assert_eq!(report.verdict, Verdict::VerifiedWithWarnings, "{report:#?}");
    assert!(codes(&report).contains(&"sigt-missing") && codes(&report).contains(&"commitment-missing"));
    assert_eq!(verify(&signed, &rules(), Some(instant(AT))).verdict, Verdict::Failed);
    let signed = sign(SEARCHSET.as_bytes(), &party().signer(), instant(AT), Dialect::Ci).unwrap();
    assert_eq!(verify(&signed, &published, Some(instant(AT))).verdict, Verdict::Verified);

    let url = "https://clinic.example.org/fhir/Organization/1";
    for (who, expected, code) in [
        (format!(r#"{{"reference":"{url}"}}"#), Verdict::Verified, "who-matches"),
        (
            r#"{"reference":"https://clinic.example.org/fhir/Organization/2"}"#.to_owned(),
            Verdict::Failed,
            "who-mismatch",
        ),
        (r#"{"reference":"Organization/1"}"#.to_owned(), Verdict::CannotVerify, "who-unknown"),
        (r#"{"display":"Somebody"}"#.to_owned(), Verdict::CannotVerify, "who-unknown"),
    ] {
        let mut forge = Forge::new(&party(), SEARCHSET);
        forge.element["who"] = serde_json::from_str(&who).unwrap();
        let forged = forge.build();
        let report = verify(&forged, &published, Some(instant(AT)));
        assert_eq!(report.verdict, expected, "{who}: {report:#?}");
        assert!(codes(&report).contains(&code), "{who}");
        let report = verify(&forged, &rules(), Some(instant(AT)));
        assert_eq!((report.verdict, codes(&report).contains(&"who-missing")), (Verdict::Failed, true), "{who}");
    }
}

#[test]
fn forms_and_their_items_are_verified() {
    let form = r#"{"resourceType":"QuestionnaireResponse","id":"q","meta":{"versionId":"1"},"status":"completed","item":[{"linkId":"1","id":"i","answer":[{"valueString":"yes"}]}]}"#;
    let extension =
        |element: &serde_json::Value| format!(r#"[{{"url":"{SIGNATURE_EXTENSION}","valueSignature":{element}}}]"#);

    let mut forge = Forge::new(&party(), form);
    forge.omitted = Omitted::QuestionnaireResponse;
    let whole =
        form.replacen("\"status\"", &format!("\"extension\":{},\"status\"", extension(&forge.signed_element())), 1);
    let report = verify(whole.as_bytes(), &rules(), Some(instant(AT)));
    assert_eq!(report.verdict, Verdict::Verified, "{report:#?}");
    assert_eq!(report.signatures[0].path, "QuestionnaireResponse.extension[0].valueSignature");
    let moved = whole.replace("\"versionId\":\"1\"", "\"versionId\":\"2\"");
    assert_eq!(verify(moved.as_bytes(), &rules(), Some(instant(AT))).verdict, Verdict::Verified);
    let changed = whole.replace("yes", "no");
    assert_eq!(verify(changed.as_bytes(), &rules(), Some(instant(AT))).verdict, Verdict::Failed);
    let smuggled = whole
        .replace("\"valueSignature\"", "\"extension\":[{\"url\":\"x\",\"valueString\":\"no\"}],\"valueSignature\"");
    let report = verify(smuggled.as_bytes(), &rules(), Some(instant(AT)));
    assert_eq!((report.verdict, codes(&report)), (Verdict::Failed, vec!["signature-unreadable"]));

    let item = r#"{"linkId":"1","id":"i","answer":[{"valueString":"yes"}]}"#;
    let mut forge = Forge::new(&party(), item);
    forge.omitted = Omitted::Item;
    let signed_item =
        item.replacen("\"id\"", &format!("\"extension\":{},\"id\"", extension(&forge.signed_element())), 1);
    let partly = form.replace(item, &signed_item);
    let report = verify(partly.as_bytes(), &rules(), Some(instant(AT)));
    assert_eq!(report.verdict, Verdict::VerifiedWithWarnings, "{report:#?}");
    assert_eq!(report.findings[0].code, "partly-signed");
    assert_eq!(report.signatures[0].verdict, Verdict::Verified);
    let changed = partly.replace("yes", "no");
    assert_eq!(verify(changed.as_bytes(), &rules(), Some(instant(AT))).verdict, Verdict::Failed);
}

/// What is signed is the form that JavaScript gives it; a test beside this one has it verified by OpenSSL.
#[test]
fn the_canonical_form_is_of_the_text_as_received() {
    let mut tape = Tape::new();
    let root = tape.read(SEARCHSET.as_bytes()).unwrap().root();
    let form = canonical(root, Omitted::Bundle).unwrap();
    assert_eq!(form.rewritten + form.damaged, 0);
    assert!(form.bytes.starts_with(b"{\"entry\":[{\"fullUrl\":"), "{}", String::from_utf8_lossy(&form.bytes));
    assert!(!String::from_utf8_lossy(&form.bytes).contains("set-1"));
}
