//! What the demonstration stands on: a folder, an EHR, a gateway, and a payer with a token.
//!
//! Takes: a port. Gives: a [`Stage`] that is serving. Guarantees: the folder is for its owner's eyes; it, the EHR and
//! the gateway end with the stage. Refuses: a port that somebody listens on.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{Request, Response};
use http_body_util::Full;
use socket2::{Domain, Socket, Type};

use super::GRACE;
use crate::audit::records;
use crate::cli::token::{Wish, mint};
use crate::cli::{CONFIG_FILE, CliError, certs};
use crate::clock::Clock;
use crate::config::Config;
use crate::demo::comparison::Comparison;
use crate::demo::ehr::Ehr;
use crate::demo::onlooker::Onlooker;
use crate::demo::{contract, data};
use crate::id::Token128;
use crate::limits;
use crate::outbound::{self, Origin};
use crate::start::{self, Running};

/// The search that is compared, below the base.
pub(super) const SEARCH: &str = "Observation?patient=maren&category=laboratory";
/// The payer, as a client.
pub(super) const CLIENT: &str = "lanternfield";
/// Life of the token in the folder, in minutes: the longest that the gateway accepts.
pub(super) const TOKEN_MINUTES: u16 = 60;

/// An EHR and a gateway in front of it, serving.
pub(super) struct Stage {
    folder: Folder,
    config: Arc<Config>,
    ehr: Ehr,
    onlooker: Arc<Onlooker>,
    gateway: Running,
    origin: Origin,
    tls: Arc<rustls::ClientConfig>,
}

impl Stage {
    /// Sets everything up, with the gateway on this port; 0 is any.
    pub(super) fn set(port: u16) -> Result<Self, CliError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| CliError::Failed(format!("{what}: {error}"));
        let reserved = Reserved::port(port).map_err(|error| failed(&format!("port {port} cannot be used"), &error))?;
        let folder = Folder::make().map_err(|error| failed("cannot make a folder", &error))?;
        let certificates = folder.0.join("certs");
        certs::make(&certificates, &[], &[CLIENT.to_owned()], false, Clock::System.now())?;
        contract::write(&folder.0.join("policies")).map_err(|error| failed("policies", &error))?;
        let records = data::records_and_elsewhere().map_err(|error| failed("the clinic's data", &error))?;
        let ehr = Ehr::start(records).map_err(|error| failed("the EHR does not start", &error))?;
        let files = [
            (data::ROSTER_FILE, data::ROSTER.to_owned()),
            (data::SOURCES_FILE, data::SOURCES.to_owned()),
            (data::LABORATORY_AUTHORITY_FILE, data::LABORATORY_AUTHORITY.to_owned()),
            (CONFIG_FILE, configuration(reserved.port, &ehr.base())),
        ];
        for (name, text) in files {
            fs::write(folder.0.join(name), text).map_err(|error| failed(name, &error))?;
        }
        let config = Arc::new(Config::load(&folder.0.join(CONFIG_FILE)).map_err(CliError::Config)?);
        let (_, open_door) = ehr.open_door(&format!("/{SEARCH}"));
        let onlooker = Arc::new(Onlooker::new(open_door));
        let gateway = start::start_before(Arc::clone(&config), Clock::System, Some(onlooker.clone()));
        let gateway = gateway.map_err(CliError::Start)?;
        drop(reserved);
        let ca = fs::read(certificates.join(certs::CA)).map_err(|error| failed(certs::CA, &error))?;
        let tls = outbound::tls::client_config(Some(&ca), None).map_err(|error| failed(certs::CA, &error))?;
        let origin = Origin::parse(config.listen.base_url.as_str()).map_err(|error| failed("the base url", &error))?;
        let stage = Self { folder, config, ehr, onlooker, gateway, origin, tls };
        stage.renew_token()?;
        Ok(stage)
    }

    /// The folder of keys, policies, configuration and audit log.
    pub(super) fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// The gateway's base URL.
    pub(super) fn base(&self) -> &str {
        self.config.listen.base_url.as_str()
    }

    /// The EHR's base URL: the open door.
    pub(super) fn open_door(&self) -> String {
        self.ehr.base()
    }

    /// Health and metrics.
    pub(super) fn admin_address(&self) -> SocketAddr {
        self.gateway.admin_address()
    }

    /// The file that holds a token, always a fresh one.
    pub(super) fn token_file(&self) -> PathBuf {
        self.folder.0.join("token")
    }

    /// The authority of the gateway's certificate.
    pub(super) fn ca_file(&self) -> PathBuf {
        self.folder.0.join("certs").join(certs::CA)
    }

    /// The audit log.
    pub(super) fn audit(&self) -> &Path {
        &self.config.audit.directory
    }

    /// Puts a fresh token into its file.
    pub(super) fn renew_token(&self) -> Result<(), CliError> {
        let wish = Wish { minutes: TOKEN_MINUTES, ..Wish::of(CLIENT) };
        let token = mint(&self.config, &wish, Clock::System.now())?;
        let fresh = self.folder.0.join("token.new");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh);
        file.and_then(|mut file| file.write_all(token.as_bytes()))
            .and_then(|()| fs::rename(&fresh, self.token_file()))
            .map_err(|error| CliError::Failed(format!("cannot write the token: {error}")))
    }

    /// Sends a request to the gateway, as the payer would.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        with_token: bool,
    ) -> Result<Response<Bytes>, CliError> {
        if with_token {
            let token = fs::read_to_string(self.token_file());
            let field = token.ok().and_then(|token| format!("Bearer {token}").parse().ok());
            request.headers_mut().extend(field.map(|field| (AUTHORIZATION, field)));
        }
        let (bytes, deadline) = (limits::WHOLE_ANSWER_BYTES, limits::UPSTREAM_HEAD);
        let answer = outbound::once(&self.origin, Some(&self.tls), request, bytes, deadline).await;
        answer.map_err(|error| CliError::Failed(format!("the gateway gave no answer: {error}")))
    }

    /// Asks the gateway for [`SEARCH`] and compares the answer with that of the open door.
    pub(super) async fn compare(&self) -> Result<Comparison, CliError> {
        let failed = |text: &str| CliError::Failed(format!("no comparison: {text}"));
        let request = Request::get(format!("{}/{SEARCH}", self.origin.base_path()));
        let request = request.header(ACCEPT, "application/fhir+json").body(Full::default());
        let answer = self.send(request.map_err(|error| failed(&error.to_string()))?, true).await?;
        if answer.status() != http::StatusCode::OK {
            return Err(failed(&format!("the gateway answered {}", answer.status())));
        }
        let exchange = answer.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let mut records = records(self.audit()).map_err(|error| failed(&error.to_string()))?;
        let entry = records.find_map(|record| {
            record.ok().map(|record| record.entry).filter(|entry| entry.exchange.as_deref() == Some(exchange))
        });
        let entry = entry.ok_or_else(|| failed("the audit log does not hold the exchange"))?;
        let account = self.onlooker.account().filter(|account| account.exchange.to_string() == exchange);
        let account = account.ok_or_else(|| failed("the exchange was not judged"))?;
        let (_, open_door) = self.ehr.open_door(&format!("/{SEARCH}"));
        Comparison::new(&open_door, answer.body(), account, entry).map_err(|error| failed(&error.to_string()))
    }

    /// Takes everything down.
    pub(super) async fn strike(self) {
        self.gateway.stop(GRACE).await;
    }
}

fn configuration(port: u16, ehr: &str) -> String {
    let (server, server_key, key_set) = (certs::SERVER, certs::SERVER_KEY, certs::ISSUER_KEY_SET);
    let (organization, roster, sources) = (contract::ORGANIZATION, data::ROSTER_FILE, data::SOURCES_FILE);
    format!(
        r#"# The demonstration. Everything here is invented and ends with it.

[listen]
address = "127.0.0.1:{port}"
base_url = "https://127.0.0.1:{port}/fhir"
allowed_hosts = ["127.0.0.1:{port}", "localhost:{port}"]
threads = 2
[listen.tls]
certificate = "certs/{server}"
key = "certs/{server_key}"

[admin]
address = "127.0.0.1:0"

[upstream]
base_url = "{ehr}"

[policy]
path = "policies"
facts = ["roster", "coverage", "consent"]
roster = "{roster}"
sources = "{sources}"

[audit]
directory = "audit"

[[issuer]]
issuer = "https://issuer.lanternfield.example"
jwks_file = "certs/{key_set}"
algorithms = ["ES384"]

[[client]]
id = "{CLIENT}"
organization = "{organization}"
issuer = "https://issuer.lanternfield.example"
purposes = ["HPAYMT", "CLMATTCH"]
purpose = "HPAYMT"
scopes = ["system/*.rs"]
"#
    )
}

/// A folder of its own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> io::Result<Self> {
        let name = Token128::random().map(|token| token.to_string()).unwrap_or_default();
        let path = std::env::temp_dir().join(format!("portcullis-demo-{}", name.get(18..).unwrap_or_default()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system, which clears its folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that is bound and not listened on, so that nobody else is given it before the gateway listens.
struct Reserved {
    port: u16,
    _socket: Socket,
}

impl Reserved {
    fn port(port: u16) -> io::Result<Self> {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if port != 0 {
            // The gateway shares its port among its cores; somebody else who shares it must not go unnoticed.
            drop(TcpListener::bind(address(port))?);
        }
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address(port).into())?;
        let bound = socket.local_addr()?.as_socket().map_or(port, |address| address.port());
        Ok(Self { port: bound, _socket: socket })
    }
}
