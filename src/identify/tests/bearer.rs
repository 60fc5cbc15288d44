use super::*;
use crate::config::RequiredClaim;
use crate::fhir::name::ResourceType;

fn type_of(name: &str) -> ResourceType {
    ResourceType::parse(name).unwrap()
}

#[tokio::test]
async fn a_good_token_makes_a_client() {
    let signer = Signer::es384("k1");
    let rsa = Signer::rs384("k2");
    let identities = identities(&[issuer(&[&signer.jwk, &rsa.jwk])], &[registration("payer-a")]);
    let client = identify(&identities, &signer.token(json!({})), NOW).await.unwrap();
    assert_eq!((client.id(), client.organization()), ("payer-a", "https://payer-a.example.com/org/1"));
    assert_eq!((client.purpose().code(), client.method()), ("HPAYMT", Method::Bearer));
    assert_eq!(
        (client.issuer(), client.token_id(), client.expires()),
        (Some(ISSUER), Some("trrtcc:1"), Some(NOW + 290))
    );
    assert_eq!(client.attributes()["line"], "commercial");
    assert_eq!(client.scopes().to_string(), "system/Observation.rs system/Patient.r");
    assert_eq!(client.scopes().ignored().len(), 1);
    assert!(client.may(type_of("Observation"), Permission::Search) && client.may(type_of("Patient"), Permission::Read));
    assert!(!client.may(type_of("Patient"), Permission::Search) && !client.may(type_of("Coverage"), Permission::Read));
    assert!(identify(&identities, &rsa.token(json!({})), NOW).await.is_ok());
}

#[tokio::test]
async fn claims_that_issuers_vary_in_are_accepted() {
    let signer = Signer::es384("k1");
    let mut jwt = issuer(&[&signer.jwk]);
    jwt.token_types = vec!["jwt".to_owned(), String::new()];
    let strict = identities(&[issuer(&[&signer.jwk])], &[registration("payer-a")]);
    let lax = identities(&[jwt], &[registration("payer-a")]);
    for changes in [
        json!({"aud": ["https://other.example.org", AUDIENCE]}),
        json!({"client_id": null, "azp": "payer-a"}),
        json!({"azp": "somebody-else"}),
        json!({"sub": null, "jti": null, "iat": null}),
        json!({"nbf": NOW + 5, "iat": NOW + 5}),
        json!({"exp": NOW - 4}),
        json!({"typ": "Bearer", "unknown": {"deep": [1, 2.5, null]}}),
        json!({"exp": NOW + 3_590, "iat": NOW - 10}),
    ] {
        assert_eq!(identify(&strict, &signer.token(changes.clone()), NOW).await.err(), None, "{changes}");
    }
    for typ in [json!("AT+JWT"), json!("application/at+jwt")] {
        let token = signer.token_with_header(json!({"typ": typ}));
        assert!(identify(&strict, &token, NOW).await.is_ok());
        assert!(identify(&lax, &token, NOW).await.is_err());
    }
    for typ in [json!("JWT"), Json::Null] {
        let token = signer.token_with_header(json!({"typ": typ}));
        assert!(identify(&lax, &token, NOW).await.is_ok());
        assert_eq!(
            identify(&strict, &token, NOW).await.err(),
            Some(IdentifyError::InvalidToken("typ is not an access token's"))
        );
    }
}

#[tokio::test]
async fn claims_that_do_not_hold_refuse_the_token() {
    let signer = Signer::es384("k1");
    let identities = identities(&[issuer(&[&signer.jwk])], &[registration("payer-a")]);
    for (changes, reason) in [
        (json!({"iss": null}), "iss is missing"),
        (json!({"iss": [ISSUER]}), "iss is missing"),
        (json!({"iss": "https://as.example.org/"}), "unknown issuer"),
        (json!({"aud": null}), "aud is missing"),
        (json!({"aud": "https://gateway.example.org"}), "aud does not name this gateway"),
        (json!({"aud": "https://gateway.example.org/fhir/"}), "aud does not name this gateway"),
        (json!({"aud": ["https://other.example.org"]}), "aud does not name this gateway"),
        (json!({"aud": []}), "aud does not name this gateway"),
        (json!({"aud": [AUDIENCE, 7]}), "aud is neither a text nor texts"),
        (json!({"aud": {"x": AUDIENCE}}), "aud is neither a text nor texts"),
        (json!({"exp": null}), "exp is missing"),
        (json!({"exp": (NOW + 60).to_string()}), "a time is not a whole number of seconds"),
        (json!({"exp": 1_790_000_100.5}), "a time is not a whole number of seconds"),
        (json!({"exp": -1}), "a time is not a whole number of seconds"),
        (json!({"exp": [NOW + 60]}), "a time is not a whole number of seconds"),
        (json!({"exp": NOW - 5}), "expired"),
        (json!({"nbf": NOW + 6}), "not valid yet"),
        (json!({"nbf": "soon"}), "a time is not a whole number of seconds"),
        (json!({"iat": NOW + 6}), "issued in the future"),
        (json!({"iat": true}), "a time is not a whole number of seconds"),
        (json!({"exp": NOW + 3_591}), "lives too long"),
        (json!({"exp": NOW + 3_606, "iat": null}), "lives too long"),
        (json!({"exp": i64::MAX}), "lives too long"),
        (json!({"client_id": null}), "neither client_id nor azp"),
        (json!({"client_id": 7}), "client_id is not a text"),
        (json!({"jti": 7}), "jti is not a text"),
        (json!({"sub": {}}), "sub is not a text"),
        (json!({"scope": ["system/*.rs"]}), "scope is not a text"),
        (json!({"scope": "a ".repeat(256)}), "too many scopes"),
        (json!({"organization_id": "https://payer-b.example.com/org/1"}), "organization_id is not the client's"),
        (json!({"cnf": {"jkt": "x"}}), "bound by DPoP and sent as a bearer token"),
        (json!({"cnf": {"jkt": "x", "x5t#S256": "x"}}), "bound by DPoP and sent as a bearer token"),
        (json!({"cnf": {"kc-jkt-type": "DPoP"}}), "cnf holds nothing that is checked here"),
        (json!({"cnf": {}}), "cnf holds nothing that is checked here"),
        (json!({"cnf": "x"}), "cnf holds nothing that is checked here"),
        (json!({"cnf": {"x5t#S256": "AAAA"}}), "x5t#S256 is not a thumbprint"),
        (json!({"cnf": {"x5t#S256": encode([0; 32]), "other": 1}}), "cnf holds more than is checked here"),
        (json!({"cnf": {"x5t#S256": encode([0; 32])}}), "bound to another certificate than the connection's"),
        (json!({"extensions": []}), "extensions is not an object"),
    ] {
        let found = identify(&identities, &signer.token(changes.clone()), NOW).await.err();
        assert_eq!(found, Some(IdentifyError::InvalidToken(reason)), "{changes}");
    }
    let unknown = identify(&identities, &signer.token(json!({"client_id": "payer-x", "sub": "payer-a"})), NOW).await;
    assert_eq!(unknown.err(), Some(IdentifyError::UnknownClient));
}

#[tokio::test]
async fn a_number_too_large_or_a_repeated_name_refuses_the_token() {
    let signer = Signer::es384("k1");
    let identities = identities(&[issuer(&[&signer.jwk])], &[registration("payer-a")]);
    let good = claims().to_string();
    for (from, to) in [
        ("\"exp\":1790000290", "\"exp\":1e400"),
        ("\"exp\":1790000290", "\"exp\":1.79e9"),
        ("\"exp\":1790000290", "\"exp\":18446744073709551616"),
        ("\"exp\":1790000290", "\"exp\":1790000290,\"exp\":1790000290"),
        ("\"exp\":1790000290", "\"e\\u0078p\":1790000290"),
        ("\"client_id\":\"payer-a\"", "\"client_id\":\"payer-b\",\"client_id\":\"payer-a\""),
    ] {
        assert!(good.contains(from));
        let token = signer.sign(&signer.header().to_string(), &good.replace(from, to));
        let found = identify(&identities, &token, NOW).await.err();
        assert!(matches!(found, Some(IdentifyError::InvalidToken(_))), "{to}");
    }
    let header = signer.header().to_string().replace("{", "{\"alg\":\"ES384\",");
    assert!(identify(&identities, &signer.sign(&header, &good), NOW).await.is_err());
    assert!(identify(&identities, &signer.sign(&signer.header().to_string(), "[]"), NOW).await.is_err());
}

#[tokio::test]
async fn headers_that_choose_key_or_algorithm_are_refused() {
    let signer = Signer::es384("k1");
    let rsa = Signer::rs384("k2");
    let stranger = Signer::es384("k1");
    let mut issuer = issuer(&[&signer.jwk, &rsa.jwk]);
    issuer.algorithms = vec![Algorithm::Es384];
    let identities = identities(&[issuer], &[registration("payer-a")]);
    let names_a_key = "header names a key or an extension";
    for (token, reason) in [
        (signer.token_with_header(json!({"alg": "none"})), "alg is not among the issuer's"),
        (signer.token_with_header(json!({"alg": "nOnE"})), "alg is not among the issuer's"),
        (signer.token_with_header(json!({"alg": "HS256"})), "alg is not among the issuer's"),
        (signer.token_with_header(json!({"alg": ["ES384"]})), "alg is not among the issuer's"),
        (signer.token_with_header(json!({"alg": null})), "alg is not among the issuer's"),
        (rsa.token(json!({})), "alg is not among the issuer's"),
        (signer.token_with_header(json!({"kid": null})), "kid is missing"),
        (signer.token_with_header(json!({"kid": "K1"})), "no key of this kid fits"),
        (signer.token_with_header(json!({"kid": "k2"})), "no key of this kid fits"),
        (signer.token_with_header(json!({"kid": "../../dev/null"})), "no key of this kid fits"),
        (signer.token_with_header(json!({"jwk": signer.jwk.clone()})), names_a_key),
        (signer.token_with_header(json!({"jku": "https://as.example.org/jwks"})), names_a_key),
        (signer.token_with_header(json!({"x5u": "https://as.example.org/x"})), names_a_key),
        (signer.token_with_header(json!({"x5c": ["AAAA"]})), names_a_key),
        (signer.token_with_header(json!({"crit": ["exp"]})), names_a_key),
        (signer.token_with_header(json!({"b64": false})), names_a_key),
        (signer.token_with_header(json!({"typ": 7})), "typ is not a text"),
        (signer.token_with_header(json!({"typ": "dpop+jwt"})), "typ is not an access token's"),
        (stranger.token(json!({})), "signature"),
    ] {
        let found = identify(&identities, &token, NOW).await.err();
        assert_eq!(found, Some(IdentifyError::InvalidToken(reason)), "{token}");
    }
    let good = signer.token(json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let other = changed(claims(), json!({"client_id": "payer-b"})).to_string();
    let (header, _) = message.split_once('.').unwrap();
    for forged in [
        format!("{message}."),
        format!("{message}.{}", encode([0; 96])),
        format!("{header}.{}.{signature}", encode(other.replace("payer-b", "payer-a").replace("290", "299"))),
    ] {
        let found = identify(&identities, &forged, NOW).await.err();
        assert_eq!(found, Some(IdentifyError::InvalidToken("signature")), "{forged}");
    }
}

#[tokio::test]
async fn what_is_no_bearer_token_is_told_so_little() {
    let signer = Signer::es384("k1");
    let identities = identities(&[issuer(&[&signer.jwk])], &[registration("payer-a")]);
    let good = signer.token(json!({}));
    for (authorization, error) in [
        (None, IdentifyError::Missing),
        (Some(String::new()), IdentifyError::Malformed),
        (Some("Bearer".to_owned()), IdentifyError::Malformed),
        (Some("Bearer ".to_owned()), IdentifyError::Malformed),
        (Some(format!("Basic {good}")), IdentifyError::Malformed),
        (Some(format!("DPoP {good}")), IdentifyError::Malformed),
        (Some(format!("Bearer {good},{good}")), IdentifyError::Malformed),
        (Some(format!("Bearer {good} {good}")), IdentifyError::Malformed),
        (Some("Bearer abc".to_owned()), IdentifyError::Malformed),
        (Some("Bearer a.b".to_owned()), IdentifyError::Malformed),
        (Some("Bearer a.b.c.d.e".to_owned()), IdentifyError::Malformed),
        (Some(format!("Bearer {good}=")), IdentifyError::Malformed),
        (Some(format!("Bearer {}", "a".repeat(limits::TOKEN_BYTES + 1))), IdentifyError::Malformed),
    ] {
        let presented = Presented { authorization: authorization.as_deref(), certificate: None };
        assert_eq!(identities.identify(presented, now(NOW)).await.err(), Some(error), "{authorization:?}");
    }
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let authorization = format!("{scheme} {good}");
        let presented = Presented { authorization: Some(&authorization), certificate: None };
        assert!(identities.identify(presented, now(NOW)).await.is_ok(), "{scheme}");
    }
}

#[test]
fn each_refusal_knows_its_answer() {
    for (error, status, field) in [
        (IdentifyError::Missing, 401, Some("Bearer")),
        (IdentifyError::Malformed, 401, Some("Bearer error=\"invalid_token\"")),
        (IdentifyError::InvalidToken("expired"), 401, Some("Bearer error=\"invalid_token\"")),
        (IdentifyError::PurposeNotAllowed("x"), 403, None),
        (IdentifyError::UnknownClient, 403, None),
        (IdentifyError::Unavailable, 503, None),
    ] {
        assert_eq!((error.status().as_u16(), error.www_authenticate()), (status, field));
    }
}

#[tokio::test]
async fn one_purpose_counts_and_it_must_be_allowed() {
    let signer = Signer::es384("k1");
    let mut without_default = registration("payer-b");
    without_default.purpose = None;
    let identities = identities(&[issuer(&[&signer.jwk])], &[registration("payer-a"), without_default]);
    let b2b = |purposes: Json| json!({"extensions": {"hl7-b2b": {"version": "1", "purpose_of_use": purposes}}});
    for (changes, purpose) in [
        (json!({}), "HPAYMT"),
        (json!({"purpose_of_use": "CLMATTCH"}), "CLMATTCH"),
        (json!({"purpose_of_use": ["urn:oid:2.16.840.1.113883.5.8#CLMATTCH"]}), "CLMATTCH"),
        (
            json!({"purpose_of_use": ["CLMATTCH", "http://terminology.hl7.org/CodeSystem/v3-ActReason#CLMATTCH"]}),
            "CLMATTCH",
        ),
        (b2b(json!(["urn:oid:2.16.840.1.113883.5.8#CLMATTCH"])), "CLMATTCH"),
        (
            json!({"extensions": {"ihe_iua": {"purpose_of_use": [{"system": "urn:oid:2.16.840.1.113883.5.8", "code": "CLMATTCH"}]}}}),
            "CLMATTCH",
        ),
        (json!({"client_id": "payer-b", "purpose_of_use": "CLMATTCH"}), "CLMATTCH"),
    ] {
        let client = identify(&identities, &signer.token(changes.clone()), NOW).await;
        assert_eq!(client.map(|client| client.purpose().code()), Ok(purpose), "{changes}");
    }
    let both = json!({
        "purpose_of_use": "HPAYMT",
        "extensions": {"hl7-b2b": {"version": "1", "purpose_of_use": ["CLMATTCH"]}},
    });
    for (changes, reason) in [
        (json!({"client_id": "payer-b"}), "the token states none"),
        (json!({"purpose_of_use": "TREAT"}), "not among the client's"),
        (json!({"purpose_of_use": ["HPAYMT", "CLMATTCH"]}), "the token states several"),
        (both, "the token states several"),
        (json!({"purpose_of_use": []}), "an empty list"),
        (json!({"purpose_of_use": "payment"}), "not a code of v3-ActReason"),
        (json!({"purpose_of_use": 7}), "not a code of v3-ActReason"),
        (json!({"purpose_of_use": "urn:oid:1.2.3#HPAYMT"}), "not a code of v3-ActReason"),
        (b2b(json!([])), "an empty list"),
    ] {
        let found = identify(&identities, &signer.token(changes.clone()), NOW).await.err();
        assert_eq!(found, Some(IdentifyError::PurposeNotAllowed(reason)), "{changes}");
    }
    for changes in
        [b2b(json!("HPAYMT")), json!({"extensions": {"hl7-b2b": {"version": "2", "purpose_of_use": ["HPAYMT"]}}})]
    {
        let found = identify(&identities, &signer.token(changes.clone()), NOW).await.err();
        assert!(matches!(found, Some(IdentifyError::InvalidToken(_))), "{changes}");
    }
}

#[tokio::test]
async fn an_issuer_speaks_only_for_its_own_clients() {
    let signer = Signer::es384("k1");
    let other = Signer::es384("k1");
    let mut second = issuer(&[&other.jwk]);
    second.issuer = "https://as2.example.org".to_owned();
    let identities = identities(&[issuer(&[&signer.jwk]), second], &[registration("payer-a")]);
    let foreign = other.token(json!({"iss": "https://as2.example.org"}));
    assert_eq!(identify(&identities, &foreign, NOW).await.err(), Some(IdentifyError::UnknownClient));
    let disguised = other.token(json!({}));
    assert_eq!(identify(&identities, &disguised, NOW).await.err(), Some(IdentifyError::InvalidToken("signature")));
}

#[tokio::test]
async fn claims_that_an_issuer_is_held_to_must_be_there() {
    let signer = Signer::es384("k1");
    let mut held = issuer(&[&signer.jwk]);
    held.require = vec![RequiredClaim::Nbf, RequiredClaim::Iat, RequiredClaim::Jti];
    let identities = identities(&[held], &[registration("payer-a")]);
    assert!(identify(&identities, &signer.token(json!({"nbf": NOW})), NOW).await.is_ok());
    for (changes, reason) in [
        (json!({}), "nbf is missing"),
        (json!({"nbf": NOW, "iat": null}), "iat is missing"),
        (json!({"nbf": NOW, "jti": null}), "jti is missing"),
    ] {
        let found = identify(&identities, &signer.token(changes), NOW).await.err();
        assert_eq!(found, Some(IdentifyError::InvalidToken(reason)));
    }
}

#[tokio::test]
async fn a_remembered_token_still_expires() {
    let signer = Signer::es384("k1");
    let identities = identities(&[issuer(&[&signer.jwk])], &[registration("payer-a")]);
    let token = signer.token(json!({"exp": NOW + 20}));
    for (at, accepted) in [(NOW, true), (NOW + 24, true), (NOW + 25, false), (NOW + 24, true)] {
        assert_eq!(identify(&identities, &token, at).await.is_ok(), accepted, "{}", at - NOW);
    }
    let not_yet = signer.token(json!({"nbf": NOW}));
    assert!(identify(&identities, &not_yet, NOW).await.is_ok());
    assert!(identify(&identities, &not_yet, NOW - 6).await.is_err());
}

#[tokio::test]
async fn a_remembered_token_is_not_verified_again() {
    let signer = Signer::rs384("k1");
    let identities = identities(&[issuer(&[&signer.jwk])], &[registration("payer-a")]);
    let token = signer.token(json!({"purpose_of_use": ["urn:oid:2.16.840.1.113883.5.8#HPAYMT"]}));
    let first = identify(&identities, &token, NOW).await.unwrap();
    let again = identify(&identities, &token, NOW + 1).await.unwrap();
    assert!(first.is_same_as(&again), "the second answer is the first, not a second verification");
}

#[test]
fn a_client_shows_who_asks_for_what_and_how_far() {
    let client = Client::for_test("payer-a", "HPAYMT", "system/Patient.r");
    assert_eq!(format!("{client:?}"), "Client(payer-a, HPAYMT, system/Patient.r)");
    let known = Client::with_attributes("payer-a", "HPAYMT", "system/Patient.r", &[("line", "secret")]);
    assert_eq!(known.attributes()["line"], "secret");
    assert!(!format!("{known:?}").contains("secret"));
}
