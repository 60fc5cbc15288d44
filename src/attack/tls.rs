//! Certificates of every kind that a case names, and connections that are made with them.

use std::net::TcpStream;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::attack::stage::HOST;
use crate::attack::wire::Stream;

type Made<T> = Result<T, String>;

/// A certificate with its chain and key.
#[derive(Debug)]
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pem: String,
    key_pem: String,
}

impl Identity {
    /// `x5t#S256` (RFC 8705 section 3.1).
    pub(crate) fn thumbprint(&self) -> String {
        BASE64.encode(self.digest())
    }

    /// SHA-256 in hexadecimal, as a registration pins it.
    pub(crate) fn fingerprint(&self) -> String {
        self.digest().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn pem(&self) -> (&str, &str) {
        (&self.pem, &self.key_pem)
    }

    fn digest(&self) -> Vec<u8> {
        digest(&SHA256, self.chain.first().map(AsRef::as_ref).unwrap_or_default()).as_ref().to_vec()
    }
}

/// The authorities of a run: one that is trusted, and one that only looks so.
pub(crate) struct Authority {
    ca: Issuer<'static, KeyPair>,
    ca_pem: String,
    impostor: Issuer<'static, KeyPair>,
    roots: Arc<RootCertStore>,
}

impl Authority {
    pub(crate) fn new() -> Made<Self> {
        let (ca, certificate) = authority()?;
        let (impostor, _) = authority()?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).map_err(|error| error.to_string())?;
        Ok(Self { ca, ca_pem: certificate.pem(), impostor, roots: Arc::new(roots) })
    }

    pub(crate) fn pem(&self) -> &str {
        &self.ca_pem
    }

    pub(crate) fn server(&self) -> Made<Identity> {
        let mut params = params(HOST, HOST)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        signed(params, &self.ca)
    }

    /// The certificate of a registered client.
    pub(crate) fn client(&self, id: &str) -> Made<Identity> {
        signed(params(id, &san(id))?, &self.ca)
    }

    /// A certificate with the defect that its name states; `None` is no certificate.
    pub(crate) fn named(&self, name: &str) -> Made<Option<Identity>> {
        let mut plain = params("payer-a", &san("payer-a"))?;
        let year = date_time_ymd(2020, 1, 1);
        let made = match name {
            "none" | "none+forged-headers" => return Ok(None),
            "valid" | "valid-payer-a" | "payer-a" => signed(plain, &self.ca),
            "expired" => {
                (plain.not_before, plain.not_after) = (year, date_time_ymd(2021, 1, 1));
                signed(plain, &self.ca)
            }
            "not-yet-valid" => {
                (plain.not_before, plain.not_after) = (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1));
                signed(plain, &self.ca)
            }
            "unknown-ca" | "unknown-ca-same-dn" => signed(plain, &self.impostor),
            "self-signed" => {
                let key = key()?;
                let certificate = plain.self_signed(&key).map_err(unmade)?;
                Ok(identity(vec![certificate], &key))
            }
            "eku-server-only" => {
                plain.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                signed(plain, &self.ca)
            }
            "issued-by-leaf" => {
                let (leaf_params, leaf_key) = (params("payer-b", &san("payer-b"))?, key()?);
                let leaf = leaf_params.signed_by(&leaf_key, &self.ca).map_err(unmade)?;
                let forger = Issuer::new(leaf_params, leaf_key);
                let key = key()?;
                let forged = plain.signed_by(&key, &forger).map_err(unmade)?;
                Ok(identity(vec![forged, leaf], &key))
            }
            // Well made and in time, but no longer the one that the registration names.
            "revoked" => signed(plain, &self.ca),
            "wildcard-san" => signed(params("payer-a", "*.example.org")?, &self.ca),
            "no-san" | "cn-only" => {
                plain.subject_alt_names.clear();
                signed(plain, &self.ca)
            }
            _ => {
                if let Some((common, alternative)) = name.strip_prefix("cn-").and_then(|rest| rest.split_once("-san-"))
                {
                    return signed(params(common, &san(alternative))?, &self.ca).map(Some);
                }
                let owner = name.strip_prefix("valid-").map(|rest| rest.split("-with-").next().unwrap_or(rest));
                match owner.filter(|owner| owner.starts_with("payer-")) {
                    Some(owner) => self.client(owner),
                    None => return Err(format!("mtls.cert {name}")),
                }
            }
        };
        made.map(Some)
    }

    /// What a client brings to a handshake.
    pub(crate) fn config(&self, identity: Option<&Identity>, protocol: &str) -> Made<Arc<ClientConfig>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?.with_root_certificates(Arc::clone(&self.roots));
        let mut config = match identity {
            Some(identity) => builder
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .map_err(|error| error.to_string())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Arc::new(config))
    }
}

/// TLS over a connection to the gateway, before its first byte.
pub(crate) fn over(tcp: TcpStream, config: &Arc<ClientConfig>) -> Made<Stream> {
    let name = ServerName::try_from(HOST).map_err(|error| error.to_string())?;
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(|error| error.to_string())?;
    Ok(Stream::Tls(Box::new(StreamOwned::new(connection, tcp))))
}

/// The name by which a client is registered.
pub(crate) fn san(id: &str) -> String {
    format!("{id}.example.org")
}

fn unmade(error: rcgen::Error) -> String {
    format!("a certificate cannot be made: {error}")
}

fn key() -> Made<KeyPair> {
    KeyPair::generate().map_err(unmade)
}

fn authority() -> Made<(Issuer<'static, KeyPair>, rcgen::Certificate)> {
    let mut params = CertificateParams::new(Vec::new()).map_err(unmade)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "Trading partners");
    let key = key()?;
    let certificate = params.self_signed(&key).map_err(unmade)?;
    Ok((Issuer::new(params, key), certificate))
}

fn params(common_name: &str, alternative: &str) -> Made<CertificateParams> {
    let mut params = CertificateParams::new(vec![alternative.to_owned()]).map_err(unmade)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn signed(params: CertificateParams, by: &Issuer<'_, KeyPair>) -> Made<Identity> {
    let key = key()?;
    let certificate = params.signed_by(&key, by).map_err(unmade)?;
    Ok(identity(vec![certificate], &key))
}

fn identity(chain: Vec<rcgen::Certificate>, key: &KeyPair) -> Identity {
    Identity {
        pem: chain.iter().map(rcgen::Certificate::pem).collect(),
        chain: chain.iter().map(|certificate| certificate.der().clone()).collect(),
        key: PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        key_pem: key.serialize_pem(),
    }
}
