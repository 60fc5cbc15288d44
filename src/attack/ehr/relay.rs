//! A FHIR server of one's own behind the recording one: what was asked is asked there.
//!
//! Takes: a request as it was received. Gives: the answer, with the server's base written as this one's. Refuses: bases
//! that are not `http://host[:port]/path`.

use std::io::{self, ErrorKind, Write};
use std::net::{TcpStream, ToSocketAddrs as _};

use super::Received;
use crate::attack::wire::{self, Manner, Stream};

/// Where the server is.
#[derive(Clone, Debug)]
pub(crate) struct Behind {
    authority: String,
    path: String,
}

impl Behind {
    /// Reads a FHIR base.
    pub(crate) fn at(base: &str) -> Result<Self, String> {
        let wrong = || format!("{base}: not an http:// base URL");
        let rest = base.trim_end_matches('/').strip_prefix("http://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let port = if authority.contains(':') { "" } else { ":80" };
        Ok(Self { authority: format!("{authority}{port}"), path: path.to_owned() })
    }

    /// Status, media type and body of its answer.
    pub(super) fn ask(&self, request: &Received, own_base: &str) -> io::Result<(u16, &'static str, Vec<u8>)> {
        let below = request.target.strip_prefix("/fhir").unwrap_or(&request.target);
        let mut head = format!(
            "{} /{}{below} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            request.method, self.path, self.authority
        );
        // A server may answer searches out of its own cache, which would blur one case with another.
        head.push_str("Cache-Control: no-cache\r\n");
        for name in ["accept", "content-type", "prefer"] {
            if let Some(value) = request.header(name) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        if !request.body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", request.body.len()));
        }
        head.push_str("\r\n");
        let address = self.authority.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
        let mut stream = Stream::Plain(TcpStream::connect(address)?);
        stream.flush()?;
        let pieces = [(std::time::Duration::ZERO, [head.into_bytes(), request.body.clone()].concat())];
        let manner = Manner { head: request.method == "HEAD", ..Manner::default() };
        let exchange = wire::exchange(&mut stream, &pieces, &manner);
        let reply = exchange.replies.into_iter().next().ok_or(ErrorKind::UnexpectedEof)?;
        let media = reply.header("content-type").unwrap_or_default();
        let media = match (media.contains("json"), media.contains("xml")) {
            (true, _) => "application/fhir+json",
            (_, true) => "application/fhir+xml",
            _ => "text/plain",
        };
        let base = format!("http://{}/{}", self.authority, self.path);
        let body = match String::from_utf8(reply.body) {
            Ok(text) => text.replace(&base, own_base).into_bytes(),
            Err(error) => error.into_bytes(),
        };
        Ok((reply.status, media, body))
    }
}
