//! Files that the configuration names, read once and parsed at load.
//!
//! Takes: a path. Gives: certificates, a private key, a secret, or plain bytes, with the path they came from.
//! Guarantees: what `Debug` shows is the path, never the content. Refuses: files that cannot be read, are too
//! large, or hold no PEM of the kind asked for.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::limits;

/// A file's content.
#[derive(Clone)]
pub struct File {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl File {
    /// Reads at most `limit` bytes of the file at `path`.
    pub(super) fn read(path: &Path, limit: u64) -> Result<Self, String> {
        let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
        let file = fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > limit {
            return Err(format!("{} is larger than {limit} bytes", path.display()));
        }
        Ok(Self { path: path.to_owned(), bytes })
    }

    /// Where it was.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it held when the configuration was loaded.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({})", self.path.display())
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A secret and the file it came from.
#[derive(Clone, Debug)]
pub struct SecretFile {
    /// Where it was.
    pub path: PathBuf,
    /// Its one line, white space at the ends removed.
    pub secret: Secret,
}

impl SecretFile {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let file = File::read(path, limits::CONFIG_FILE_BYTES)?;
        let text = std::str::from_utf8(&file.bytes).map_err(|_| format!("{} is not text", path.display()))?.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("{} does not hold one word of printable ascii", path.display()));
        }
        Ok(Self { path: file.path, secret: Secret(text.to_owned()) })
    }
}

/// One or more certificates from a PEM file, in its order.
#[derive(Clone)]
pub struct Certificates {
    path: PathBuf,
    pem: Vec<u8>,
    chain: Vec<CertificateDer<'static>>,
}

impl Certificates {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let file = File::read(path, limits::CONFIG_FILE_BYTES)?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&file.bytes)
            .collect::<Result<_, _>>()
            .map_err(|_| format!("{} is not pem", path.display()))?;
        for certificate in &chain {
            webpki::EndEntityCert::try_from(certificate)
                .map_err(|_| format!("{} holds a certificate that cannot be read", path.display()))?;
        }
        if chain.is_empty() {
            return Err(format!("{} holds no certificate", path.display()));
        }
        Ok(Self { path: file.path, pem: file.bytes, chain })
    }

    /// Where they were.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's content.
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// The certificates, at least one.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificates({}, {})", self.path.display(), self.chain.len())
    }
}

/// A private key from a PEM file.
pub struct PrivateKey {
    path: PathBuf,
    pem: Vec<u8>,
    key: PrivateKeyDer<'static>,
}

impl PrivateKey {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let file = File::read(path, limits::CONFIG_FILE_BYTES)?;
        let key = PrivateKeyDer::from_pem_slice(&file.bytes)
            .map_err(|_| format!("{} holds no private key in pem", path.display()))?;
        Ok(Self { path: file.path, pem: file.bytes, key })
    }

    /// Whether it is the key of the first of `certificates`.
    pub(super) fn is_of(&self, certificates: &Certificates) -> bool {
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&self.key)
            .is_ok_and(|key| rustls::sign::CertifiedKey::new(certificates.chain.clone(), key).keys_match().is_ok())
    }

    /// Where it was.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's content, for the one place that uses it.
    pub fn expose_pem(&self) -> &[u8] {
        &self.pem
    }

    /// The key itself, for the one place that uses it.
    pub fn expose(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.path.display())
    }
}
