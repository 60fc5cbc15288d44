//! Who asks: by token, by certificate, by both; and nobody else.

use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::cli::token::Wish;
use portcullis::clock::Clock;
use rustls::pki_types::ServerName;

use crate::support::gateway::{BASE, HOST, block_on};
use crate::support::{Gateway, Payer, clinic, gateway};

/// Known by certificate alone, and known by tokens that are good over a certificate only.
const BY_CERTIFICATE: &str = r#"
[[client]]
id = "by-certificate"
organization = "https://lanternfield.example"
certificate = { san_uri = "https://oldmill.example.org" }
purposes = ["HPAYMT"]
scopes = ["system/*.rs"]

[[client]]
id = "by-both"
organization = "https://lanternfield.example"
issuer = "https://as.example.org"
certificate = { san_dns = "lanternfield.example.org" }
bound = true
purposes = ["HPAYMT"]
scopes = ["system/*.rs"]
"#;

#[track_caller]
fn assert_unknown(payer: &Payer, why: &str) {
    let answer = payer.get("/Patient/maren");
    assert_eq!(answer.refusal().status, 401, "{why}");
    assert!(answer.header("www-authenticate").starts_with("Bearer"), "{why}");
}

fn bound(gateway: &Gateway, client: &str, certificate: &str) -> Wish {
    Wish { certificate: Some(gateway.file(&format!("certs/{certificate}.pem"))), ..Wish::of(client) }
}

#[test]
fn a_token_counts_in_its_time_for_its_gateway_and_unaltered() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let fixed = |text: &str| Clock::Fixed(text.parse().unwrap());
    let at = |seconds: i64| {
        let now = Clock::System.now().unix_seconds();
        Clock::Fixed(jiff::Timestamp::from_second(now + seconds).unwrap())
    };
    let of = |clock: Clock| payer.with_token(&gateway.token(&Wish::of("lanternfield"), clock));
    assert_eq!(payer.get("/Patient/maren").status(), 200);
    assert_unknown(&of(fixed("2020-01-01T00:00:00Z")), "expired long ago");
    assert_unknown(&of(at(-400)), "expired a moment ago");
    assert_unknown(&of(at(400)), "not yet valid");
    let token = payer.token();
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { panic!("three parts") };
    for (name, other) in [
        ("no signature", format!("{header}.{claims}.")),
        ("unsigned", format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{claims}.")),
        ("another signature", format!("{header}.{claims}.{}", signature.chars().rev().collect::<String>())),
        ("no claims", format!("{header}..{signature}")),
        ("text", "opaque-token".to_owned()),
        ("nothing", String::new()),
    ] {
        assert_unknown(&payer.with_token(&other), name);
    }
    let basic =
        payer.ask("GET", "/Patient/maren").without("authorization").header("authorization", "Basic bWFyZW46bWFyZW4=");
    assert_eq!(basic.send().refusal().status, 401);
    let elsewhere = crate::support::gateway().in_front_of(&ehr);
    assert_unknown(&payer.with_token(elsewhere.payer("lanternfield").token()), "signed by another key");
    assert_eq!(payer.get("/Patient/maren").status(), 200);
}

#[test]
fn a_purpose_that_is_not_the_clients_is_refused() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let treating = gateway.payer_who(Wish { purpose: Some("TREAT".to_owned()), ..Wish::of("oldmill") });
    let refusal = treating.get("/Patient/maren").refusal();
    assert_eq!((refusal.status, refusal.code.as_str()), (403, "forbidden"));
    assert_eq!(gateway.payer("oldmill").get("/Patient/maren").status(), 200);
}

#[test]
fn a_token_grants_no_more_than_the_registration() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let scoped =
        |client: &str, scope: &str| gateway.payer_who(Wish { scope: Some(scope.to_owned()), ..Wish::of(client) });
    let greedy = scoped("laboratory-only", "system/*.cruds");
    assert_eq!(greedy.get("/Condition?patient=maren").refusal().status, 403);
    assert_eq!(greedy.get("/Observation/maren-weight-2025").refusal().status, 404);
    for (scope, read, search) in [
        ("system/Patient.r", 200, 403),
        ("system/Patient.s", 403, 200),
        ("system/Patient.rs", 200, 200),
        ("system/Observation.rs", 403, 403),
        ("user/Patient.rs", 403, 403),
        ("patient/Patient.rs openid", 403, 403),
        ("system/Patient.sr", 403, 403),
        ("", 403, 403),
    ] {
        let payer = scoped("lanternfield", scope);
        assert_eq!(payer.get("/Patient/maren").status(), read, "{scope}");
        assert_eq!(payer.get("/Patient?_id=maren").status(), search, "{scope}");
    }
}

#[test]
fn a_certificate_names_its_client() {
    let ehr = clinic();
    let gateway = gateway().with_tls("optional").with(BY_CERTIFICATE).in_front_of(&ehr);
    let nobody = gateway.payer("lanternfield").without_token();
    assert_unknown(&nobody.over_tls(gateway.tls(None)), "no certificate");
    let known = nobody.over_tls(gateway.tls(Some("oldmill")));
    let answer = known.get("/Patient/maren");
    assert_eq!(answer.status(), 200);
    let log = gateway.log();
    let record = log.exchange(answer.header("x-request-id"));
    assert_eq!((record.client.as_deref(), record.token.as_deref()), (Some("by-certificate"), None));
    assert_unknown(&nobody.over_tls(gateway.tls(Some("lanternfield"))), "a certificate that needs a token with it");
    assert_eq!(gateway.payer("lanternfield").over_tls(gateway.tls(None)).get("/Patient/maren").status(), 200);
    let theirs = gateway.payer("lanternfield").over_tls(gateway.tls(Some("oldmill")));
    assert_unknown(&theirs, "one client's token over another's certificate");
}

#[test]
fn a_bound_token_counts_over_its_certificate_only() {
    let ehr = clinic();
    let gateway = gateway().with_tls("optional").with(BY_CERTIFICATE).in_front_of(&ehr);
    let own = gateway.payer_who(bound(&gateway, "by-both", "lanternfield"));
    assert_eq!(own.over_tls(gateway.tls(Some("lanternfield"))).get("/Patient/maren").status(), 200);
    assert_unknown(&own.over_tls(gateway.tls(None)), "no certificate");
    assert_unknown(&own.over_tls(gateway.tls(Some("oldmill"))), "another certificate");
    let unbound = gateway.payer("by-both");
    assert_unknown(&unbound.over_tls(gateway.tls(Some("lanternfield"))), "a token that should be bound");
    let plain = gateway.payer_who(bound(&gateway, "lanternfield", "lanternfield"));
    assert_unknown(&plain.over_tls(gateway.tls(None)), "a binding that nobody asked for holds too");
}

#[test]
fn a_certificate_of_another_authority_makes_no_connection() {
    let ehr = clinic();
    let gateway = gateway().with_tls("optional").with(BY_CERTIFICATE).in_front_of(&ehr);
    let other = crate::support::gateway().in_front_of(&ehr);
    let read = |name: &str| std::fs::read(other.file(&format!("certs/{name}"))).unwrap();
    let own_ca = std::fs::read(gateway.file("certs/ca.pem")).unwrap();
    let pair = (read("oldmill.pem"), read("oldmill.key"));
    let tls = portcullis::outbound::tls::client_config(Some(&own_ca), Some((&pair.0, &pair.1))).unwrap();
    let payer = gateway.payer("lanternfield");
    assert!(payer.over_tls(tls).ask("GET", "/Patient/maren").try_begin().is_none());
    assert_eq!(payer.over_tls(gateway.tls(None)).get("/Patient/maren").status(), 200);
}

#[test]
fn a_required_certificate_is_required() {
    let ehr = clinic();
    let gateway = gateway().with_tls("required").with(BY_CERTIFICATE).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    assert!(payer.over_tls(gateway.tls(None)).ask("GET", "/metadata").try_begin().is_none());
    assert!(payer.ask("GET", "/metadata").try_begin().is_none(), "plain text");
    assert_eq!(payer.over_tls(gateway.tls(Some("oldmill"))).get("/metadata").status(), 200);
}

#[test]
fn http_2_is_the_same_gateway() {
    let ehr = clinic();
    let gateway = gateway().with_tls("optional").in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let expected = payer.over_tls(gateway.tls(None)).get("/Observation?patient=maren");
    let mut tls = (*gateway.tls(None)).clone();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let (status, kind, body, id) = block_on(async {
        let stream = tokio::net::TcpStream::connect(gateway.running().address()).await.unwrap();
        let name = ServerName::try_from(HOST).unwrap();
        let stream = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls)).connect(name, stream).await.unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("{BASE}/Observation?patient=maren"))
            .header("authorization", format!("Bearer {}", payer.token()))
            .body(Empty::<bytes::Bytes>::new())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let (status, kind, id) = (answer.status().as_u16(), header("content-type"), header("x-request-id"));
        (status, kind, answer.into_body().collect().await.unwrap().to_bytes(), id)
    });
    payer.answered(&id);
    assert_eq!((status, kind.as_str(), body.as_ref()), (200, "application/fhir+json", expected.body.as_slice()));
}
