use std::sync::atomic::{AtomicUsize, Ordering};

use ::http::Request;
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::outbound;

type Text = http_body_util::combinators::UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

fn text(text: String) -> Text {
    Full::new(Bytes::from(text)).map_err(Box::from).boxed_unsync()
}

/// Says on which core, over what and with which certificate a request came.
struct Witness {
    core: usize,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    arrived: AtomicUsize,
    finished: AtomicUsize,
    gate: Notify,
}

impl Handler for Witness {
    type Body = Text;

    async fn handle(self: Rc<Self>, arrival: Arrival) -> Response<Text> {
        self.shared.arrived.fetch_add(1, Ordering::SeqCst);
        if arrival.parts.uri.path() == "/wait" {
            self.shared.gate.notified().await;
        }
        self.shared.finished.fetch_add(1, Ordering::SeqCst);
        let leaf = arrival.certificate.map_or(0, |leaf| leaf.len());
        let said = format!("{} {:?} {} {leaf}", self.core, arrival.parts.version, arrival.tls);
        Response::new(text(said))
    }
}

fn settings(cores: usize) -> Settings {
    let metrics = Arc::new(Metrics::new().unwrap());
    Settings { cores: cores.try_into().unwrap(), ..Settings::new("127.0.0.1:0".parse().unwrap(), metrics) }
}

fn start(settings: Settings) -> (Running, Arc<Shared>) {
    let shared = Arc::new(Shared::default());
    let seen = Arc::clone(&shared);
    (serve(settings, move |core| Rc::new(Witness { core, shared: Arc::clone(&seen) })).unwrap(), shared)
}

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.address()).await.unwrap()
}

async fn ask(stream: &mut TcpStream, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: gw\r\n\r\n").as_bytes()).await.unwrap();
}

/// The first piece of an answer, which is all of it; empty if the connection was closed instead.
async fn answer(stream: &mut TcpStream) -> String {
    let mut seen = Vec::with_capacity(4096);
    let _ = stream.read_buf(&mut seen).await;
    String::from_utf8(seen).unwrap()
}

async fn arrived(shared: &Shared, count: usize) {
    while shared.arrived.load(Ordering::SeqCst) < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_core_serves_and_all_of_them_stop() {
    let (running, _) = start(settings(2));
    let mut cores = [false; 2];
    // The kernel spreads by hash; a hundred ports that all fall on one of two cores are no accident.
    for _ in 0..100 {
        let mut stream = connect(&running).await;
        ask(&mut stream, "/").await;
        let said = answer(&mut stream).await;
        let core: usize = said.split("\r\n\r\n").nth(1).unwrap()[..1].parse().unwrap();
        assert!(said.ends_with("HTTP/1.1 false 0"), "{said}");
        cores[core] = true;
        if cores == [true; 2] {
            break;
        }
    }
    assert_eq!(cores, [true; 2]);
    let address = running.address();
    assert_eq!(running.drain().await, 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight() {
    let (running, shared) = start(settings(1));
    let mut idle = connect(&running).await;
    ask(&mut idle, "/").await;
    answer(&mut idle).await;
    let mut busy = connect(&running).await;
    ask(&mut busy, "/wait").await;
    arrived(&shared, 2).await;
    let stopping = tokio::spawn(running.drain());
    assert_eq!(answer(&mut idle).await, "", "an idle connection is closed at once");
    shared.gate.notify_one();
    assert!(answer(&mut busy).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(answer(&mut busy).await, "");
    assert_eq!(stopping.await.unwrap(), 0);
}

#[tokio::test]
async fn stopping_waits_for_exchanges_whose_clients_left() {
    let (running, shared) = start(settings(1));
    let mut gone = connect(&running).await;
    ask(&mut gone, "/wait").await;
    arrived(&shared, 1).await;
    drop(gone);
    let address = running.address();
    let stopping = tokio::spawn(running.stop(Duration::from_secs(20)));
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    shared.gate.notify_one();
    assert_eq!(stopping.await.unwrap(), 0);
    assert_eq!(shared.finished.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn stopping_serves_connections_that_wait_to_be_accepted() {
    let settings = settings(1);
    let listener = core::bind(settings.address).unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    ask(&mut stream, "/").await;
    let (_stop, stop) = watch::channel(Some(Duration::from_secs(20)));
    let metrics = settings.metrics;
    let slots = Slots::new(9, 9, Arc::clone(&metrics));
    let seat = Seat { tls: None, slots, in_flight: 9, metrics, stop };
    let core = tokio::task::spawn_blocking(move || {
        core::run(listener, seat, || Rc::new(Witness { core: 0, shared: Arc::default() }), || ())
    });
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(core.await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn an_answer_to_a_body_that_nobody_reads_arrives() {
    let (running, _) = start(settings(1));
    let mut stream = connect(&running).await;
    let body = vec![b'a'; 8 * 1024 * 1024];
    let head = format!("POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.expect("the connection is open while the body is sent");
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), 0, "closed without a reset");
}

#[tokio::test]
async fn a_client_that_sends_for_ever_is_cut() {
    let (running, _) = start(settings(1));
    let mut stream = connect(&running).await;
    let head = "POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 1000000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'a'; 1024 * 1024];
    let mut sent = 0;
    while stream.write_all(&piece).await.is_ok() {
        sent += piece.len();
    }
    assert!(sent <= limits::LINGER_BYTES + 16 * piece.len(), "{sent}");
}

#[tokio::test]
async fn the_grace_period_ends() {
    let (running, shared) = start(settings(1));
    let mut busy = connect(&running).await;
    ask(&mut busy, "/wait").await;
    arrived(&shared, 1).await;
    assert_eq!(running.stop(Duration::from_millis(1)).await, 1);
    assert_eq!(answer(&mut busy).await, "");
}

#[tokio::test]
async fn an_address_in_use_or_not_ours_is_an_error() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let settings = Settings::new("192.0.2.1:1".parse().unwrap(), metrics);
    let result = serve(settings, |core| Rc::new(Witness { core, shared: Arc::default() }));
    assert!(matches!(result, Err(ListenError::Bind(_, io::ErrorKind::AddrNotAvailable))), "{result:?}");
}

#[tokio::test]
async fn a_core_that_does_not_start_is_an_error() {
    let result = serve(settings(2), |core| {
        assert_eq!(core, 0, "on purpose");
        Rc::new(Witness { core, shared: Arc::default() })
    });
    assert!(matches!(result, Err(ListenError::Core)), "{result:?}");
}

#[tokio::test]
async fn connections_above_the_limit_are_closed() {
    let (running, _) = start(Settings { connections_per_peer: 1, ..settings(1) });
    let mut first = connect(&running).await;
    ask(&mut first, "/").await;
    assert!(!answer(&mut first).await.is_empty());
    let mut second = connect(&running).await;
    assert_eq!(answer(&mut second).await, "");
    ask(&mut first, "/").await;
    assert!(!answer(&mut first).await.is_empty());
    drop(first);
    loop {
        let mut third = connect(&running).await;
        let _ = third.write_all(b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n").await;
        if !answer(&mut third).await.is_empty() {
            break;
        }
    }
}

/// A certificate authority with a server and a client certificate.
struct Authority {
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { ca: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn pem(&self) -> String {
        self.ca.pem()
    }

    /// Certificate, key, and the length of the certificate in DER.
    fn issue(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (String, String, usize) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        (certificate.pem(), key.serialize_pem(), certificate.der().len())
    }
}

type Identity<'a> = Option<&'a (String, String, usize)>;

fn client_config(authority: &Authority, identity: Identity<'_>, alpn: &[&str]) -> Arc<ClientConfig> {
    let identity = identity.map(|(certificate, key, _)| (certificate.as_bytes(), key.as_bytes()));
    let mut config = (*outbound::tls::client_config(Some(authority.pem().as_bytes()), identity).unwrap()).clone();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

async fn secured(running: &Running, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("gw.example").unwrap();
    TlsConnector::from(config).connect(name, connect(running).await).await
}

async fn secure(
    running: &Running,
    authority: &Authority,
    identity: Identity<'_>,
    alpn: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    secured(running, client_config(authority, identity, alpn)).await
}

async fn said_over_http1(stream: TlsStream<TcpStream>) -> Option<String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "gw").body(Empty::<Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.ok()?;
    Some(String::from_utf8(answer.into_body().collect().await.ok()?.to_bytes().to_vec()).unwrap())
}

async fn said_over_http2(stream: TlsStream<TcpStream>) -> Option<String> {
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::get("https://gw.example/").body(Empty::<Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.ok()?;
    Some(String::from_utf8(answer.into_body().collect().await.ok()?.to_bytes().to_vec()).unwrap())
}

fn over_tls(authority: &Authority, clients: Option<(&Authority, bool)>) -> Settings {
    let (certificate, key, _) = authority.issue("gw.example", ExtendedKeyUsagePurpose::ServerAuth);
    let pem = clients.map(|(authority, _)| authority.pem());
    let required = clients.is_some_and(|(_, required)| required);
    let config =
        tls::server_config(certificate.as_bytes(), key.as_bytes(), pem.as_ref().map(String::as_bytes), required);
    Settings { tls: Some(tls::Live::new(config.unwrap())), ..settings(1) }
}

#[tokio::test]
async fn alpn_chooses_the_protocol() {
    let authority = Authority::new();
    let (running, _) = start(over_tls(&authority, None));
    let http1 = secure(&running, &authority, None, &["http/1.1"]).await.unwrap();
    assert_eq!(said_over_http1(http1).await.unwrap(), "0 HTTP/1.1 true 0");
    let silent = secure(&running, &authority, None, &[]).await.unwrap();
    assert_eq!(said_over_http1(silent).await.unwrap(), "0 HTTP/1.1 true 0");
    let http2 = secure(&running, &authority, None, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(http2.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    assert_eq!(said_over_http2(http2).await.unwrap(), "0 HTTP/2.0 true 0");
    assert!(secure(&running, &authority, None, &["spdy/3"]).await.is_err());
    let mut plain = connect(&running).await;
    ask(&mut plain, "/").await;
    assert!(!answer(&mut plain).await.contains("200 OK"));
}

#[tokio::test]
async fn client_certificates_are_verified_and_seen() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let client = clients.issue("payer.example", ExtendedKeyUsagePurpose::ClientAuth);
    let stranger = strangers.issue("payer.example", ExtendedKeyUsagePurpose::ClientAuth);
    let misused = clients.issue("payer.example", ExtendedKeyUsagePurpose::ServerAuth);
    for required in [false, true] {
        let (running, shared) = start(over_tls(&authority, Some((&clients, required))));
        for _ in 0..2 {
            // Twice with one configuration: nothing is resumed, the certificate is seen each time.
            let stream = secure(&running, &authority, Some(&client), &["http/1.1"]).await.unwrap();
            assert_eq!(said_over_http1(stream).await.unwrap(), format!("0 HTTP/1.1 true {}", client.2));
        }
        let stream = secure(&running, &authority, Some(&client), &["h2"]).await.unwrap();
        assert_eq!(said_over_http2(stream).await.unwrap(), format!("0 HTTP/2.0 true {}", client.2));
        for identity in [&stranger, &misused] {
            // In TLS 1.3 the client learns of it with the first answer.
            let said = match secure(&running, &authority, Some(identity), &["http/1.1"]).await {
                Ok(stream) => said_over_http1(stream).await,
                Err(_) => None,
            };
            assert_eq!(said, None);
        }
        let said = match secure(&running, &authority, None, &["http/1.1"]).await {
            Ok(stream) => said_over_http1(stream).await,
            Err(_) => None,
        };
        assert_eq!(said, (!required).then(|| "0 HTTP/1.1 true 0".to_owned()));
        assert_eq!(shared.arrived.load(Ordering::SeqCst), if required { 3 } else { 4 });
    }
}

#[tokio::test]
async fn sessions_are_resumed_only_where_nobody_is_identified() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let client = clients.issue("payer.example", ExtendedKeyUsagePurpose::ClientAuth);
    for (accepts, expected) in [(None, HandshakeKind::Resumed), (Some((&clients, false)), HandshakeKind::Full)] {
        let (running, _) = start(over_tls(&authority, accepts));
        let config = client_config(&authority, accepts.map(|_| &client), &["http/1.1"]);
        let first = secured(&running, Arc::clone(&config)).await.unwrap();
        // With the answer come the tickets, if there are any.
        assert!(said_over_http1(first).await.is_some());
        let second = secured(&running, config).await.unwrap();
        assert_eq!(second.get_ref().1.handshake_kind(), Some(expected));
    }
}

#[tokio::test]
async fn a_certificate_can_be_replaced() {
    let (old, new) = (Authority::new(), Authority::new());
    let settings = over_tls(&old, None);
    let live = settings.tls.clone().unwrap();
    let (running, _) = start(settings);
    assert!(secure(&running, &old, None, &["http/1.1"]).await.is_ok());
    live.replace(over_tls(&new, None).tls.unwrap().current());
    assert!(secure(&running, &old, None, &["http/1.1"]).await.is_err());
    let stream = secure(&running, &new, None, &["http/1.1"]).await.unwrap();
    assert!(said_over_http1(stream).await.is_some());
}

#[test]
fn tls_material_that_does_not_fit_is_named() {
    let authority = Authority::new();
    let (certificate, key, _) = authority.issue("gw.example", ExtendedKeyUsagePurpose::ServerAuth);
    let (_, other, _) = authority.issue("gw.example", ExtendedKeyUsagePurpose::ServerAuth);
    let config = |certificate: &str, key: &str, clients: Option<&str>, required| {
        tls::server_config(certificate.as_bytes(), key.as_bytes(), clients.map(str::as_bytes), required).map(drop)
    };
    assert_eq!(config(&certificate, &key, None, false), Ok(()));
    assert_eq!(config("", &key, None, false), Err(tls::TlsError::Chain));
    assert_eq!(config(&certificate, "", None, false), Err(tls::TlsError::Key));
    assert_eq!(config(&certificate, &other, None, false), Err(tls::TlsError::Mismatch));
    assert_eq!(config(&certificate, &key, Some(""), false), Err(tls::TlsError::ClientAuthorities));
    assert_eq!(config(&certificate, &key, None, true), Err(tls::TlsError::ClientAuthorities));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_a_deadline() {
    let authority = Authority::new();
    let config = over_tls(&authority, None).tls.unwrap().current();
    let (mut client, server) = tokio::io::duplex(1024);
    client.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    let start = Instant::now();
    assert!(tls::handshake(server, config).await.is_none());
    assert_eq!(start.elapsed().as_secs(), limits::TLS_HANDSHAKE.as_secs());
}
