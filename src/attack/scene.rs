//! A case while it runs: setup, faults, the request itself, and what is looked at afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::attack::case::Case;
use crate::attack::ehr::{self, Behaviour};
use crate::attack::fault::{self, Fault};
use crate::attack::hold::{self, Findings, Seen};
use crate::attack::members::Members as _;
use crate::attack::pack::{CORRUPT, Pack};
use crate::attack::send::Letter;
use crate::attack::stage::{Gateway, Line, NoGateway};
use crate::attack::wire::{Exchange, Reply};
use crate::attack::world::World;

/// The quirks that the test EHR has.
const QUIRKS: [&str; 9] = [
    "ignore_unknown_params",
    "ignore_unknown_modifiers",
    "lenient_drops_patient_param",
    "double_decode_query",
    "honour_range",
    "use_first_accept_encoding",
    "accept_overlong_utf8",
    "nfkc_normalise_params",
    "summary_drops_category_and_security",
];
/// Quirks that are how the test EHR is anyway.
const ALWAYS: [&str; 1] = ["head_content_length_unfiltered"];
/// Time that records and cancellations may take to be seen.
const SETTLE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(10);

/// A case while it runs.
pub(crate) struct Scene<'w> {
    pub(crate) world: &'w World,
    pub(crate) gateway: Gateway,
    /// In force now, translated.
    pub(crate) grants: Vec<Json>,
    /// The last answer to each client in the setup.
    pub(crate) captured: BTreeMap<String, Reply>,
    pub(crate) last_id: String,
    pub(crate) counts: std::cell::Cell<[usize; 3]>,
    /// Any answer shows that the gateway lives: its policy may refuse everybody.
    pub(crate) may_refuse: bool,
    /// Exchanges of other clients at the same time.
    pub(crate) strangers: BTreeSet<String>,
    /// Seconds by which written points of time are moved.
    pub(crate) shift: i64,
    resolves_to: Vec<String>,
    findings: Findings,
}

impl<'w> Scene<'w> {
    pub(crate) fn new(world: &'w World, gateway: Gateway, grants: Vec<Json>) -> Self {
        Self {
            world,
            gateway,
            grants,
            captured: BTreeMap::new(),
            last_id: String::new(),
            counts: std::cell::Cell::default(),
            may_refuse: false,
            strangers: BTreeSet::new(),
            shift: 0,
            resolves_to: Vec::new(),
            findings: Findings::default(),
        }
    }

    /// Plays a case to its end.
    pub(crate) fn play(mut self, case: &Case, faults: &[Fault]) -> Result<Seen, String> {
        let mut pending = None;
        for (number, step) in case.setup.iter().enumerate() {
            self.prepare(number + 1, step, &mut pending)?;
        }
        let mut seen = self.main(case, faults, pending)?;
        if !self.findings.unjudged.is_empty() {
            return Err(self.findings.unjudged.join(", "));
        }
        // What a step of the setup demands is judged like the case itself.
        seen.setup_failed = std::mem::take(&mut self.findings.failed);
        Ok(seen)
    }

    fn prepare(&mut self, number: usize, step: &Json, pending: &mut Option<Behaviour>) -> Result<(), String> {
        const KNOWN: [&str; 7] = ["as", "grant", "request", "must_hold", "fault", "upstream", "sleep_s"];
        let members = step.as_object().into_iter().flatten().map(|(name, _)| name);
        if let Some(unknown) = members.into_iter().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(format!("setup.{unknown}"));
        }
        if let Some(seconds) = step.at("sleep_s").as_f64() {
            std::thread::sleep(Duration::from_secs_f64(seconds));
        }
        if let Some(text) = step.at("fault").as_str() {
            for fault in fault::read(text)? {
                self.change(&fault)?;
            }
        }
        if let Some(upstream) = step.get("upstream") {
            *pending = Some(self.behaviour(upstream)?);
        }
        let Some(request) = step.get("request") else { return Ok(()) };
        self.world.ehr.behave(pending.take().unwrap_or_else(|| self.usual()));
        let client = step.at("as").as_str().unwrap_or("payer-a");
        let letter = self.letter(request, client)?;
        let exchange = self.send(&letter);
        if let Some(reply) = exchange.replies.first() {
            self.last_id = reply.header("x-request-id").unwrap_or_default().to_owned();
            self.captured.insert(client.to_owned(), reply.clone());
        }
        if let Some(must_hold) = step.get("must_hold") {
            let upstream = self.world.ehr.received();
            let seen = Seen { exchange, said: letter.ready.text.clone(), upstream, ..self.basics() };
            self.note(&format!("step {number}"), hold::judge(must_hold, &seen));
        }
        self.world.ehr.behave(self.usual());
        Ok(())
    }

    fn usual(&self) -> Behaviour {
        Behaviour { resolves_to: self.resolves_to.clone(), ..Behaviour::default() }
    }

    pub(crate) fn basics(&self) -> Seen {
        Seen {
            upstream_host: self.world.ehr.address().to_string(),
            attacker_host: self.world.attacker.address.to_string(),
            ..Seen::default()
        }
    }

    /// Brings about what a fault between two steps says.
    fn change(&mut self, fault: &Fault) -> Result<(), String> {
        match fault {
            Fault::Revoke { client, patient } => fault::revoke(&mut self.grants, client, patient),
            Fault::PolicyUpdate(text) => fault::update_policy(&mut self.grants, text)?,
            Fault::Clock(day) => {
                let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
                fault::move_clock(&mut self.grants, *day, today);
                let days = today.since(*day).map_or(0, |span| span.get_days());
                self.shift = i64::from(days) * 86_400;
            }
            Fault::UpstreamUpdate(text) => {
                return self.world.ehr.update(|store| fault::update_upstream(store, text));
            }
            Fault::UpstreamDown => {
                self.world.ehr.behave(Behaviour { is_down: true, ..self.usual() });
                return Ok(());
            }
            Fault::Resolves(ids) => {
                self.resolves_to.clone_from(ids);
                self.world.ehr.behave(self.usual());
                return Ok(());
            }
            Fault::CorruptReload => {
                let corrupt = Pack { policy: CORRUPT.to_owned(), files: Vec::new(), is_open: false };
                if self.gateway.reload(&self.grants, Some(&corrupt))? {
                    self.findings.failed.push("a policy that cannot be read was taken".to_owned());
                }
                return Ok(());
            }
            Fault::NoGrants => {
                let _ = self.gateway.reload_without_grants()?;
                return Ok(());
            }
            Fault::Pack(name) => return Err(format!("setup.fault policy_pack {name}")),
            Fault::AuditFull | Fault::AuditHang | Fault::Kill | Fault::Tamper(_) | Fault::ReloadLoop => {
                return Err(format!("setup.fault {fault:?}"));
            }
        }
        if self.gateway.reload(&self.grants, None)? { Ok(()) } else { Err("grants were not taken".to_owned()) }
    }

    fn main(&mut self, case: &Case, faults: &[Fault], pending: Option<Behaviour>) -> Result<Seen, String> {
        let world = self.world;
        let asks = |key: &str| hold::wanted(&case.must_hold, key).is_some();
        let mut behaviour = case.upstream.as_ref().map(|upstream| self.behaviour(upstream)).transpose()?;
        if let Some(pending) = pending {
            behaviour.get_or_insert(pending);
        }
        if faults.is_empty() && !self.is_alive() {
            self.findings.failed.push("no healthy answer beforehand".to_owned());
        }
        let good_revision = if faults.contains(&Fault::CorruptReload) { self.revision()? } else { None };
        for fault in faults {
            match fault {
                Fault::Pack(_) | Fault::NoGrants => {}
                Fault::AuditFull | Fault::AuditHang | Fault::Kill | Fault::Tamper(_) | Fault::ReloadLoop => {}
                _ => self.change(fault)?,
            }
        }
        let mut behaviour = behaviour.unwrap_or_else(|| self.usual());
        behaviour.resolves_to.clone_from(&self.resolves_to);
        behaviour.is_down = faults.contains(&Fault::UpstreamDown);
        behaviour.pauses = faults.contains(&Fault::Kill);
        if case.request.get("simultaneously").is_some() && behaviour.delay.is_zero() {
            behaviour.delay = Duration::from_millis(500);
        }
        let versions = if faults.contains(&Fault::ReloadLoop) { Some(self.versions(&case.request)?) } else { None };
        let (hits, peak) = (world.attacker.hits(), self.gateway.peak());
        world.ehr.behave(behaviour.clone());
        let (before, lines) = (self.gateway.exchanges().len(), self.gateway.about_requests().len());
        let mut letter = self.letter(&case.request, "payer-a")?;
        letter.manner.everything =
            case.request.at("raw").is_string() || asks("response_count") || asks("connection_closed");
        let held = if faults.contains(&Fault::AuditHang) { Some(self.gateway.hang_disk()?) } else { None };
        if faults.contains(&Fault::AuditFull) {
            self.gateway.fill_disk()?;
        }
        let mut seen = Seen { said: letter.ready.text.clone(), good_revision, ..self.basics() };
        if faults.contains(&Fault::Kill) {
            seen.exchange = self.killed(&letter)?;
        } else if let Some(versions) = versions {
            let (exchange, wrong) = self.in_turns(case, &letter, &versions)?;
            (seen.exchange, seen.versions) = (exchange, Some(wrong));
        } else {
            (seen.exchange, seen.other) = self.rush(case, &letter)?;
        }
        seen.pages = self.pages(&case.request, &seen.exchange)?;
        seen.exchange.replies.extend(seen.pages.iter().skip(1).cloned());
        for path in case.request.at("also_paths").as_array().into_iter().flatten() {
            let mut request = case.request.clone();
            request.set("path", path.clone());
            seen.exchange.replies.extend(self.send(&self.letter(&request, "payer-a")?).replies);
        }
        if let Some(aborted) = seen.exchange.aborted {
            seen.cancelled = self.cancellations(&case.must_hold, aborted);
        }
        self.settle(before);
        drop(held);
        seen.upstream = world.ehr.received();
        (seen.most_at_once, seen.attacker_hits) = (world.ehr.most_at_once(), world.attacker.hits() - hits);
        seen.records = self.gateway.exchanges().split_off(before);
        seen.parts = self.gateway.about_requests().split_off(lines);
        let is_own = |line: &Line| line.entry.exchange.as_ref().is_none_or(|id| !self.strangers.contains(id));
        seen.records.retain(is_own);
        let next = hold::wanted(&case.must_hold, "next_request_gets_own_answer").map(|want| self.next_answers(want));
        seen.next = next.transpose()?;
        if faults.contains(&Fault::Kill) {
            seen.restarted = Some(Box::new(self.restarted(lines, &seen)?));
        }
        world.ehr.behave(Behaviour { pauses: false, ..behaviour });
        seen.twins = self.twins(case)?;
        seen.times = self.times(case)?;
        seen.grown = self.gateway.peak().saturating_sub(peak);
        world.ehr.behave(self.usual());
        seen.alive = self.is_alive();
        self.settle(0);
        seen.all_records = self.gateway.exchanges();
        seen.log_findings = self.gateway.stop();
        for fault in faults {
            if let Fault::Tamper(text) = fault {
                seen.edits = self.edits(&case.must_hold, text);
            }
        }
        if self.gateway.is_open_door() {
            seen.good_revision = Some("open door".to_owned());
        }
        [seen.answered, seen.unanswered, seen.aborted] = self.counts.get();
        seen.secrets = letter.token().into_iter().collect();
        Ok(seen)
    }

    /// Waits until as many records are there as there were answers.
    fn settle(&self, before: usize) {
        let began = Instant::now();
        let [answered, _, aborted] = self.counts.get();
        while self.gateway.exchanges().len() < (answered + aborted).max(before)
            && began.elapsed() < SETTLE
            && !self.gateway.is_open_door()
        {
            std::thread::sleep(LOOK);
        }
    }

    /// How long after the client went away its requests to the EHR were given up.
    fn cancellations(&self, must_hold: &Json, aborted: Instant) -> Vec<Duration> {
        let Some(within) = hold::wanted(must_hold, "upstream_request_cancelled_within_ms").and_then(Json::as_u64)
        else {
            return Vec::new();
        };
        while aborted.elapsed() < Duration::from_millis(within) + LOOK && self.world.ehr.cancelled().is_empty() {
            std::thread::sleep(LOOK);
        }
        self.world.ehr.cancelled().iter().map(|when| when.saturating_duration_since(aborted)).collect()
    }

    /// Sends the request, and kills the gateway when the EHR has begun to answer.
    fn killed(&mut self, letter: &Letter) -> Result<Exchange, String> {
        let (world, gateway) = (self.world, &mut self.gateway);
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| letter.go());
            let began = Instant::now();
            while !world.ehr.has_begun() && began.elapsed() < SETTLE {
                std::thread::sleep(LOOK);
            }
            let killed = gateway.kill();
            let exchange = sender.join().map_err(|_| "the sender panicked".to_owned())?;
            killed.map(|()| exchange)
        })
    }

    /// Keeps what was found of a request beside the main one.
    pub(crate) fn note(&mut self, of: &str, found: Findings) {
        self.findings.failed.extend(found.failed.iter().map(|text| format!("{of}: {text}")));
        self.findings.unjudged.extend(found.unjudged.iter().map(|key| format!("{of}.{key}")));
    }

    /// What is there after the gateway was killed and started again.
    fn restarted(&mut self, before: usize, seen: &Seen) -> Result<Seen, String> {
        self.world.ehr.behave(self.usual());
        self.gateway.spawn().map_err(|error| match error {
            NoGateway::Refused(line) | NoGateway::Broken(line) => format!("it does not start again: {line}"),
        })?;
        let records = self.gateway.about_requests().split_off(before);
        let alive = self.is_alive();
        let log_findings = self.gateway.log_findings();
        Ok(Seen { records: records.clone(), all_records: records, alive, log_findings, ..seen.clone() })
    }

    /// The edits that a case lists, each tried on a copy of the log.
    fn edits(&self, must_hold: &Json, text: &str) -> BTreeMap<String, Result<bool, String>> {
        const USUAL: [&str; 5] = ["delete a line", "swap two lines", "change a byte", "insert a line", "truncate"];
        let listed = hold::wanted(must_hold, "verifier_detects").and_then(Json::as_array);
        let mut edits: BTreeSet<String> =
            listed.into_iter().flatten().filter_map(Json::as_str).map(ToOwned::to_owned).collect();
        if edits.is_empty() {
            let parts = text.split([',', ';', '|', '[', ']', '(', ')']).map(str::trim).filter(|part| !part.is_empty());
            edits.extend(parts.map(ToOwned::to_owned));
        }
        if edits.is_empty() {
            edits.extend(USUAL.map(ToOwned::to_owned));
        }
        edits.into_iter().map(|edit| (edit.clone(), self.gateway.detects(&edit))).collect()
    }

    /// The revision of the policy that decides now.
    fn revision(&self) -> Result<Option<String>, String> {
        let request = json!({"path": "/fhir/Patient/p2", "headers": {"Authorization": "Bearer {{token:payer-b}}"}});
        self.send(&self.letter(&request, "payer-b")?);
        let records = self.gateway.exchanges();
        Ok(records.last().and_then(|line| line.entry.decision.as_ref()).map(|decision| decision.revision.clone()))
    }

    fn behaviour(&self, upstream: &Json) -> Result<Behaviour, String> {
        const KNOWN: [&str; 6] = ["mode", "quirks", "delay_ms", "add_headers", "respond", "once"];
        let members = upstream.as_object().into_iter().flatten().map(|(name, _)| name);
        if let Some(unknown) = members.into_iter().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(format!("upstream.{unknown}"));
        }
        if !["fixture", "script"].contains(&upstream.at("mode").as_str().unwrap_or("fixture")) {
            return Err(format!("upstream.mode {}", upstream.at("mode")));
        }
        let filled = upstream
            .to_string()
            .replace("{{attacker_host}}", &self.world.attacker.address.to_string())
            .replace("{{upstream_host}}", &self.world.ehr.address().to_string());
        let upstream: Json = serde_json::from_str(&filled).map_err(|error| error.to_string())?;
        let texts = upstream.at("quirks").as_array().into_iter().flatten().filter_map(Json::as_str);
        let quirks: Vec<String> = texts.map(ToOwned::to_owned).collect();
        let is_known =
            |quirk: &str| QUIRKS.contains(&quirk) || ALWAYS.contains(&quirk) || quirk.starts_with("ignore_param:");
        if let Some(unknown) = quirks.iter().find(|quirk| !is_known(quirk)) {
            return Err(format!("quirk {unknown}"));
        }
        let script = upstream.get("respond").cloned();
        if let Some(unknown) = script.as_ref().and_then(|script| ehr::unknown(script).into_iter().next()) {
            return Err(unknown);
        }
        let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let headers = upstream.at("add_headers").as_object().into_iter().flatten();
        Ok(Behaviour {
            quirks,
            delay: Duration::from_millis(upstream.at("delay_ms").as_u64().unwrap_or(0)),
            headers: headers.map(|(name, value)| (name.clone(), text(value))).collect(),
            script,
            once: upstream.at("once") == true,
            ..self.usual()
        })
    }
}
