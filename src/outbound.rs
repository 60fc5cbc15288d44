//! Connections that the gateway itself opens: to the EHR, to key sets, to token endpoints.
//!
//! Takes: a checked [`Origin`] and, for https, a TLS configuration of [`tls`]. Gives: a connected [`Io`], or
//! with [`once`] one complete answer on a connection of its own.
//! Guarantees: every wait has a deadline and every answer a size; no redirect is followed, no proxy setting
//! of the environment is read. Refuses: URLs that carry more than scheme, host, port and path.

pub mod tls;

use std::fmt;
use std::io;
use std::net::Ipv6Addr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::limits;

/// Why the gateway got no answer from a server it asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The text is not a URL that an origin may have.
    #[error("not a usable url: {0}")]
    Url(&'static str),
    /// Certificates or keys could not be read or do not fit together.
    #[error("tls material: {0}")]
    Material(&'static str),
    /// The origin says https and no TLS configuration was given.
    #[error("https without a tls configuration")]
    TlsMissing,
    /// The name did not resolve, or nobody answered at the address.
    #[error("connect: {0}")]
    Connect(io::ErrorKind),
    /// The TLS handshake failed, most often on the server's certificate.
    #[error("tls handshake: {0}")]
    Handshake(io::ErrorKind),
    /// A deadline passed.
    #[error("timed out")]
    Timeout,
    /// What came back was not HTTP/1.1, or ended early.
    #[error("protocol error")]
    Protocol,
    /// The answer was larger than allowed.
    #[error("answer too large")]
    TooLarge,
}

/// Where requests go: scheme, host, port and a base path, checked once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    server: Option<ServerName<'static>>,
    host: String,
    port: u16,
    authority: HeaderValue,
    target: PathAndQuery,
}

impl Origin {
    /// Reads `http://host[:port][/path]` or the same with https.
    ///
    /// # Errors
    /// [`OutboundError::Url`] for other schemes, credentials, query, fragment, paths that would have to be
    /// normalised, and hosts that are neither a name nor an address.
    pub fn parse(url: &str) -> Result<Self, OutboundError> {
        if url.contains('#') {
            return Err(OutboundError::Url("fragment"));
        }
        let uri: Uri = url.parse().map_err(|_| OutboundError::Url("syntax"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(OutboundError::Url("scheme is neither http nor https")),
        };
        let authority = uri.authority().ok_or(OutboundError::Url("no host"))?;
        if authority.as_str().contains('@') {
            return Err(OutboundError::Url("credentials"));
        }
        if uri.query().is_some() {
            return Err(OutboundError::Url("query"));
        }
        let path = uri.path();
        if !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@".contains(&byte)) {
            return Err(OutboundError::Url("path has characters that need encoding"));
        }
        if path.trim_end_matches('/').split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(OutboundError::Url("path is not normalised"));
        }
        let host = checked_host(authority)?;
        let port = checked_port(authority)?.unwrap_or(if secure { 443 } else { 80 });
        let server =
            ServerName::try_from(host.clone()).map_err(|_| OutboundError::Url("host is neither name nor address"))?;
        Ok(Self {
            server: secure.then_some(server),
            authority: HeaderValue::from_str(&host_field(&host, port, secure))
                .map_err(|_| OutboundError::Url("host"))?,
            host,
            port,
            target: PathAndQuery::try_from(path).map_err(|_| OutboundError::Url("path"))?,
        })
    }

    /// True for https.
    pub fn is_https(&self) -> bool {
        self.server.is_some()
    }

    /// Host name or address, lower-case, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port, the scheme's default if the URL had none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The `Host` field (RFC 9110 section 7.2): without the scheme's default port.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// Path without trailing slashes: empty, or `/` and at least one segment. To append to.
    pub fn base_path(&self) -> &str {
        self.target.path().trim_end_matches('/')
    }

    /// The path exactly as it was written, `/` if there was none: the target of a request to the URL itself.
    pub fn target(&self) -> &PathAndQuery {
        &self.target
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https() { "https" } else { "http" };
        let authority = self.authority.to_str().unwrap_or(&self.host);
        write!(f, "{scheme}://{authority}{}", self.base_path())
    }
}

fn checked_host(authority: &Authority) -> Result<String, OutboundError> {
    let host = authority.host();
    match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => {
            let address: Ipv6Addr = inner.parse().map_err(|_| OutboundError::Url("ipv6 address"))?;
            Ok(address.to_string())
        }
        None if host.is_empty() => Err(OutboundError::Url("no host")),
        None => Ok(host.to_ascii_lowercase()),
    }
}

// `Authority::port` is none for a port out of range, and the default would be taken in its place.
fn checked_port(authority: &Authority) -> Result<Option<u16>, OutboundError> {
    let Some(rest) = authority.as_str().strip_prefix(authority.host()).filter(|rest| !rest.is_empty()) else {
        return Ok(None);
    };
    let port = rest.strip_prefix(':').and_then(|digits| digits.parse().ok()).filter(|port| *port != 0);
    port.map(Some).ok_or(OutboundError::Url("port"))
}

fn host_field(host: &str, port: u16, secure: bool) -> String {
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match (port, secure) {
        (443, true) | (80, false) => bracketed,
        _ => format!("{bracketed}:{port}"),
    }
}

/// A connection to an origin.
#[derive(Debug)]
pub enum Io {
    /// http.
    Plain(TcpStream),
    /// https, handshake done.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Opens a connection within [`limits::UPSTREAM_CONNECT`], which covers name, TCP and TLS together.
///
/// # Errors
/// [`OutboundError::Connect`], [`OutboundError::Handshake`], [`OutboundError::Timeout`], and
/// [`OutboundError::TlsMissing`] for https without `tls`.
pub async fn connect(origin: &Origin, tls: Option<&Arc<ClientConfig>>) -> Result<Io, OutboundError> {
    timeout(limits::UPSTREAM_CONNECT, dial(origin, tls)).await.unwrap_or(Err(OutboundError::Timeout))
}

async fn dial(origin: &Origin, tls: Option<&Arc<ClientConfig>>) -> Result<Io, OutboundError> {
    let secure = match (&origin.server, tls) {
        (None, _) => None,
        (Some(server), Some(config)) => Some((server.clone(), TlsConnector::from(Arc::clone(config)))),
        (Some(_), None) => return Err(OutboundError::TlsMissing),
    };
    let failed = |error: io::Error| OutboundError::Connect(error.kind());
    let stream = TcpStream::connect((origin.host(), origin.port())).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let Some((server, connector)) = secure else {
        return Ok(Io::Plain(stream));
    };
    let stream = connector.connect(server, stream).await.map_err(|error| OutboundError::Handshake(error.kind()))?;
    Ok(Io::Tls(Box::new(stream)))
}

/// Sends one request on a fresh connection and reads the whole answer: for documents that are fetched now and
/// then, such as key sets and tokens.
///
/// `request` names its target in origin form ([`Origin::target`]); `Host` is set here. A redirect is an
/// answer like any other. `limit_bytes` bounds the body, `deadline` the whole exchange.
///
/// # Errors
/// Those of [`connect`], [`OutboundError::Protocol`] and [`OutboundError::TooLarge`].
pub async fn once(
    origin: &Origin,
    tls: Option<&Arc<ClientConfig>>,
    request: Request<Full<Bytes>>,
    limit_bytes: usize,
    deadline: Duration,
) -> Result<Response<Bytes>, OutboundError> {
    let exchange = async {
        let io = connect(origin, tls).await?;
        exchange(io, origin, request, limit_bytes).await
    };
    timeout(deadline, exchange).await.unwrap_or(Err(OutboundError::Timeout))
}

async fn exchange(
    io: Io,
    origin: &Origin,
    mut request: Request<Full<Bytes>>,
    limit_bytes: usize,
) -> Result<Response<Bytes>, OutboundError> {
    request.headers_mut().insert(HOST, origin.authority().clone());
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(limits::CONNECTION_BUFFER)
        .max_header_size(limits::UPSTREAM_HEAD_BYTES)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|_| OutboundError::Protocol)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|_| OutboundError::Protocol)?;
        let (parts, body) = response.into_parts();
        Ok(Response::from_parts(parts, bounded(body, limit_bytes).await?))
    };
    let mut answer = pin!(answer);
    // A connection that ends first has already handed its last piece to `answer`.
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}

async fn bounded(mut body: hyper::body::Incoming, limit: usize) -> Result<Bytes, OutboundError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| OutboundError::Protocol)?;
        let Ok(piece) = frame.into_data() else { continue };
        if piece.len() > limit.saturating_sub(whole.len()) {
            return Err(OutboundError::TooLarge);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }
}

#[cfg(test)]
mod tests;
