//! One gateway in front of the test EHR, as a process of its own, with the policy that a case asks for.

mod config;
mod log;
mod open_door;
mod sink;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value as Json, json};

use crate::attack::Options;
use crate::attack::ehr::Ehr;
use crate::attack::members::Members as _;
use crate::attack::pack::Pack;
use crate::attack::token::Keys;
pub(crate) use config::Tls;
pub use config::{OwnPolicies, Settings};
pub(crate) use log::Line;

/// The authority that clients write.
pub(crate) const HOST: &str = "gateway.example.test";
/// The audience of tokens.
pub(crate) const BASE: &str = "https://gateway.example.test/fhir";

const POLICY: &str = include_str!("decision.rego");
/// Time that a gateway may take to listen, or to load its policies anew, on a busy machine.
const READY: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(5);

/// A listener that counts who connects, and says nothing.
#[derive(Clone, Debug)]
pub(crate) struct Attacker {
    pub(crate) address: SocketAddr,
    hits: Arc<AtomicUsize>,
}

impl Attacker {
    pub(crate) fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let attacker = Self { address: listener.local_addr()?, hits: Arc::default() };
        let hits = Arc::clone(&attacker.hits);
        std::thread::spawn(move || {
            listener.incoming().flatten().for_each(|_| {
                hits.fetch_add(1, Ordering::SeqCst);
            });
        });
        Ok(attacker)
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

/// What a gateway is started with.
#[derive(Clone)]
pub(crate) struct Plan<'p> {
    pub(crate) grants: Vec<Json>,
    /// Another policy than the one that obeys the grants.
    pub(crate) pack: Option<Pack>,
    /// What is granted cannot be read.
    pub(crate) no_grants: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) keys: &'p Keys,
    pub(crate) ehr: &'p Ehr,
    pub(crate) options: &'p Options,
}

/// Why there is no gateway.
#[derive(Debug)]
pub(crate) enum NoGateway {
    /// It ended by itself, with this line, before it listened.
    Refused(String),
    /// It could not be run at all.
    Broken(String),
}

/// A gateway at work. Dropped, it is stopped and its folder removed.
pub(crate) struct Gateway {
    /// `None` for an open door.
    child: Option<Child>,
    address: SocketAddr,
    folder: PathBuf,
    program: PathBuf,
    /// Whether it speaks TLS, and then whether it demands certificates.
    tls: Option<bool>,
}

impl Gateway {
    /// Starts the gateway and waits until it answers.
    pub(crate) fn start(plan: &Plan<'_>) -> Result<Self, NoGateway> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let broken = |error: std::io::Error| NoGateway::Broken(error.to_string());
        if plan.options.open_door {
            let address = open_door::start(plan.ehr.address()).map_err(broken)?;
            return Ok(Self { child: None, address, folder: PathBuf::new(), program: PathBuf::new(), tls: None });
        }
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let folder = plan.options.folder.join(format!("hostile-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("policies/data")).map_err(broken)?;
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).map_err(broken)?;
        let tls = plan.tls.as_ref().map(Tls::is_mutual);
        let program = plan.options.program.clone();
        let mut gateway = Self { child: None, address, folder, program, tls };
        gateway.write("issuer.jwks.json", &plan.keys.key_set()).map_err(broken)?;
        for (name, text) in plan.tls.iter().flat_map(Tls::files) {
            gateway.write(name, text).map_err(broken)?;
        }
        gateway.put(&plan.grants, plan.pack.as_ref(), plan.options.settings.own_policies.as_ref()).map_err(broken)?;
        if plan.no_grants {
            gateway.lose_grants().map_err(broken)?;
        }
        gateway.write("portcullis.toml", &config::text(address, plan)).map_err(broken)?;
        gateway.spawn()?;
        Ok(gateway)
    }

    /// Starts the process, and waits until it listens.
    pub(crate) fn spawn(&mut self) -> Result<(), NoGateway> {
        let broken = |error: std::io::Error| NoGateway::Broken(error.to_string());
        let log = fs::File::create(self.folder.join("log")).map_err(broken)?;
        // A file that may not grow is to fail, not to end the process: the signal of RLIMIT_FSIZE is ignored.
        let mut command = Command::new("sh");
        command.arg("-c").arg("trap '' XFSZ; exec \"$0\" \"$@\"").arg(&self.program);
        command.arg("serve").arg("--config").arg(self.folder.join("portcullis.toml")).stdin(Stdio::null());
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().map_err(broken)?);
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let ended = self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_some()));
            if ended || began.elapsed() > READY {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                let line = log.lines().last().unwrap_or_default().to_owned();
                return Err(if ended {
                    NoGateway::Refused(line)
                } else {
                    NoGateway::Broken("it does not listen".into())
                });
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(crate) fn is_mutual(&self) -> bool {
        self.tls == Some(true)
    }

    /// The grants are somewhere that cannot be reached.
    fn lose_grants(&self) -> std::io::Result<()> {
        let grants = self.folder.join("policies/data/grants.json");
        let _ = fs::remove_file(&grants);
        std::os::unix::fs::symlink("/nowhere/grants.json", &grants)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether a forwarder stands where the gateway should be.
    pub(crate) fn is_open_door(&self) -> bool {
        self.folder.as_os_str().is_empty()
    }

    fn write(&self, name: &str, text: &str) -> std::io::Result<()> {
        // Whole or not at all: the gateway may be reading.
        let draft = self.folder.join("draft");
        fs::write(&draft, text)?;
        fs::rename(draft, self.folder.join(name))
    }

    /// Writes grants and policy, unless the policies are a site's own.
    fn put(&self, grants: &[Json], pack: Option<&Pack>, own: Option<&OwnPolicies>) -> std::io::Result<()> {
        if let Some(own) = own {
            own.copy_to(&self.folder)?;
            return Ok(());
        }
        let grants: Vec<Json> = match pack {
            Some(pack) if pack.is_open => grants.iter().map(crate::attack::pack::opened).collect(),
            _ => grants.to_vec(),
        };
        self.write("policies/data/grants.json", &json!({ "grants": grants }).to_string())?;
        let rows = grants.iter().flat_map(|grant| grant.at("sensitivity").as_array().into_iter().flatten());
        let rows: Vec<&str> = rows.filter_map(Json::as_str).collect();
        if !rows.is_empty() {
            fs::create_dir_all(self.folder.join("policies/sensitivity"))?;
            let list = format!("label,system,code,text\n{}\n", rows.join("\n"));
            self.write("policies/sensitivity/suite.csv", &list)?;
        }
        for (name, text) in pack.into_iter().flat_map(|pack| &pack.files) {
            self.write(&format!("policies/data/{name}"), text)?;
        }
        self.write("policies/decision.rego", pack.map_or(POLICY, |pack| &pack.policy))
    }

    /// Puts other grants or another policy in place, and tells whether they were taken.
    pub(crate) fn reload(&self, grants: &[Json], pack: Option<&Pack>) -> Result<bool, String> {
        self.put(grants, pack, None).map_err(|error| error.to_string())?;
        self.loaded_anew()
    }

    /// Has everything loaded anew while the grants cannot be reached.
    pub(crate) fn reload_without_grants(&self) -> Result<bool, String> {
        self.lose_grants().map_err(|error| error.to_string())?;
        self.loaded_anew()
    }

    fn loaded_anew(&self) -> Result<bool, String> {
        let before = self.policy_loads().len();
        self.signal(Signal::SIGHUP)?;
        let began = Instant::now();
        while began.elapsed() < READY {
            if let Some(taken) = self.policy_loads().get(before) {
                return Ok(*taken);
            }
            std::thread::sleep(LOOK);
        }
        Err("policies are not loaded anew".to_owned())
    }

    /// Puts grants in place without waiting for them.
    pub(crate) fn nudge(&self, grants: &[Json]) -> Result<(), String> {
        self.write("policies/data/grants.json", &json!({ "grants": grants }).to_string())
            .map_err(|error| error.to_string())?;
        self.signal(Signal::SIGHUP)
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.as_ref()?.id()).ok().map(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = self.pid().ok_or("there is no gateway")?;
        kill(pid, signal).map_err(|error| error.to_string())
    }

    /// Ends it without a word, as a crash would.
    pub(crate) fn kill(&mut self) -> Result<(), String> {
        self.signal(Signal::SIGKILL)?;
        self.child.as_mut().map(Child::wait);
        Ok(())
    }

    /// Most memory that the gateway ever held, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        let Some(pid) = self.pid() else { return 0 };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// Ends it in peace; tells what is wrong with its log.
    pub(crate) fn stop(&mut self) -> Vec<String> {
        if self.child.is_none() {
            return Vec::new();
        }
        let _ = self.signal(Signal::SIGTERM);
        self.child.as_mut().map(Child::wait);
        self.log_findings()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if !self.is_open_door() && std::env::var_os("HOSTILE_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
