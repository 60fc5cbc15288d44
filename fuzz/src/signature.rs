//! Signatures: nothing is verified that was not signed, and what is signed is verified.

use std::fs;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portcullis::cli::certs;
use portcullis::fhir::json::Tape;
use portcullis::signature::{Dialect, Identities, Omitted, Rules, Signer, Trust, Verdict, canonical, sign, verify};

use super::stage::{Folder, now};

const BUNDLE: &str = r#"{"resourceType":"Bundle","type":"searchset","total":0,"entry":[]}"#;
const WHO: (&str, &str) = ("urn:ietf:rfc:3986", "https://payer-a.example.org");

struct Stage {
    signer: Signer,
    rules: [Rules; 2],
    /// The Signature of [`BUNDLE`].
    element: String,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let folder = Folder::empty();
    certs::make(folder.path(), &[], &["payer-a".to_owned()], false, now()).expect("certificates");
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let signer =
        Signer::new(&read("payer-a.key"), &read("payer-a.pem"), WHO, &Identities::default()).expect("a signer");
    let rules = [Dialect::Ci, Dialect::Published]
        .map(|dialect| Rules { dialect, ..Rules::new(Trust::new(&read(certs::CA)).expect("an authority")) });
    let signed = String::from_utf8(sign(BUNDLE.as_bytes(), &signer, now(), Dialect::Ci).expect("a signature")).unwrap();
    let (_, element) = signed.split_once(",\"signature\":").expect("a signature");
    let element = element.strip_suffix('}').expect("an object").to_owned();
    Stage { signer, rules, element }
});

/// The first byte chooses what the rest is: a file; a JWS; a Signature; a certificate; content under the signature of
/// other content; content to be signed.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    match first % 6 {
        0 => assert!(!is_verified(rest), "nobody signed this"),
        1 => unsigned(&format!(r#"{{"data":"{}"}}"#, STANDARD.encode(rest))),
        2 => unsigned(&String::from_utf8_lossy(rest)),
        3 => {
            let header = format!(r#"{{"alg":"ES256","x5c":["{}"]}}"#, STANDARD.encode(rest));
            let jws = format!("{}..{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode([7; 64]));
            unsigned(&format!(r#"{{"data":"{}"}}"#, STANDARD.encode(jws)));
        }
        4 => moved(rest),
        _ => signed(rest),
    }
}

fn is_verified(bytes: &[u8]) -> bool {
    STAGE.rules.iter().flat_map(|rules| [verify(bytes, rules, Some(now())), verify(bytes, rules, None)]).any(|report| {
        assert!(!report.findings.is_empty() || !report.signatures.is_empty(), "a verdict without a reason");
        report.verdict <= Verdict::VerifiedWithWarnings
    })
}

/// A Bundle with this in place of its Signature, and what the good one has beside `data`.
fn unsigned(element: &str) {
    let open = BUNDLE.strip_suffix('}').unwrap();
    assert!(!is_verified(format!("{open},\"signature\":{element}}}").as_bytes()), "nobody signed this");
    let (before, _) = STAGE.element.split_once("\"data\":\"").expect("data comes first");
    if let Some(data) = element.strip_prefix(r#"{"data":""#).and_then(|rest| rest.strip_suffix(r#""}"#)) {
        let (_, after) = STAGE.element.split_once("\",\"sigFormat\"").expect("data, then sigFormat");
        let whole = format!("{open},\"signature\":{before}\"data\":\"{data}\",\"sigFormat\"{after}}}");
        assert!(!is_verified(whole.as_bytes()), "nobody signed this");
    }
}

fn form(text: &[u8]) -> Option<Vec<u8>> {
    let mut tape = Tape::new();
    Some(canonical(tape.read(text).ok()?.root(), Omitted::Bundle).ok()?.bytes)
}

/// The signature of [`BUNDLE`] on other content holds where both are the same, and the canonical form is a fixed point.
fn moved(content: &[u8]) {
    let Some(found) = form(content) else { return };
    assert_eq!(form(&found).as_deref(), Some(found.as_slice()), "not canonical");
    let Some(open) = content.trim_ascii().strip_suffix(b"}") else { return };
    let comma: &[u8] = if open.trim_ascii_end().ends_with(b"{") { b"" } else { b"," };
    let whole = [open, comma, b"\"signature\":", STAGE.element.as_bytes(), b"}"].concat();
    if is_verified(&whole) {
        assert_eq!(Some(found), form(BUNDLE.as_bytes()), "other content under a signature");
    }
}

fn signed(content: &[u8]) {
    for dialect in [Dialect::Ci, Dialect::Published] {
        if let Ok(signed) = sign(content, &STAGE.signer, now(), dialect) {
            let kept = content.iter().zip(&signed).take_while(|(one, other)| one == other).count();
            assert!(signed.ends_with(&content[kept..]), "more was changed than the signature");
            let report = verify(&signed, &STAGE.rules[usize::from(dialect != Dialect::Ci)], Some(now()));
            // More signatures inside than are looked at leave none that is.
            let own = report.signatures.first().map_or(Verdict::Verified, |own| own.verdict);
            assert!(own <= Verdict::VerifiedWithWarnings, "{report:?}");
        }
    }
}
