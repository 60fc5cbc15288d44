use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

#[test]
fn origins_are_split_and_written_back() {
    let cases = [
        ("http://ehr", "ehr", 80, "", "/", "ehr"),
        ("http://ehr:8080/fhir", "ehr", 8080, "/fhir", "/fhir", "ehr:8080"),
        ("https://EHR.example/fhir/r4/", "ehr.example", 443, "/fhir/r4", "/fhir/r4/", "ehr.example"),
        ("https://ehr.example:443", "ehr.example", 443, "", "/", "ehr.example"),
        ("http://ehr:443/x", "ehr", 443, "/x", "/x", "ehr:443"),
        ("http://[::1]:8080/fhir", "::1", 8080, "/fhir", "/fhir", "[::1]:8080"),
        ("https://127.0.0.1/", "127.0.0.1", 443, "", "/", "127.0.0.1"),
    ];
    for (url, host, port, base, target, field) in cases {
        let origin = Origin::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!((origin.host(), origin.port(), origin.base_path()), (host, port, base), "{url}");
        assert_eq!((origin.target().as_str(), origin.authority().to_str().unwrap()), (target, field), "{url}");
        assert_eq!(origin.is_https(), url.starts_with("https"), "{url}");
        assert_eq!(Origin::parse(&origin.to_string()).unwrap().to_string(), origin.to_string(), "{url}");
    }
}

#[test]
fn other_urls_are_refused() {
    let cases = [
        "",
        "ehr",
        "/fhir",
        "ftp://ehr/",
        "//ehr/fhir",
        "http://",
        "http:///fhir",
        "http://user@ehr/",
        "http://u:p@ehr/",
        "http://ehr/fhir?x=1",
        "http://ehr/fhir?",
        "http://ehr/fhir#x",
        "http://ehr/a/../b",
        "http://ehr/./a",
        "http://ehr//fhir",
        "http://ehr:0/",
        "http://ehr:/",
        "http://ehr:70000/",
        "http://ehr/%41",
        "http://ehr/a;b",
        "http://eh r/",
        "http://[::1/",
        "http://[nonsense]/",
        "http://-/",
    ];
    for url in cases {
        assert!(matches!(Origin::parse(url), Err(OutboundError::Url(_))), "{url}: {:?}", Origin::parse(url));
    }
}

#[test]
fn https_needs_a_configuration() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let origin = Origin::parse("https://127.0.0.1:1").unwrap();
    assert_eq!(runtime.block_on(connect(&origin, None)).unwrap_err(), OutboundError::TlsMissing);
}

async fn answering(bytes: &'static [u8]) -> (Origin, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = Origin::parse(&format!("http://{}/keys", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut piece = [0; 1024];
            let count = stream.read(&mut piece).await.unwrap();
            seen.extend_from_slice(&piece[..count]);
        }
        stream.write_all(bytes).await.unwrap();
        seen
    });
    (origin, server)
}

async fn ask(answer: &'static [u8], limit: usize) -> (Result<Response<Bytes>, OutboundError>, String) {
    let (origin, server) = answering(answer).await;
    let request = Request::get(origin.target().as_str()).body(Full::default()).unwrap();
    let result = once(&origin, None, request, limit, Duration::from_secs(5)).await;
    (result, String::from_utf8(server.await.unwrap()).unwrap())
}

#[tokio::test]
async fn one_answer_is_read_whole() {
    let (answer, seen) = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nkeys", 4).await;
    assert_eq!(answer.unwrap().body(), "keys");
    assert!(seen.starts_with("GET /keys HTTP/1.1\r\n"), "{seen}");
    assert_eq!(seen.to_lowercase().matches("\r\nhost: 127.0.0.1:").count(), 1, "{seen}");
}

#[tokio::test]
async fn redirects_are_answers() {
    let answer = b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(ask(answer, 4).await.0.unwrap().status(), 302);
}

#[tokio::test]
async fn size_and_framing_are_held() {
    let larger = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nkeys!";
    assert_eq!(ask(larger, 4).await.0.unwrap_err(), OutboundError::TooLarge);
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nkeys";
    assert_eq!(ask(cut, 9).await.0.unwrap_err(), OutboundError::Protocol);
    let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nkeys\r\n";
    assert_eq!(ask(chunks, 9).await.0.unwrap_err(), OutboundError::Protocol);
    assert_eq!(ask(b"SSH-2.0-OpenSSH\r\n\r\n", 9).await.0.unwrap_err(), OutboundError::Protocol);
}

#[tokio::test]
async fn nobody_there_is_an_error_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    assert_eq!(connect(&origin, None).await.unwrap_err(), OutboundError::Connect(io::ErrorKind::ConnectionRefused));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let request = Request::get("/").body(Full::default()).unwrap();
    let start = tokio::time::Instant::now();
    let result = once(&origin, None, request, 10, Duration::from_secs(1)).await;
    assert_eq!(result.unwrap_err(), OutboundError::Timeout);
    assert!(start.elapsed() >= Duration::from_secs(1));
}

mod over_tls {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::server::WebPkiClientVerifier;
    use rustls::{RootCertStore, ServerConfig};
    use tokio_rustls::TlsAcceptor;

    use super::*;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn issue(authority: &Authority, name: &str, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
    }

    /// Asks a server with a certificate for `name`, and gives its answer: the length of the certificate it saw.
    async fn ask(name: &str, trusted: bool, shows: bool) -> Result<String, OutboundError> {
        let (servers, clients, others) = (authority(), authority(), authority());
        let (chain, key) = issue(&servers, name, ExtendedKeyUsagePurpose::ServerAuth);
        let mut roots = RootCertStore::empty();
        roots.add(clients.der().clone()).unwrap();
        let mut config = ServerConfig::builder()
            .with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Origin::parse(&format!("https://{}/token", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else { return };
            let seen = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
            stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{seen}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let (chain, key) = issue(&clients, "gateway", ExtendedKeyUsagePurpose::ClientAuth);
        let trust = if trusted { servers.pem() } else { others.pem() };
        let identity = shows.then_some((chain.as_bytes(), key.as_bytes()));
        let tls = tls::client_config(Some(trust.as_bytes()), identity).unwrap();
        let request = Request::get("/token").body(Full::default()).unwrap();
        let answer = once(&origin, Some(&tls), request, 9, Duration::from_secs(9)).await?;
        Ok(String::from_utf8(answer.into_body().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn servers_are_verified_and_shown_our_certificate() {
        assert_eq!(ask("127.0.0.1", true, true).await.unwrap(), "1");
        assert!(matches!(ask("127.0.0.1", false, true).await, Err(OutboundError::Handshake(_))), "another authority");
        assert!(matches!(ask("127.0.0.2", true, true).await, Err(OutboundError::Handshake(_))), "another name");
        assert!(ask("127.0.0.1", true, false).await.is_err(), "no certificate of ours");
    }

    #[test]
    fn material_that_does_not_fit_is_named() {
        let (one, other) = (authority(), authority());
        let (chain, key) = issue(&one, "gateway", ExtendedKeyUsagePurpose::ClientAuth);
        let (_, other_key) = issue(&other, "gateway", ExtendedKeyUsagePurpose::ClientAuth);
        let pem = one.pem();
        let config = |ca: &str, chain: &str, key: &str| {
            tls::client_config(Some(ca.as_bytes()), Some((chain.as_bytes(), key.as_bytes()))).map(drop)
        };
        assert_eq!(config(&pem, &chain, &key), Ok(()));
        assert_eq!(config("", &chain, &key), Err(OutboundError::Material("no trust anchor")));
        assert_eq!(config(&pem, &chain, ""), Err(OutboundError::Material("private key")));
        assert_eq!(config(&pem, &chain, &other_key), Err(OutboundError::Material("certificate and key do not fit")));
    }
}
