//! The signed statement of how far the log goes.
//!
//! Takes: the head of the chain. Gives: `checkpoint.json`, which anyone with the public key can check.
//! Guarantees: a checkpoint names only records that are on the device already. Refuses: a checkpoint that
//! is not spelt exactly as this module writes it, or that another key has signed.
//!
//! The signature is Ed25519 (RFC 8032) over these lines, each ended by a line feed: a fixed title, origin,
//! sequence number, hash and time. Files: `audit.key` is PKCS #8 in PEM, `audit.pub` SubjectPublicKeyInfo
//! in PEM (RFC 8410), so that other tools can read both. A copy of `audit.pub` and, now and then, of the
//! checkpoint belongs on another machine: who holds the key can write a whole new log.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::AuditError;
use super::chain::{Hash, Head};
use crate::clock::Now;
use crate::store::{self, SECTOR_BYTES, Sector};

/// The file of the last checkpoint.
pub(super) const CHECKPOINT: &str = "checkpoint.json";
/// The file of the private key.
pub(super) const PRIVATE_KEY: &str = "audit.key";
/// The file of the public key.
pub(super) const PUBLIC_KEY: &str = "audit.pub";

const TITLE: &str = "portcullis audit checkpoint v1";
/// DER of an Ed25519 SubjectPublicKeyInfo up to the key itself (RFC 8410 section 4).
const KEY_INFO: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// How far the log went at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checkpoint {
    /// Names the log: derived from its public key.
    pub(super) origin: String,
    /// Sequence number of the last record.
    pub(super) seq: u64,
    /// Hash of the last record.
    pub(super) hash: String,
    /// When it was signed.
    pub(super) time: String,
    /// Ed25519, in base64.
    signature: String,
}

impl Checkpoint {
    /// Reads a checkpoint that this key has signed.
    pub(super) fn read(bytes: &[u8], key: &PublicKey) -> Option<Self> {
        let checkpoint: Self = serde_json::from_slice(bytes).ok()?;
        let signature = BASE64.decode(&checkpoint.signature).ok()?;
        let signed = UnparsedPublicKey::new(&ED25519, &key.0).verify(&checkpoint.statement(), &signature);
        let spelt = checkpoint.sector().is_ok_and(|sector| sector == bytes);
        (signed.is_ok() && spelt && checkpoint.origin == key.origin()).then_some(checkpoint)
    }

    fn statement(&self) -> Vec<u8> {
        format!("{TITLE}\n{}\n{}\n{}\n{}\n", self.origin, self.seq, self.hash, self.time).into_bytes()
    }

    pub(super) fn sector(&self) -> io::Result<[u8; SECTOR_BYTES]> {
        let mut sector = [b' '; SECTOR_BYTES];
        let (end, body) = sector.split_last_mut().ok_or(ErrorKind::InvalidData)?;
        *end = b'\n';
        serde_json::to_writer(body, self)?;
        Ok(sector)
    }
}

/// The key that checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads what [`Self::to_pem`] writes, and nothing else.
    pub(super) fn from_pem(pem: &str) -> Option<Self> {
        let der = BASE64.decode(pem.strip_prefix("-----BEGIN PUBLIC KEY-----\n")?.lines().next()?).ok()?;
        let key = Self(der.strip_prefix(KEY_INFO)?.to_vec());
        (key.0.len() == 32 && key.to_pem() == pem).then_some(key)
    }

    pub(super) fn to_pem(&self) -> String {
        let der = BASE64.encode([KEY_INFO, &self.0].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
    }

    /// The name of the log.
    pub(super) fn origin(&self) -> String {
        let hash = self.genesis().hash.to_string();
        format!("portcullis-audit-{}", hash.get(..16).unwrap_or_default())
    }

    /// What the first record names as its predecessor: a log belongs to its key from the first byte.
    pub(super) fn genesis(&self) -> Head {
        Head { seq: 0, hash: Hash::of(&self.0) }
    }
}

/// The key that signs.
#[derive(Debug)]
pub(super) struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// Makes a key and writes both of its files, the public one last.
    pub(super) fn create(dir: &Path) -> Result<Self, AuditError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| AuditError::Key)?;
        let der = pair.to_pkcs8v1().map_err(|_| AuditError::Key)?;
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(der.as_ref()));
        store::create(&dir.join(PRIVATE_KEY), pem.as_bytes(), store::PRIVATE)
            .map_err(|error| AuditError::io("create the signing key", &error))?;
        Self::load(dir)
    }

    /// Loads the key. The public one is written where it is missing, and must belong to it where it is not.
    pub(super) fn load(dir: &Path) -> Result<Self, AuditError> {
        let pem = fs::read_to_string(dir.join(PRIVATE_KEY))
            .map_err(|error| AuditError::io("read the signing key", &error))?;
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = BASE64.decode(body).map_err(|_| AuditError::Key)?;
        let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(|_| AuditError::Key)?;
        let public = PublicKey(pair.public_key().as_ref().to_vec());
        let path = dir.join(PUBLIC_KEY);
        match fs::read_to_string(&path) {
            Ok(pem) if pem == public.to_pem() => {}
            Ok(_) => return Err(AuditError::Key),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                store::create(&path, public.to_pem().as_bytes(), store::PUBLIC)
                    .map_err(|error| AuditError::io("write the public key", &error))?;
            }
            Err(error) => return Err(AuditError::io("read the public key", &error)),
        }
        Ok(Self { pair, public })
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs the head of the chain.
    pub(super) fn sign(&self, head: Head, now: Now) -> Checkpoint {
        let mut checkpoint = Checkpoint {
            origin: self.public.origin(),
            seq: head.seq,
            hash: head.hash.to_string(),
            time: now.to_instant(),
            signature: String::new(),
        };
        checkpoint.signature = BASE64.encode(self.pair.sign(&checkpoint.statement()));
        checkpoint
    }
}

/// Keeps the checkpoint file up with the log.
#[derive(Debug)]
pub(super) struct Notary {
    key: SigningKey,
    sector: Sector,
}

impl Notary {
    /// Writes the first checkpoint of a log that has no records yet.
    pub(super) fn begin(dir: &Path, key: &SigningKey, now: Now) -> io::Result<()> {
        let sector = key.sign(key.public.genesis(), now).sector()?;
        store::create(&dir.join(CHECKPOINT), &sector, store::PUBLIC)
    }

    /// Takes over the checkpoint of a log.
    pub(super) fn new(dir: &Path, key: SigningKey) -> io::Result<Self> {
        Ok(Self { key, sector: Sector::open(&dir.join(CHECKPOINT))? })
    }

    /// States that the log reaches to here. The caller has made it so.
    pub(super) fn state(&self, head: Head, now: Now) -> io::Result<()> {
        self.sector.write(&self.key.sign(head, now).sector()?)
    }

    /// Forces the last statement to the device.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.sector.sync()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::clock::Clock;
    use crate::store::scratch::Scratch;

    fn now() -> Now {
        Clock::Fixed("2026-11-23T08:00:00Z".parse().unwrap()).now()
    }

    #[test]
    fn keys_are_made_once_and_read_back() {
        let dir = Scratch::new();
        let made = SigningKey::create(&dir).unwrap();
        let loaded = SigningKey::load(&dir).unwrap();
        assert_eq!(made.public, loaded.public);
        assert_eq!(fs::metadata(dir.join(PRIVATE_KEY)).unwrap().permissions().mode() & 0o777, 0o600);
        let pem = fs::read_to_string(dir.join(PUBLIC_KEY)).unwrap();
        assert_eq!(PublicKey::from_pem(&pem), Some(made.public));
        assert!(SigningKey::create(&dir).is_err());
    }

    #[test]
    fn a_missing_public_key_is_written_again_and_a_foreign_one_refused() {
        let dir = Scratch::new();
        let key = SigningKey::create(&dir).unwrap();
        fs::remove_file(dir.join(PUBLIC_KEY)).unwrap();
        SigningKey::load(&dir).unwrap();
        assert_eq!(fs::read_to_string(dir.join(PUBLIC_KEY)).unwrap(), key.public.to_pem());
        let other = Scratch::new();
        SigningKey::create(&other).unwrap();
        fs::copy(other.join(PUBLIC_KEY), dir.join(PUBLIC_KEY)).unwrap();
        assert!(matches!(SigningKey::load(&dir), Err(AuditError::Key)));
    }

    #[test]
    fn a_checkpoint_is_read_with_its_own_key_only_and_every_byte_counts() {
        let dir = Scratch::new();
        let key = SigningKey::create(&dir).unwrap();
        let checkpoint = key.sign(Head { seq: 7, hash: Hash::of(b"x") }, now());
        let sector = checkpoint.sector().unwrap();
        assert_eq!(Checkpoint::read(&sector, &key.public), Some(checkpoint));
        for place in 0..sector.len() {
            for flip in [1, 0x20] {
                let mut changed = sector;
                changed[place] ^= flip;
                assert_eq!(Checkpoint::read(&changed, &key.public), None, "byte {place}");
            }
        }
        let other = SigningKey::create(&Scratch::new()).unwrap();
        assert_eq!(Checkpoint::read(&sector, &other.public), None);
    }

    #[test]
    fn the_longest_checkpoint_fits_its_sector() {
        let dir = Scratch::new();
        let key = SigningKey::create(&dir).unwrap();
        let sector = key.sign(Head { seq: u64::MAX, hash: Hash::of(b"") }, now()).sector().unwrap();
        assert!(Checkpoint::read(&sector, &key.public).is_some());
    }

    #[test]
    fn every_byte_of_a_public_key_file_counts() {
        let dir = Scratch::new();
        let key = SigningKey::create(&dir).unwrap().public;
        let pem = key.to_pem().into_bytes();
        for place in 0..pem.len() {
            let mut changed = pem.clone();
            changed[place] ^= 1;
            let read = String::from_utf8(changed).ok().and_then(|pem| PublicKey::from_pem(&pem));
            assert_ne!(read, Some(key.clone()), "byte {place}");
        }
    }
}
