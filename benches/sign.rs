//! Signing a searchset of 300 KB by RSA of 2,048 bits, and verifying it. The goal for signing is 5 ms. And verifying the signature
//! on one record, by RSA and on P-256, as the gateway does it for each record of a page.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run should stop")]

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use portcullis::clock::Now;
use portcullis::signature::{Dialect, Identities, Rules, Signer, Trust, Verdict, sign, verify};
use rcgen::{CertificateParams, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, SanType, date_time_ymd};

#[path = "data/searchset.rs"]
mod searchset;

use searchset::{Layout, searchset};

const WHO: (&str, &str) = ("urn:ietf:rfc:3986", "https://clinic.example.org/fhir/Organization/1");

fn main() {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names yet");
    params.subject_alt_names = vec![SanType::URI(WHO.1.try_into().expect("a URI"))];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2031, 1, 1);
    let chain = params.self_signed(&key).expect("a certificate").pem();
    let signer = Signer::new(key.serialize_pem().as_bytes(), chain.as_bytes(), WHO, &Identities::default())
        .expect("key, certificate and name belong together");
    let now = Now::at("2026-11-27T12:00:00Z".parse().expect("an instant"));
    let rules = Rules::new(Trust::new(chain.as_bytes()).expect("a certificate believed for itself"));

    let mut criterion = Criterion::default().configure_from_args();
    for layout in [Layout::Compact, Layout::Pretty] {
        let bundle = searchset(100, layout);
        let signed = sign(bundle.as_bytes(), &signer, now, Dialect::Ci).expect("a signature");
        assert!(verify(&signed, &rules, Some(now)).verdict <= Verdict::VerifiedWithWarnings);
        println!("sign/{layout:?}: {} bytes", bundle.len());
        let mut group = criterion.benchmark_group(format!("sign/300 KB/{layout:?}"));
        group.throughput(Throughput::Bytes(bundle.len() as u64));
        group.bench_function("sign", |bencher| {
            bencher.iter(|| sign(black_box(bundle.as_bytes()), &signer, now, Dialect::Ci).expect("a signature"));
        });
        group.bench_function("verify", |bencher| {
            bencher.iter(|| verify(black_box(&signed), &rules, Some(now)));
        });
        group.finish();
    }
    let mut group = criterion.benchmark_group("sign/one record");
    let small = KeyPair::generate().expect("a key");
    let small_chain = params.self_signed(&small).expect("a certificate").pem();
    let on_p256 = Signer::new(small.serialize_pem().as_bytes(), small_chain.as_bytes(), WHO, &Identities::default())
        .expect("key, certificate and name belong together");
    let small_rules = Rules::new(Trust::new(small_chain.as_bytes()).expect("a certificate believed for itself"));
    let record = searchset(1, Layout::Compact);
    for (name, signer, rules) in [("RS256", &signer, &rules), ("ES256", &on_p256, &small_rules)] {
        let signed = sign(record.as_bytes(), signer, now, Dialect::Ci).expect("a signature");
        group.bench_function(format!("verify {name}"), |bencher| {
            bencher.iter(|| verify(black_box(&signed), rules, Some(now)));
        });
    }
    group.finish();
    criterion.final_summary();
}
