//! `Signature.data`: JWS with the payload left out (RFC 7515), encoded once more in base64.
//!
//! Takes: the text of `data`. Gives: [`Jws`], one for each signature in it, its protected header read. Guarantees: header JSON
//! without repeated names; bounded sizes. Refuses: an embedded payload, `alg` of no public-key signature, `b64`, keys by header,
//! critical parameters that are not known, unprotected parameters. Never trusts what it refuses, and never reads further in it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::finding::{Check, Finding};
use crate::fhir::json::{Kind, Tape, Value};
use crate::limits;
use crate::oauth::algorithm::Algorithm;

/// Parameters that name or carry a key otherwise than by a certificate, or change what is signed.
const REFUSED: [&str; 4] = ["b64", "jwk", "jku", "x5u"];
/// Parameters that may be listed as critical: they are looked at (JAdES, ETSI TS 119 182-1).
const CRITICAL: [&str; 2] = ["sigT", "srCms"];

/// One signature of a JWS, as far as it could be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Jws {
    /// The protected header as it was sent, base64url.
    pub(super) protected: String,
    pub(super) signature: Vec<u8>,
    pub(super) algorithm: Option<Algorithm>,
    /// Certificates, DER, leaf first.
    pub(super) x5c: Vec<Vec<u8>>,
    pub(super) sig_t: Option<String>,
    /// `commId.id` of the signer's commitments; `None` without `srCms`.
    pub(super) commitments: Option<Vec<String>>,
    pub(super) findings: Vec<Finding>,
}

/// Reads `data`; the error is the finding that ends the matter.
pub(super) fn read(data: &str, allowed: &[Algorithm]) -> Result<Vec<Jws>, Finding> {
    if data.len() > limits::SIGNATURE_DATA_BYTES {
        return Err(Finding::undecided("beyond-limits", "Signature.data is larger than accepted"));
    }
    let unreadable = || Finding::fails("data-unreadable", "Signature.data is not a JWS in base64");
    // R4's base64Binary allows white space between groups.
    let packed: String = data.split([' ', '\t', '\r', '\n']).collect();
    let text = STANDARD.decode(packed).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(unreadable)?;
    if text.trim_start().starts_with('{') {
        return serialised(&text, allowed);
    }
    let mut parts = text.trim_end_matches(['\r', '\n']).split('.');
    let (Some(protected), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(unreadable());
    };
    Ok(vec![Jws::new(protected, payload, signature, allowed)])
}

/// RFC 7515 section 7.2, general and flattened; CDex CONF-047 allows several signatures that differ in `x5c` only.
fn serialised(text: &str, allowed: &[Algorithm]) -> Result<Vec<Jws>, Finding> {
    let unreadable = || Finding::fails("data-unreadable", "Signature.data is not a JWS in JSON serialisation");
    let mut tape = Tape::new();
    let root = tape.read(text.as_bytes()).map_err(|_| unreadable())?.root();
    let payload = root.get("payload").map_or(Some(String::new()), string).ok_or_else(unreadable)?;
    let entries: Vec<Value<'_>> = match root.get("signatures") {
        Some(entries) if root.get("signature").is_none() && root.get("protected").is_none() => {
            entries.items().collect()
        }
        Some(_) => return Err(unreadable()),
        None => vec![root],
    };
    if entries.is_empty() {
        return Err(unreadable());
    }
    if entries.len() > limits::SIGNATURES_PER_JWS {
        return Err(Finding::undecided("beyond-limits", "the JWS has more signatures than accepted"));
    }
    let mut found: Vec<Jws> = Vec::new();
    let mut parameters = None;
    for entry in entries {
        let (Some(protected), Some(signature)) =
            (entry.get("protected").and_then(string), entry.get("signature").and_then(string))
        else {
            return Err(unreadable());
        };
        if entry.get("header").is_some() || root.get("header").is_some() {
            return Err(Finding::fails("header-refused", "the JWS has parameters that are not signed"));
        }
        let same = shared_parameters(&protected).ok_or_else(unreadable)?;
        if parameters.replace(same.clone()).is_some_and(|first| first != same) {
            return Err(Finding::fails("signatures-differ", "the signatures of the JWS differ in more than x5c"));
        }
        found.push(Jws::new(&protected, &payload, &signature, allowed));
    }
    Ok(found)
}

/// The parameters of a header but `x5c`, each as name and text, sorted.
fn shared_parameters(protected: &str) -> Option<Vec<String>> {
    let bytes = URL_SAFE_NO_PAD.decode(protected).ok()?;
    let mut tape = Tape::new();
    let header = tape.read(&bytes).ok()?.root();
    let mut parameters: Vec<String> = header
        .members()
        .filter(|member| member.name != "x5c")
        .map(|member| format!("{}:{}", member.name, member.value.raw()))
        .collect();
    parameters.sort_unstable();
    Some(parameters)
}

fn string(value: Value<'_>) -> Option<String> {
    value.text().map(std::borrow::Cow::into_owned)
}

impl Jws {
    fn new(protected: &str, payload: &str, signature: &str, allowed: &[Algorithm]) -> Self {
        let mut jws = Self { protected: protected.to_owned(), ..Self::default() };
        if !payload.is_empty() {
            jws.found(Finding::fails(
                "embedded-payload",
                "the JWS carries a payload of its own, which says nothing about this resource",
            ));
        }
        match URL_SAFE_NO_PAD.decode(signature) {
            Ok(bytes) => jws.signature = bytes,
            Err(_) => jws.found(Finding::fails("data-unreadable", "the signature value is not base64url")),
        }
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(protected) else {
            jws.found(Finding::fails("header-unreadable", "the header of the JWS is not base64url"));
            return jws;
        };
        let mut tape = Tape::new();
        match tape.read(&bytes) {
            Ok(document) if document.root().kind() == Kind::Object => jws.header(document.root(), allowed),
            _ => jws.found(Finding::fails("header-unreadable", "the header of the JWS is not one JSON object")),
        }
        jws
    }

    fn found(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn header(&mut self, header: Value<'_>, allowed: &[Algorithm]) {
        let name = header.get("alg").and_then(string).unwrap_or_default();
        self.algorithm = Algorithm::parse(&name).filter(|algorithm| allowed.contains(algorithm));
        self.found(match self.algorithm {
            Some(algorithm) => {
                Finding::agrees(Check::Algorithm, "algorithm-allowed", format!("signed with {algorithm}"))
            }
            None => Finding::fails("algorithm-refused", "the header's alg is none that is allowed"),
        });
        for name in REFUSED.into_iter().filter(|name| header.get(name).is_some()) {
            self.found(Finding::fails("header-refused", format!("the header has the parameter {name}")));
        }
        self.critical(header);
        self.sig_t = header.get("sigT").and_then(string);
        if header.get("sigT").is_some() && self.sig_t.is_none() {
            self.found(Finding::fails("header-unreadable", "the header's sigT is not a text"));
        }
        self.commitments(header);
        self.certificates(header);
    }

    /// RFC 7515 section 4.1.11: a list, not empty, of names that are there and understood.
    fn critical(&mut self, header: Value<'_>) {
        let Some(critical) = header.get("crit") else { return };
        let known = |name: Value<'_>| {
            name.text().is_some_and(|name| CRITICAL.contains(&name.as_ref()) && header.get(&name).is_some())
        };
        if critical.kind() != Kind::Array || critical.is_empty() || !critical.items().all(known) {
            self.found(Finding::fails("crit-unknown", "the header lists a critical parameter that is not understood"));
        }
    }

    fn commitments(&mut self, header: Value<'_>) {
        let Some(commitments) = header.get("srCms") else { return };
        let ids = commitments.items().map(|one| one.get("commId").and_then(|id| id.get("id")).and_then(string));
        match ids.collect::<Option<Vec<String>>>() {
            Some(ids) if commitments.kind() == Kind::Array => self.commitments = Some(ids),
            _ => self.found(Finding::fails("header-unreadable", "the header's srCms is no list of commitments")),
        }
    }

    fn certificates(&mut self, header: Value<'_>) {
        let Some(chain) = header.get("x5c").filter(|chain| chain.kind() == Kind::Array && !chain.is_empty()) else {
            self.found(Finding::fails("certificate-missing", "the header has no x5c with certificates"));
            return;
        };
        if chain.items().count() > limits::SIGNATURE_CHAIN {
            self.found(Finding::undecided("beyond-limits", "x5c has more certificates than accepted"));
            return;
        }
        let decoded = chain.items().map(|der| STANDARD.decode(string(der)?).ok());
        let Some(certificates) = decoded.collect::<Option<Vec<Vec<u8>>>>() else {
            self.found(Finding::fails("certificate-unreadable", "x5c is not a list of certificates in base64"));
            return;
        };
        if certificates.iter().any(|der| der.len() > limits::SIGNATURE_CERTIFICATE_BYTES) {
            self.found(Finding::undecided("beyond-limits", "x5c has a certificate larger than accepted"));
            return;
        }
        self.x5c = certificates;
    }
}

#[cfg(test)]
mod tests {
    use super::super::algorithm::ALLOWED;
    use super::*;

    fn codes(header: &str, payload: &str) -> Vec<&'static str> {
        let compact = format!("{}.{payload}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode("s"));
        match read(&STANDARD.encode(compact), &ALLOWED) {
            Ok(found) => found[0].findings.iter().map(|finding| finding.code).collect(),
            Err(finding) => vec![finding.code],
        }
    }

    #[test]
    fn headers_are_held_to_the_list() {
        for (header, payload, expected) in [
            (r#"{"alg":"RS256","x5c":["AAAA"]}"#, "", vec!["algorithm-allowed"]),
            (r#"{"alg":"RS256","x5c":["AAAA"]}"#, "e30", vec!["embedded-payload", "algorithm-allowed"]),
            (r#"{"alg":"none","x5c":["AAAA"]}"#, "", vec!["algorithm-refused"]),
            (r#"{"alg":"HS256","x5c":["AAAA"]}"#, "", vec!["algorithm-refused"]),
            (r#"{"alg":"RS512","x5c":["AAAA"]}"#, "", vec!["algorithm-refused"]),
            (r#"{"alg":["RS256"],"x5c":["AAAA"]}"#, "", vec!["algorithm-refused"]),
            (r#"{"x5c":["AAAA"]}"#, "", vec!["algorithm-refused"]),
            (r#"{"alg":"RS256","alg":"none","x5c":["AAAA"]}"#, "", vec!["header-unreadable"]),
            (r#"{"alg":"RS256","x5c":["AAAA"],"b64":false}"#, "", vec!["algorithm-allowed", "header-refused"]),
            (
                r#"{"alg":"RS256","x5c":["AAAA"],"b64":false,"crit":["b64"]}"#,
                "",
                vec!["algorithm-allowed", "header-refused", "crit-unknown"],
            ),
            (r#"{"alg":"RS256","x5c":["AAAA"],"jwk":{}}"#, "", vec!["algorithm-allowed", "header-refused"]),
            (r#"{"alg":"RS256","x5c":["AAAA"],"jku":""}"#, "", vec!["algorithm-allowed", "header-refused"]),
            (r#"{"alg":"RS256","x5c":["AAAA"],"x5u":""}"#, "", vec!["algorithm-allowed", "header-refused"]),
            (r#"{"alg":"RS256","x5c":["AAAA"],"crit":["sigD"]}"#, "", vec!["algorithm-allowed", "crit-unknown"]),
            (r#"{"alg":"RS256","x5c":["AAAA"],"crit":[]}"#, "", vec!["algorithm-allowed", "crit-unknown"]),
            (r#"{"alg":"RS256","x5c":["AAAA"],"crit":["sigT"]}"#, "", vec!["algorithm-allowed", "crit-unknown"]),
            (r#"{"alg":"RS256","x5c":["AAAA"],"crit":["sigT"],"sigT":"x"}"#, "", vec!["algorithm-allowed"]),
            (r#"{"alg":"RS256"}"#, "", vec!["algorithm-allowed", "certificate-missing"]),
            (r#"{"alg":"RS256","x5c":[]}"#, "", vec!["algorithm-allowed", "certificate-missing"]),
            (r#"{"alg":"RS256","x5c":["_-_-"]}"#, "", vec!["algorithm-allowed", "certificate-unreadable"]),
            (r#"{"alg":"RS256","x5c":[1]}"#, "", vec!["algorithm-allowed", "certificate-unreadable"]),
            (r#"{"alg":"RS256","x5c":["AAAA"],"srCms":[{}]}"#, "", vec!["algorithm-allowed", "header-unreadable"]),
            (r#"{"alg":"RS256","x5c":["AAAA"],"srCms":{}}"#, "", vec!["algorithm-allowed", "header-unreadable"]),
            (r#"{"alg":"RS256","x5c":["AAAA"],"sigT":1}"#, "", vec!["algorithm-allowed", "header-unreadable"]),
            ("[]", "", vec!["header-unreadable"]),
            ("no json", "", vec!["header-unreadable"]),
        ] {
            assert_eq!(codes(header, payload), expected, "{header}");
        }
        let many = format!(r#"{{"alg":"RS256","x5c":[{}"AAAA"]}}"#, r#""AAAA","#.repeat(limits::SIGNATURE_CHAIN));
        assert_eq!(codes(&many, ""), ["algorithm-allowed", "beyond-limits"]);
        let large = STANDARD.encode(vec![0; limits::SIGNATURE_CERTIFICATE_BYTES + 1]);
        assert_eq!(
            codes(&format!(r#"{{"alg":"RS256","x5c":["{large}"]}}"#), ""),
            ["algorithm-allowed", "beyond-limits"]
        );
    }

    #[test]
    fn data_is_base64_of_a_jws_and_nothing_else() {
        for data in ["", "!", "AAAA", "YS5i", "YS5iLmMuZA==", "e30=", "eyJzaWduYXR1cmVzIjpbXX0="] {
            assert_eq!(read(data, &ALLOWED).unwrap_err().code, "data-unreadable", "{data}");
        }
        let large = "A".repeat(limits::SIGNATURE_DATA_BYTES + 1);
        assert_eq!(read(&large, &ALLOWED).unwrap_err().code, "beyond-limits");
        let spaced = STANDARD.encode(format!("{}..c2ln", URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#)));
        let (one, other) = spaced.split_at(8);
        assert_eq!(read(&format!("{one}\n  {other}"), &ALLOWED).unwrap()[0].algorithm, Some(Algorithm::Es256));
    }

    #[test]
    fn json_serialisation_is_for_certificates_of_one_signer() {
        let entry =
            |header: &str| format!(r#"{{"protected":"{}","signature":"c2ln"}}"#, URL_SAFE_NO_PAD.encode(header));
        let one = entry(r#"{"alg":"RS256","x5c":["AAAA"]}"#);
        let other = entry(r#"{"x5c":["AAAB"],"alg":"RS256"}"#);
        let foreign = entry(r#"{"alg":"ES256","x5c":["AAAB"]}"#);
        let read = |text: &str| read(&STANDARD.encode(text), &ALLOWED);
        assert_eq!(read(&format!(r#"{{"payload":"","signatures":[{one},{other}]}}"#)).unwrap().len(), 2);
        assert_eq!(read(&one).unwrap().len(), 1);
        let embedded = read(&format!(r#"{{"payload":"e30","signatures":[{one}]}}"#)).unwrap();
        assert_eq!(embedded[0].findings[0].code, "embedded-payload");
        for (text, code) in [
            (format!(r#"{{"signatures":[{one},{foreign}]}}"#), "signatures-differ"),
            (r#"{"signatures":[]}"#.to_owned(), "data-unreadable"),
            (format!(r#"{{"signature":"c2ln","signatures":[{one}]}}"#), "data-unreadable"),
            (format!(r#"{{"signatures":[{}]}}"#, one.replace('{', r#"{"header":{},"#)), "header-refused"),
            (
                format!(r#"{{"signatures":[{one}{}]}}"#, format!(",{one}").repeat(limits::SIGNATURES_PER_JWS)),
                "beyond-limits",
            ),
        ] {
            assert_eq!(read(&text).unwrap_err().code, code, "{text}");
        }
    }
}
