//! Authority, path and query.

use http::header::HOST;
use http::request::Parts;
use http::{Uri, Version};

use super::AcceptError;
use crate::limits;

/// A path below the base and its query. Without percent signs in the path, both are slices of what arrived.
pub(super) struct Target {
    uri: Uri,
    decoded: Option<String>,
    base: usize,
}

impl Target {
    pub(super) fn read(uri: &Uri, base: &str) -> Result<Self, AcceptError> {
        let whole = uri.path_and_query().ok_or(AcceptError::Target("no path"))?;
        if whole.as_str().len() > limits::REQUEST_TARGET_BYTES {
            return Err(AcceptError::TargetTooLong);
        }
        if !whole.query().unwrap_or_default().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AcceptError::Target("query outside visible ascii"));
        }
        let decoded = check_path(whole.path())?;
        let path = decoded.as_deref().unwrap_or(whole.path());
        match path.strip_prefix(base) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {}
            _ => return Err(AcceptError::OutsideBase),
        }
        Ok(Self { uri: uri.clone(), decoded, base: base.len() })
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        let path = self.decoded.as_deref().unwrap_or(self.uri.path());
        path.get(self.base..).unwrap_or_default().split('/').filter(|segment| !segment.is_empty())
    }

    pub(super) fn query(&self) -> Option<&str> {
        self.uri.query()
    }
}

/// Refuses a path that two readers could take for two things, and gives its decoded form where that differs.
///
/// A percent-encoded octet is accepted only where it stands for an unreserved character (RFC 3986 section
/// 2.3), which is the one case in which encoded and plain form are equivalent.
pub(super) fn check_path(path: &str) -> Result<Option<String>, AcceptError> {
    let inner = path.strip_prefix('/').ok_or(AcceptError::Target("not an absolute path"))?;
    let decoded = if inner.contains('%') { Some(decode(path)?) } else { None };
    let plain = decoded.as_deref().unwrap_or(path);
    if let Some(byte) = plain.bytes().find(|byte| !is_path_byte(*byte)) {
        return Err(AcceptError::Target(match byte {
            b'\\' => "backslash",
            b';' => "path parameter",
            128.. => "path outside ascii",
            _ => "path character",
        }));
    }
    for segment in plain.split('/').skip(1) {
        match segment {
            "." | ".." => return Err(AcceptError::Target("dot segment")),
            "" if !inner.is_empty() => return Err(AcceptError::Target("empty segment")),
            _ => {}
        }
    }
    Ok(decoded)
}

fn decode(path: &str) -> Result<String, AcceptError> {
    let refusal = AcceptError::Target("percent-encoded path");
    let mut pieces = path.split('%');
    let mut plain = String::with_capacity(path.len());
    plain.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or(refusal)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let byte = u8::from_str_radix(digits, 16).ok().filter(|byte| is_hex && is_unreserved(*byte)).ok_or(refusal)?;
        plain.push(char::from(byte));
        plain.push_str(rest);
    }
    Ok(plain)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `pchar` of RFC 3986 and the slash, without `;` and what is still encoded.
fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte) || b"/!$&'()*+,=:@".contains(&byte)
}

/// The request names exactly one authority, and it is one of `hosts`.
pub(super) fn check_addressed(parts: &Parts, hosts: &[String], tls: bool) -> Result<(), AcceptError> {
    let field = match parts.headers.get(HOST) {
        Some(value) => Some(value.to_str().map_err(|_| AcceptError::Authority("host characters"))?),
        None if parts.version == Version::HTTP_2 => None,
        None => return Err(AcceptError::Authority("no host")),
    };
    let absolute = parts.uri.authority().map(http::uri::Authority::as_str);
    let default_port = if tls { ":443" } else { ":80" };
    let authority = match (field, absolute) {
        (Some(field), Some(absolute)) if !same(field, absolute, default_port) => {
            return Err(AcceptError::Authority("host and target differ"));
        }
        (_, Some(authority)) | (Some(authority), None) => authority,
        (None, None) => return Err(AcceptError::Authority("no host")),
    };
    if let Some(scheme) = parts.uri.scheme_str()
        && scheme != if tls { "https" } else { "http" }
    {
        return Err(AcceptError::Target("scheme"));
    }
    check_authority(authority)?;
    if hosts.iter().any(|host| same(host, authority, default_port)) {
        Ok(())
    } else {
        Err(AcceptError::Authority("not allowed"))
    }
}

fn same(one: &str, other: &str, default_port: &str) -> bool {
    let one = one.strip_suffix(default_port).unwrap_or(one);
    let other = other.strip_suffix(default_port).unwrap_or(other);
    one.eq_ignore_ascii_case(other)
}

/// `host` or `host:port`; a name, an IPv4 address or an IPv6 address in brackets; no user, no escapes.
pub(super) fn check_authority(authority: &str) -> Result<(), AcceptError> {
    let refusal = AcceptError::Authority("host characters");
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or(refusal)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| refusal)?;
            ("ipv6", rest)
        }
        None => authority.find(':').and_then(|colon| authority.split_at_checked(colon)).unwrap_or((authority, "")),
    };
    let is_name = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|port| port != 0)
        });
    if is_name && is_port { Ok(()) } else { Err(refusal) }
}
