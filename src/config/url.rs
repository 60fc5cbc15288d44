//! Absolute `http` and `https` URLs in the only form that needs no interpretation.
//!
//! Takes: text. Gives: [`HttpUrl`] with its parts. Guarantees: the text it shows is the text it was made from.
//! Refuses: user information, queries, fragments, upper case in scheme or host, paths that would have to be
//! normalised or encoded, a default port spelled out.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;

use rustls::pki_types::ServerName;

/// An absolute URL of scheme `http` or `https`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    text: String,
    https: bool,
    authority: Range<usize>,
    host: Range<usize>,
    port: u16,
}

impl HttpUrl {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (https, start) = if text.starts_with("https://") {
            (true, 8)
        } else if text.starts_with("http://") {
            (false, 7)
        } else {
            return Err("not an absolute http or https url");
        };
        let rest = text.get(start..).unwrap_or_default();
        let authority_length = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(authority_length).unwrap_or_default();
        if authority.contains('@') {
            return Err("holds user information");
        }
        if path.contains(['?', '#']) {
            return Err("holds a query or a fragment");
        }
        if !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@".contains(&byte)) {
            return Err("path holds a character that needs encoding");
        }
        let directories = path.strip_suffix('/').unwrap_or(path);
        if directories.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
            return Err("path holds an empty or a dot segment");
        }
        let (host_length, port) = split_port(authority, https)?;
        let (host, _) = authority.split_at_checked(host_length).unwrap_or_default();
        check_host(host)?;
        Ok(Self {
            text: text.to_owned(),
            https,
            authority: start..start + authority_length,
            host: start..start + host_length,
            port,
        })
    }

    /// Reads a FHIR base: a URL without a slash at its end.
    pub fn parse_base(text: &str) -> Result<Self, &'static str> {
        let url = Self::parse(text)?;
        if text.ends_with('/') { Err("ends with a slash; leave it out") } else { Ok(url) }
    }

    /// The whole URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the scheme is `https`.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Host and, unless it is the scheme's own, port: the value of `Host`.
    pub fn authority(&self) -> &str {
        self.text.get(self.authority.clone()).unwrap_or_default()
    }

    /// The host without port, and without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        let host = self.text.get(self.host.clone()).unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, that of the scheme where none is written.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path as it is written: empty, or beginning with a slash.
    pub fn path(&self) -> &str {
        self.text.get(self.authority.end..).unwrap_or_default()
    }

    /// Scheme and authority, without a slash at the end.
    pub fn origin(&self) -> &str {
        self.text.get(..self.authority.end).unwrap_or_default()
    }

    /// Whether the host is this machine: `localhost` or a loopback address.
    pub fn is_loopback(&self) -> bool {
        self.host() == "localhost" || self.host().parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({})", self.text)
    }
}

/// Length of the host within the authority, and the port.
fn split_port(authority: &str, https: bool) -> Result<(usize, u16), &'static str> {
    let standard = if https { 443 } else { 80 };
    let after_bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority.get(after_bracket..).unwrap_or_default().find(':').map(|at| at + after_bracket) else {
        return Ok((authority.len(), standard));
    };
    let digits = authority.get(colon + 1..).unwrap_or_default();
    let port: u16 = digits.parse().ok().filter(|port| *port != 0).ok_or("port is not a number from 1 to 65535")?;
    if digits.starts_with(['0', '+']) {
        return Err("port is not a number from 1 to 65535");
    }
    if port == standard {
        return Err("spells out the port of its scheme; leave it out");
    }
    Ok((colon, port))
}

fn check_host(host: &str) -> Result<(), &'static str> {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address.map(drop).ok_or("host is not an ipv6 address");
    }
    if host.is_empty() || host.bytes().any(|byte| byte.is_ascii_uppercase()) || ServerName::try_from(host).is_err() {
        return Err("host is not a name in lower case or an address");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_parts_of_a_url() {
        for (text, authority, host, port, path, loopback) in [
            ("https://gateway.example.org/fhir", "gateway.example.org", "gateway.example.org", 443, "/fhir", false),
            ("http://127.0.0.1:8080/fhir", "127.0.0.1:8080", "127.0.0.1", 8080, "/fhir", true),
            ("http://[::1]:8080", "[::1]:8080", "::1", 8080, "", true),
            ("https://localhost/a/b.c/", "localhost", "localhost", 443, "/a/b.c/", true),
            ("http://localhost.example.org", "localhost.example.org", "localhost.example.org", 80, "", false),
        ] {
            let url = HttpUrl::parse(text).unwrap();
            assert_eq!((url.as_str(), url.authority(), url.host()), (text, authority, host));
            assert_eq!((url.port(), url.path(), url.is_loopback()), (port, path, loopback), "{text}");
            assert_eq!(format!("{}{}", url.origin(), url.path()), text);
        }
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        for text in [
            "",
            "gateway.example.org",
            "ftp://example.org",
            "HTTPS://example.org",
            "https://Example.org",
            "https://",
            "https:///fhir",
            "https://user@example.org",
            "https://example.org:",
            "https://example.org:0",
            "https://example.org:+8",
            "https://example.org:443",
            "https://example.org:65536",
            "https://example..org",
            "https://[::1",
            "https://[::g]",
            "https://example.org/a/../b",
            "https://example.org/#x",
            "https://example.org/a b",
            "https://example.org/a%20b",
            "https://example.org?x",
            "https://example.org/fhir?x",
            "https://example.org//",
            "https://example.org//f",
            "https://example.org/fhir//",
        ] {
            assert!(HttpUrl::parse(text).is_err(), "{text}");
        }
        for text in ["https://example.org/", "https://example.org/fhir/"] {
            assert!(HttpUrl::parse(text).is_ok() && HttpUrl::parse_base(text).is_err(), "{text}");
        }
    }
}
