use rcgen::{CertificateParams, SanType};

use super::*;

/// A certificate with these names, in DER.
fn certificate(dns: &[&str], uris: &[&str]) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = dns
        .iter()
        .map(|name| SanType::DnsName((*name).try_into().unwrap()))
        .chain(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())))
        .collect();
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

async fn by_certificate(identities: &Identities, der: &[u8]) -> Result<String, IdentifyError> {
    let peer = identities.peer(der)?;
    let client = identities.identify(Presented { authorization: None, certificate: Some(&peer) }, now(NOW)).await?;
    assert_eq!((client.method(), client.token_id(), client.expires()), (Method::Certificate, None, None));
    Ok(client.id().to_owned())
}

async fn by_both(identities: &Identities, token: &str, der: &[u8]) -> Result<Method, IdentifyError> {
    let peer = identities.peer(der)?;
    let authorization = format!("Bearer {token}");
    let presented = Presented { authorization: Some(&authorization), certificate: Some(&peer) };
    Ok(identities.identify(presented, now(NOW)).await?.method())
}

#[tokio::test]
async fn a_registered_certificate_is_enough() {
    let pinned = certificate(&["anything.example.com"], &[]);
    let identities = identities(
        &[],
        &[
            with_certificate("by-digest", CertificateMatch::Sha256(sha256(&pinned))),
            with_certificate("by-dns", CertificateMatch::SanDns("payer-b.example.com".to_owned())),
            with_certificate("by-uri", CertificateMatch::SanUri("https://payer-c.example.com/fhir".to_owned())),
        ],
    );
    for (der, expected) in [
        (pinned, Ok("by-digest")),
        (certificate(&["other.example.com", "Payer-B.example.com"], &[]), Ok("by-dns")),
        (certificate(&[], &["https://payer-c.example.com/fhir"]), Ok("by-uri")),
        (certificate(&["anything.example.com"], &[]), Err(IdentifyError::Missing)),
        (certificate(&["*.example.com"], &[]), Err(IdentifyError::Missing)),
        (certificate(&["a.payer-b.example.com"], &[]), Err(IdentifyError::Missing)),
        (certificate(&[], &["https://payer-c.example.com/fhir/"]), Err(IdentifyError::Missing)),
        (certificate(&[], &["https://PAYER-C.example.com/fhir"]), Err(IdentifyError::Missing)),
        (
            certificate(&["payer-b.example.com"], &["https://payer-c.example.com/fhir"]),
            Err(IdentifyError::UnknownClient),
        ),
        (b"no certificate".to_vec(), Err(IdentifyError::UnknownClient)),
    ] {
        let found = by_certificate(&identities, &der).await;
        assert_eq!(found, expected.map(str::to_owned));
    }
}

#[tokio::test]
async fn a_bound_token_counts_only_over_its_certificate() {
    let signer = Signer::es384("k1");
    let own = certificate(&["payer-a.example.com"], &[]);
    let other = certificate(&["payer-a.example.com"], &[]);
    let identities = identities(&[issuer(&[&signer.jwk])], &[registration("payer-a")]);
    let token = signer.token(json!({"cnf": {"x5t#S256": encode(sha256(&own)), "kc-jkt-type": "x"}}));
    for _ in 0..2 {
        assert_eq!(by_both(&identities, &token, &own).await, Ok(Method::BoundToken));
        let refused = Err(IdentifyError::InvalidToken("bound to another certificate than the connection's"));
        assert_eq!(by_both(&identities, &token, &other).await, refused);
        assert_eq!(identify(&identities, &token, NOW).await.map(|client| client.method()), refused);
    }
    assert_eq!(by_both(&identities, &signer.token(json!({})), &other).await, Ok(Method::Bearer));
}

#[tokio::test]
async fn a_client_that_must_bind_cannot_do_without() {
    let signer = Signer::es384("k1");
    let own = certificate(&["payer-a.example.com"], &[]);
    let mut bound = registration("payer-a");
    bound.bound = true;
    let identities = identities(&[issuer(&[&signer.jwk])], &[bound]);
    let unbound = by_both(&identities, &signer.token(json!({})), &own).await;
    assert_eq!(unbound, Err(IdentifyError::InvalidToken("not bound to a certificate, as the client's must be")));
    let token = signer.token(json!({"cnf": {"x5t#S256": encode(sha256(&own))}}));
    assert_eq!(by_both(&identities, &token, &own).await, Ok(Method::BoundToken));
}

#[tokio::test]
async fn token_and_certificate_of_different_clients_are_refused() {
    let signer = Signer::es384("k1");
    let mut pinned = registration("payer-a");
    let dns = |name: &str| CertificateMatch::SanDns(name.to_owned());
    pinned.proof = Proof::Token { issuer: ISSUER.to_owned(), certificate: Some(dns("payer-a.example.com")) };
    let clients = [pinned, registration("payer-c"), with_certificate("payer-b", dns("payer-b.example.com"))];
    let identities = identities(&[issuer(&[&signer.jwk])], &clients);
    let (a, b) = (certificate(&["payer-a.example.com"], &[]), certificate(&["payer-b.example.com"], &[]));
    let stranger = certificate(&["stranger.example.com"], &[]);
    let refused = Err(IdentifyError::InvalidToken("certificate of the connection is not the client's"));
    let token = signer.token(json!({}));
    assert_eq!(by_both(&identities, &token, &a).await, Ok(Method::Bearer));
    assert_eq!(by_both(&identities, &token, &b).await, refused);
    assert_eq!(by_both(&identities, &token, &stranger).await, refused);
    assert_eq!(identify(&identities, &token, NOW).await.map(|client| client.method()), refused);
    let of_c = signer.token(json!({"client_id": "payer-c"}));
    assert_eq!(by_both(&identities, &of_c, &stranger).await, Ok(Method::Bearer));
    assert_eq!(by_both(&identities, &of_c, &b).await, refused);
    assert_eq!(by_certificate(&identities, &a).await, Err(IdentifyError::Missing), "the token is needed too");
    let of_b = signer.token(json!({"client_id": "payer-b"}));
    assert_eq!(by_both(&identities, &of_b, &b).await, Err(IdentifyError::UnknownClient), "known by certificate only");
}
