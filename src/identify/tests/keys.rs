use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

use super::super::keys::life;
use super::*;
use crate::config::HttpUrl;

#[tokio::test]
async fn a_key_set_is_fetched_once_and_again_when_it_is_stale() {
    let signer = Signer::es384("k1");
    let fake = FakeIssuer::serving(&[&signer.jwk], 300);
    let identities = identities_fetching(&fake, &issuer(&[&signer.jwk]));
    for at in [NOW, NOW + 1, NOW + 250] {
        let token = signer.token(json!({"jti": at.to_string()}));
        assert!(identify(&identities, &token, at).await.is_ok());
    }
    assert_eq!(fake.fetches(), 1);
    let late = signer.token(json!({"exp": NOW + 900}));
    assert!(identify(&identities, &late, NOW + 300).await.is_ok());
    assert_eq!(fake.fetches(), 2);
}

#[tokio::test]
async fn a_flood_of_unknown_kids_costs_one_fetch_a_minute() {
    let signer = Signer::es384("k1");
    let fake = FakeIssuer::serving(&[&signer.jwk], 3_600);
    let identities = Arc::new(identities_fetching(&fake, &issuer(&[&signer.jwk])));
    let mut flood = Vec::new();
    for number in 0..1_000 {
        let token = signer.token_with_header(json!({"kid": format!("random-{number}")}));
        let identities = Arc::clone(&identities);
        flood.push(tokio::spawn(async move { identify(&identities, &token, NOW + number / 20).await.err() }));
    }
    for request in flood {
        assert_eq!(request.await.unwrap(), Some(IdentifyError::InvalidToken("no key of this kid fits")));
    }
    assert_eq!(fake.fetches(), 1);
    assert!(identify(&identities, &signer.token(json!({})), NOW).await.is_ok(), "a good token still passes");
    let late = signer.token_with_header(json!({"kid": "random"}));
    assert!(identify(&identities, &late, NOW + 60).await.is_err());
    assert_eq!(fake.fetches(), 2);
}

#[tokio::test]
async fn many_who_wait_share_one_fetch() {
    let signer = Signer::es384("k1");
    let fake = FakeIssuer::serving(&[&signer.jwk], 300);
    let identities = Arc::new(identities_fetching(&fake, &issuer(&[&signer.jwk])));
    let mut waiting = Vec::new();
    for number in 0..100 {
        let token = signer.token(json!({"jti": number.to_string()}));
        let identities = Arc::clone(&identities);
        waiting.push(tokio::spawn(async move { identify(&identities, &token, NOW).await.is_ok() }));
    }
    for request in waiting {
        assert!(request.await.unwrap());
    }
    assert_eq!(fake.fetches(), 1);
}

#[tokio::test]
async fn rotation_loses_no_request_and_a_removed_key_stops_counting() {
    let old = Signer::es384("old");
    let new = Signer::es384("new");
    let fake = FakeIssuer::serving(&[&old.jwk], 300);
    let identities = identities_fetching(&fake, &issuer(&[&old.jwk]));
    let by_old = old.token(json!({}));
    assert!(identify(&identities, &by_old, NOW).await.is_ok());
    fake.serve(&[&old.jwk, &new.jwk]);
    assert!(identify(&identities, &new.token(json!({})), NOW + 1).await.is_ok(), "found by a fetch ahead of time");
    assert!(identify(&identities, &by_old, NOW + 1).await.is_ok());
    fake.serve(&[&new.jwk]);
    identities.renew(now(NOW + 150)).await;
    assert_eq!(fake.fetches(), 2, "nothing to renew yet");
    identities.renew(now(NOW + 290)).await;
    assert_eq!(fake.fetches(), 3);
    let refused = identify(&identities, &by_old, NOW + 31).await.err();
    assert_eq!(refused, Some(IdentifyError::InvalidToken("no key of this kid fits")), "though it was remembered");
    assert!(identify(&identities, &new.token(json!({})), NOW + 31).await.is_ok());
}

#[tokio::test]
async fn without_fresh_keys_nothing_is_verified() {
    let signer = Signer::es384("k1");
    let fake = FakeIssuer::serving(&[&signer.jwk], 60);
    let identities = identities_fetching(&fake, &issuer(&[&signer.jwk]));
    let token = signer.token(json!({}));
    assert_eq!(identities.issuers_without_keys(now(NOW)).collect::<Vec<_>>(), [ISSUER]);
    assert!(identify(&identities, &token, NOW).await.is_ok());
    assert_eq!(identities.issuers_without_keys(now(NOW)).count(), 0);
    fake.fail();
    assert!(identify(&identities, &token, NOW + 59).await.is_ok(), "still fresh");
    assert_eq!(identify(&identities, &token, NOW + 60).await.err(), Some(IdentifyError::Unavailable));
    assert_eq!(identify(&identities, &token, NOW + 64).await.err(), Some(IdentifyError::Unavailable));
    assert_eq!(fake.fetches(), 2, "a failure is not repeated at once");
    fake.serve(&[&signer.jwk]);
    assert!(identify(&identities, &token, NOW + 65).await.is_ok());
    assert_eq!(fake.fetches(), 3);
}

#[tokio::test]
async fn a_key_set_that_cannot_be_used_is_no_key_set() {
    let signer = Signer::es384("k1");
    let weak = json!({"kty": "oct", "kid": "k1", "k": "AAAA"});
    let fake = FakeIssuer::serving(&[&weak], 60);
    let identities = identities_fetching(&fake, &issuer(&[&signer.jwk]));
    assert_eq!(identify(&identities, &signer.token(json!({})), NOW).await.err(), Some(IdentifyError::Unavailable));
}

#[test]
fn cache_control_is_honoured_within_bounds() {
    for (cache_control, age, life_expected) in [
        (None, None, 300),
        (Some("public"), None, 300),
        (Some("no-cache"), None, 60),
        (Some("no-store, max-age=900"), None, 60),
        (Some("max-age=0"), None, 60),
        (Some("max-age=59"), None, 60),
        (Some("max-age=61"), None, 61),
        (Some("public, Max-Age=900"), None, 900),
        (Some("max-age=900"), Some("300"), 600),
        (Some("max-age=\"900\""), None, 900),
        (Some("max-age=86400"), None, 86_400),
        (Some("max-age=86401"), None, 86_400),
        (Some("max-age=99999999999999999999"), None, 60),
        (Some("max-age=-5"), None, 60),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(value) = cache_control {
            headers.insert(CACHE_CONTROL, value.parse().unwrap());
        }
        if let Some(value) = age {
            headers.insert(AGE, value.parse().unwrap());
        }
        assert_eq!(life(&headers), life_expected, "{cache_control:?} {age:?}");
    }
}

/// An issuer on a socket: answers every request with one text, once it is let, and counts.
struct Served {
    url: String,
    asked: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
    gate: Arc<Semaphore>,
}

async fn served(answer: String) -> Served {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let served = Served { url, asked: Arc::default(), heads: Arc::default(), gate: Arc::new(Semaphore::new(0)) };
    let (asked, heads, gate) = (Arc::clone(&served.asked), Arc::clone(&served.heads), Arc::clone(&served.gate));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4_096];
            let length = stream.read(&mut head).await.unwrap();
            heads.lock().unwrap().push(String::from_utf8_lossy(&head[..length]).into_owned());
            asked.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    served
}

fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn fetching_from(url: &str, signer: &Signer) -> Identities {
    let mut issuer = issuer(&[&signer.jwk]);
    issuer.keys = KeySource::Url { url: HttpUrl::parse(url).unwrap(), ca: None };
    identities(&[issuer], &[registration("payer-a")])
}

#[tokio::test]
async fn a_key_set_is_fetched_over_http_and_anything_but_a_plain_answer_is_none() {
    let signer = Signer::es384("k1");
    let body = json!({ "keys": [signer.jwk] }).to_string();
    let json_type = "content-type: application/json";
    for (answer, usable) in [
        (answer(&format!("200 OK\r\n{json_type}\r\ncache-control: no-cache"), &body), true),
        (answer("200 OK\r\ncontent-type: application/jwk-set+json; charset=utf-8", &body), true),
        (answer("200 OK\r\ncontent-type: text/html", &body), false),
        (answer("200 OK", &body), false),
        (answer(&format!("302 Found\r\nlocation: /other\r\n{json_type}"), &body), false),
        (answer(&format!("503 Service Unavailable\r\nretry-after: 3\r\n{json_type}"), &body), false),
        (answer(&format!("200 OK\r\n{json_type}"), &" ".repeat(limits::KEY_SET_BYTES + 1)), false),
    ] {
        let served = served(answer.clone()).await;
        served.gate.add_permits(10);
        let identities = fetching_from(&served.url, &signer);
        let found = identify(&identities, &signer.token(json!({})), NOW).await.err();
        assert_eq!(found, if usable { None } else { Some(IdentifyError::Unavailable) }, "{answer:.120}");
        assert_eq!(served.asked.load(Ordering::SeqCst), 1);
        let head = served.heads.lock().unwrap()[0].to_ascii_lowercase();
        assert!(
            head.starts_with("get /jwks http/1.1\r\n") && head.contains("accept: application/jwk-set+json"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_the_fetch_that_others_wait_for() {
    let signer = Signer::es384("k1");
    let body = json!({ "keys": [signer.jwk] }).to_string();
    let served = served(answer("200 OK\r\ncontent-type: application/json", &body)).await;
    let identities = Arc::new(fetching_from(&served.url, &signer));
    let token = signer.token(json!({}));
    let waiting = |identities: &Arc<Identities>| {
        let (identities, token) = (Arc::clone(identities), token.clone());
        tokio::spawn(async move { identify(&identities, &token, NOW).await.is_ok() })
    };
    let first = waiting(&identities);
    while served.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let second = waiting(&identities);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    served.gate.add_permits(1);
    assert!(second.await.unwrap());
    assert_eq!(served.asked.load(Ordering::SeqCst), 1);
}

#[test]
fn identities_are_shared_by_all_cores() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Identities>();
    shared::<Client>();
    shared::<PeerCertificate>();
}
