//! Which certificates are believed, for what, when, and until they are revoked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::limits;
use portcullis::signature::{Rules, Trust, Verdict, verify};
use rcgen::{
    BasicConstraints, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, date_time_ymd,
};
use serde_json::{Value, json};

use super::stage::{
    AT, Forge, Party, SEARCHSET, authority, authority_params, examined, instant, leaf_params, other_person, p256,
    party, revocation_list, rules, told,
};

#[test]
fn certificates_are_believed_for_what_they_are() {
    let with = |change: fn(&mut rcgen::CertificateParams)| {
        let mut params = leaf_params();
        change(&mut params);
        authority().issue(params, p256())
    };
    let rogue = Party::self_signed(authority_params("Invented authority"));
    let between = authority().issue(authority_params("Between"), p256());
    let mut one_below = authority_params("Between, for people only");
    one_below.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let one_below = authority().issue(one_below, p256());
    let mut listless = authority_params("Between, not for certificates");
    listless.key_usages = vec![KeyUsagePurpose::CrlSign];
    let listless = authority().issue(listless, p256());
    let cases = [
        ("by the authority between", between.issue(leaf_params(), p256()), Verdict::Verified, "who-matches"),
        ("by a rogue of the same name", rogue.issue(leaf_params(), p256()), Verdict::Failed, "chain-untrusted"),
        ("self-signed", Party::self_signed(leaf_params()), Verdict::Failed, "chain-untrusted"),
        ("by a signer", party().issue(leaf_params(), p256()), Verdict::Failed, "chain-untrusted"),
        (
            "one authority too many",
            one_below.issue(authority_params("x"), p256()).issue(leaf_params(), p256()),
            Verdict::Failed,
            "chain-untrusted",
        ),
        ("by an authority for lists", listless.issue(leaf_params(), p256()), Verdict::Failed, "chain-untrusted"),
        ("another person's", other_person(), Verdict::Failed, "who-mismatch"),
        (
            "expired",
            with(|params| params.not_after = date_time_ymd(2026, 11, 1)),
            Verdict::Failed,
            "certificate-expired",
        ),
        (
            "of the future",
            with(|params| params.not_before = date_time_ymd(2026, 12, 1)),
            Verdict::Failed,
            "certificate-not-yet-valid",
        ),
        (
            "for keys only",
            with(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment]),
            Verdict::Failed,
            "key-usage-mismatch",
        ),
        (
            "for anything",
            with(|params| params.key_usages = Vec::new()),
            Verdict::VerifiedWithWarnings,
            "key-usage-absent",
        ),
        (
            "for servers",
            with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            Verdict::VerifiedWithWarnings,
            "extended-key-usage",
        ),
        (
            "an authority's",
            with(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            Verdict::Failed,
            "signer-is-authority",
        ),
        (
            "with a critical extension of its own",
            with(|params| {
                let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
                extension.set_criticality(true);
                params.custom_extensions.push(extension);
            }),
            Verdict::Failed,
            "certificate-extension-unknown",
        ),
        (
            "with many names",
            with(|params| {
                let name = SanType::DnsName("x.example".try_into().unwrap());
                params.subject_alt_names = vec![name; limits::SIGNATURE_NAMES + 1];
            }),
            Verdict::CannotVerify,
            "beyond-limits",
        ),
        ("without names", with(|params| params.subject_alt_names = Vec::new()), Verdict::Failed, "who-mismatch"),
    ];
    for (name, signer, expected, code) in cases {
        told(name, &examined(&Forge::new(&signer, SEARCHSET).build()), expected, code);
    }
    // The path to the authority may come in any order and with more than it needs, but not without a link.
    let mut forge = Forge::new(&between.issue(leaf_params(), p256()), SEARCHSET);
    forge.header["x5c"].as_array_mut().unwrap().truncate(1);
    told("a gap", &examined(&forge.build()), Verdict::Failed, "chain-untrusted");
    let mut forge = Forge::new(&party(), SEARCHSET);
    let own = forge.header["x5c"][0].clone();
    forge.header["x5c"] = json!([STANDARD.encode(&other_person().chain[0]), own]);
    told("another's certificate first", &examined(&forge.build()), Verdict::Failed, "signer-not-first");
    for (name, x5c) in [
        ("many certificates", vec![own.clone(); limits::SIGNATURE_CHAIN + 1]),
        ("a large certificate", vec![own, json!(STANDARD.encode(vec![0x30; limits::SIGNATURE_CERTIFICATE_BYTES + 1]))]),
    ] {
        let mut forge = Forge::new(&party(), SEARCHSET);
        forge.header["x5c"] = Value::Array(x5c);
        told(name, &examined(&forge.build()), Verdict::CannotVerify, "beyond-limits");
    }
}

/// Made by OpenSSL once, because none of our libraries makes such keys and signatures any more.
#[test]
fn weak_keys_and_digests_are_refused() {
    let rules = Rules::new(Trust::new(include_bytes!("../data/signature/anchor.crt")).unwrap());
    let at = Some(instant("2026-12-01T00:00:00Z"));
    for (name, bytes, code) in [
        ("RSA of 1024 bits", &include_bytes!("../data/signature/rsa-1024.json")[..], "key-weak"),
        ("SHA-1", include_bytes!("../data/signature/sha-1.json"), "chain-algorithm-refused"),
    ] {
        told(name, &verify(bytes, &rules, at), Verdict::Failed, code);
    }
}

#[test]
fn a_certificate_believed_for_itself_is_believed_for_nothing_else() {
    let own = Party::self_signed(leaf_params());
    let pinned = Rules::new(own.trust());
    let judged = |forge: &Forge, at: &str| verify(&forge.build(), &pinned, Some(instant(at)));
    assert_eq!(judged(&Forge::new(&own, SEARCHSET), AT).verdict, Verdict::Verified);
    told(
        "expired",
        &judged(&Forge::new(&own, SEARCHSET), "2032-01-01T00:00:00Z"),
        Verdict::Failed,
        "certificate-expired",
    );
    told(
        "issues",
        &judged(&Forge::new(&own.issue(leaf_params(), p256()), SEARCHSET), AT),
        Verdict::Failed,
        "chain-untrusted",
    );
    told(
        "another",
        &judged(&Forge::new(&Party::self_signed(leaf_params()), SEARCHSET), AT),
        Verdict::Failed,
        "chain-untrusted",
    );
    let mut params = leaf_params();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let signs_only = Party::self_signed(params);
    let pinned = Rules::new(signs_only.trust());
    let judged = |signer: &Party| verify(&Forge::new(signer, SEARCHSET).build(), &pinned, Some(instant(AT)));
    told("an authority", &judged(&signs_only), Verdict::Failed, "signer-is-authority");
    let below = judged(&signs_only.issue(leaf_params(), p256()));
    told("one that may not sign certificates", &below, Verdict::Failed, "chain-untrusted");
}

#[test]
fn the_time_is_stated_or_only_claimed() {
    let signed = Forge::new(&party(), SEARCHSET).build();
    told("claimed", &verify(&signed, &rules(), None), Verdict::VerifiedWithWarnings, "time-claimed");
    let before = verify(&signed, &rules(), Some(instant("2026-11-01T00:00:00Z")));
    told("received before", &before, Verdict::VerifiedWithWarnings, "signed-in-future");
    let after = verify(&signed, &rules(), Some(instant("2031-06-01T00:00:00Z")));
    told("received after", &after, Verdict::Failed, "certificate-expired");
    for (name, claim, at, expected, code) in [
        ("an old claim", "2020-01-01T00:00:00Z", Some(AT), Verdict::VerifiedWithWarnings, "signed-outside-validity"),
        ("an old claim alone", "2020-01-01T00:00:00Z", None, Verdict::Failed, "certificate-not-yet-valid"),
        ("no time", "yesterday", None, Verdict::CannotVerify, "time-unknown"),
        ("before time", "1901-01-01T00:00:00Z", None, Verdict::Failed, "certificate-not-yet-valid"),
    ] {
        let mut forge = Forge::new(&party(), SEARCHSET);
        forge.header["sigT"] = json!(claim);
        forge.element["when"] = json!(claim);
        told(name, &verify(&forge.build(), &rules(), at.map(instant)), expected, code);
    }
}

#[test]
fn what_is_revoked_is_not_believed() {
    let between = authority().issue(authority_params("Between"), p256());
    let rogue = Party::self_signed(authority_params("Invented authority"));
    let below = between.issue(leaf_params(), p256());
    for (name, signer, lists, expected, code) in [
        ("named", &party(), revocation_list(authority(), &[7], (2027, 1)), Verdict::Failed, "revoked"),
        ("not named", &party(), revocation_list(authority(), &[8], (2027, 1)), Verdict::Verified, "who-matches"),
        (
            "old list",
            &party(),
            revocation_list(authority(), &[], (2026, 11)),
            Verdict::CannotVerify,
            "revocation-stale",
        ),
        (
            "list of another",
            &party(),
            revocation_list(&between, &[], (2027, 1)),
            Verdict::CannotVerify,
            "revocation-unknown",
        ),
        (
            "list of a rogue",
            &party(),
            revocation_list(&rogue, &[], (2027, 1)),
            Verdict::CannotVerify,
            "revocation-unknown",
        ),
        (
            "leaf only",
            &below,
            revocation_list(&between, &[], (2027, 1)),
            Verdict::VerifiedWithWarnings,
            "revocation-partial",
        ),
        (
            "authority between named",
            &below,
            [revocation_list(&between, &[], (2027, 1)), revocation_list(authority(), &[7], (2027, 1))].concat(),
            Verdict::Failed,
            "revoked",
        ),
        (
            "whole path",
            &below,
            [revocation_list(&between, &[], (2027, 1)), revocation_list(authority(), &[], (2027, 1))].concat(),
            Verdict::Verified,
            "who-matches",
        ),
    ] {
        let rules = Rules::new(authority().trust().with_revocation(lists.as_bytes()).unwrap());
        told(name, &verify(&Forge::new(signer, SEARCHSET).build(), &rules, Some(instant(AT))), expected, code);
    }
    assert!(authority().trust().with_revocation(b"").is_err());
}
