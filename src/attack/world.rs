//! What all cases share, and one case from its beginning to its verdict.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use crate::attack::Options;
use crate::attack::any_policy;
use crate::attack::case::{Case, Data, Verdict};
use crate::attack::ehr::{Behaviour, Behind, Ehr, Store};
use crate::attack::fault::{self, Fault};
use crate::attack::grade::Decided;
use crate::attack::grant;
use crate::attack::hold::{self, Findings, Seen};
use crate::attack::members::Members as _;
use crate::attack::pack::{self, Pack};
use crate::attack::scene::Scene;
use crate::attack::stage::{Attacker, Gateway, NoGateway, Plan, Tls};
use crate::attack::tls::Authority;
use crate::attack::token::Keys;
use crate::attack::wire::{Exchange, Reply};
use crate::audit::entry::Effect;

/// What all cases share.
pub(crate) struct World {
    pub(crate) keys: Keys,
    pub(crate) authority: Authority,
    pub(crate) ehr: Ehr,
    pub(crate) attacker: Attacker,
    options: Options,
    behind: Option<Behind>,
    records: Store,
    earlier: Json,
    /// Grants by their names.
    grants: BTreeMap<String, Json>,
    /// The grant that lets another client live.
    other: Json,
    /// What the fixtures name.
    names: BTreeSet<String>,
    decided: Cell<Decided>,
}

impl World {
    pub(crate) fn new(data: Data, options: &Options) -> Result<Self, String> {
        let behind = options.upstream.as_deref().map(Behind::at).transpose()?;
        let mut records = Store::default();
        records.load(&data.fixtures);
        let other = json!({
            "client": "payer-b", "purpose": "HPAYMT", "interactions": ["read", "search-type"], "patients": ["p2"],
            "types": {"Patient": {}, "Observation": {}},
        });
        let failed = |error: std::io::Error| error.to_string();
        Ok(Self {
            keys: Keys::new()?,
            authority: Authority::new()?,
            ehr: Ehr::start(records.clone(), behind.clone()).map_err(failed)?,
            attacker: Attacker::start().map_err(failed)?,
            options: options.clone(),
            behind,
            records,
            earlier: data.earlier,
            grants: data.grants,
            other,
            names: any_policy::names(&data.fixtures),
            decided: Cell::default(),
        })
    }

    /// What a client of the suite is called by the gateway.
    pub(crate) fn client_id<'w>(&'w self, name: &'w str) -> &'w str {
        self.options.settings.client_id(name)
    }

    /// What policies of a site's own made of the requests so far.
    pub(crate) fn decided(&self) -> Decided {
        self.decided.get()
    }

    fn has_own_policies(&self) -> bool {
        self.options.settings.own_policies.is_some()
    }

    /// Runs a case.
    pub(crate) fn run(&self, case: &Case) -> Verdict {
        if let Some(verdict) = self.set_aside(case) {
            return verdict;
        }
        let own;
        let case = match self.has_own_policies() {
            true => match any_policy::of(case, &self.names) {
                Ok(played) => {
                    own = played;
                    &own
                }
                Err(why) => return Verdict::NotApplicable(why),
            },
            false => case,
        };
        let judged = match self.judged(case) {
            Ok((findings, note)) => (findings, note),
            Err(unsupported) => return Verdict::Unsupported(unsupported),
        };
        match judged {
            (findings, _) if !findings.failed.is_empty() => Verdict::Failed(findings.failed),
            (findings, _) if !findings.unjudged.is_empty() => Verdict::Unsupported(findings.unjudged),
            (_, note) => Verdict::Passed(note),
        }
    }

    /// Cases that are not run, and why.
    fn set_aside(&self, case: &Case) -> Option<Verdict> {
        if !case.unknown.is_empty() {
            return Some(Verdict::Unsupported(case.unknown.clone()));
        }
        if let Some(feature) = hold::wanted(&case.must_hold, "applies_if").map(|what| what.as_str().unwrap_or_default())
        {
            let is = |words: &[&str]| words.iter().any(|word| feature.contains(word));
            if is(&ABSENT) {
                return Some(Verdict::LeftOut(format!("does not apply: {feature}")));
            }
            if !is(&PRESENT) {
                return Some(Verdict::Unsupported(vec![format!("applies_if {feature}")]));
            }
        }
        let class = |beginning: &[&str]| beginning.iter().any(|beginning| case.class.starts_with(beginning));
        let plain = |behaviour: &Json| behaviour.as_object().is_some_and(|all| all.keys().all(|name| name == "mode"));
        let steps = case.setup.iter().any(|step| step.get("fault").or(step.get("upstream")).is_some());
        let own_ehr =
            case.upstream.as_ref().is_some_and(|upstream| !plain(upstream)) || !case.faults.is_empty() || steps;
        let left_out = match (&self.behind, self.options.open_door) {
            (Some(_), _) if !class(&["A", "F-", "G-", "Z-"]) => Some("not about what is asked of the EHR"),
            (Some(_), _) if own_ehr => Some("needs a server that behaves as the case says"),
            (_, true) if !case.faults.is_empty() || names(&case.request, &["h2", "mtls"]) => Some("needs a gateway"),
            _ => None,
        };
        left_out.map(|why| Verdict::LeftOut(why.to_owned()))
    }

    /// What does not hold, with a note on how it was found out.
    fn judged(&self, case: &Case) -> Result<(Findings, Option<String>), Vec<String>> {
        let one = |problem: String| vec![problem];
        let mut faults = Vec::new();
        for text in &case.faults {
            faults.extend(fault::read(text).map_err(one)?);
        }
        let packs = faults.iter().find_map(|fault| match fault {
            Fault::Pack(name) => Some(
                pack::named(name, &self.attacker.address.to_string())
                    .ok_or_else(|| format!("fault policy_pack {name}")),
            ),
            _ => None,
        });
        let packs: Vec<Option<Pack>> = match packs {
            Some(packs) => packs.map_err(one)?.into_iter().map(Some).collect(),
            None => vec![None],
        };
        let (mut findings, mut notes) = (Findings::default(), Vec::new());
        let count = packs.len();
        for (number, pack) in packs.into_iter().enumerate() {
            let (mut found, note) = self.judged_with(case, &faults, pack).map_err(one)?;
            if count > 1 {
                found.failed.iter_mut().for_each(|text| *text = format!("spelling {}: {text}", number + 1));
            }
            findings.add(found);
            notes.extend(note);
        }
        notes.dedup();
        Ok((findings, (!notes.is_empty()).then(|| notes.join("; "))))
    }

    fn judged_with(
        &self,
        case: &Case,
        faults: &[Fault],
        pack: Option<Pack>,
    ) -> Result<(Findings, Option<String>), String> {
        self.ehr.hold(self.records.clone());
        if case.needs.is_some() {
            let mut records = self.records.clone();
            records.load_earlier(&self.earlier);
            self.ehr.hold(records);
        }
        self.ehr.behave(Behaviour::default());
        let mut plan = self.plan(case, pack)?;
        plan.no_grants = faults.contains(&Fault::NoGrants);
        let can_refuse = plan.pack.is_some() || plan.no_grants;
        let is_own = self.has_own_policies();
        match Gateway::start(&plan) {
            Ok(gateway) => {
                let mut scene = Scene::new(self, gateway, plan.grants.clone());
                scene.may_refuse = can_refuse || is_own;
                let seen = scene.play(case, faults)?;
                if is_own {
                    self.count(&seen);
                }
                let own = is_own.then(|| any_policy::invariants(&seen, case));
                let mut findings = verdict(case, faults, seen, &case.must_hold, is_own);
                own.into_iter().for_each(|own| findings.add(own));
                Ok((findings, None))
            }
            Err(NoGateway::Refused(line)) if can_refuse => self.refused(case, faults, plan, &line),
            Err(NoGateway::Refused(line) | NoGateway::Broken(line)) => {
                Err(format!("the gateway does not start: {line}"))
            }
        }
    }

    /// Counts what the policies made of the requests of a case.
    fn count(&self, seen: &Seen) {
        let mut decided = self.decided.get();
        for line in &seen.all_records {
            let Some(decision) = &line.entry.decision else { continue };
            decided.requests += 1;
            decided.permitted += usize::from(decision.effect == Effect::Permit);
            decided.released += line.entry.counts.as_ref().map_or(0, |counts| counts.released);
        }
        self.decided.set(decided);
    }

    /// A gateway that does not start with what it is given gives nothing away. One that runs keeps what it has.
    fn refused(
        &self,
        case: &Case,
        faults: &[Fault],
        plan: Plan<'_>,
        line: &str,
    ) -> Result<(Findings, Option<String>), String> {
        // Nobody listens: to a client, that is a service which is not available.
        let nobody = Reply { status: 503, is_whole: true, ..Reply::default() };
        let cold = Seen {
            exchange: Exchange { replies: vec![nobody], closed: true, ..Exchange::default() },
            alive: true,
            ..Seen::default()
        };
        let mut findings = hold::judge(&without(&case.must_hold, &["audit_"]), &cold);
        let good = Plan { pack: None, no_grants: false, ..plan.clone() };
        let gateway = match Gateway::start(&good) {
            Ok(gateway) => gateway,
            Err(NoGateway::Refused(line) | NoGateway::Broken(line)) => {
                return Err(format!("the gateway does not start: {line}"));
            }
        };
        let taken = if plan.no_grants {
            gateway.reload_without_grants()?
        } else {
            gateway.reload(&plan.grants, plan.pack.as_ref())?
        };
        if taken {
            findings.add(Findings::failed("refused at the start, but taken while it runs"));
        }
        let seen = Scene::new(self, gateway, plan.grants.clone()).play(case, faults)?;
        let mut rest = without(&case.must_hold, &["status_", "upstream_requests", "audit_has", "audit_field_equals"]);
        if let Some(texts) = rest.list_at(&["body_lacks"]) {
            // The good policy stays in force, and releases what it releases.
            texts.retain(|text| !text.as_str().is_some_and(|text| text.starts_with("OK-")));
        }
        findings.add(verdict(case, faults, seen, &rest, false));
        let why = line.split("\"error\":").last().unwrap_or(line).chars().take(120).collect::<String>();
        Ok((findings, Some(format!("not loaded ({})", why.trim()))))
    }

    fn plan(&self, case: &Case, pack: Option<Pack>) -> Result<Plan<'_>, String> {
        let mut grants = vec![case.grant.clone()];
        let key = |grant: &Json| (grant.at("client").clone(), grant.at("purpose").clone());
        for step in &case.setup {
            if let Some(name) = step.at("grant").as_str() {
                let named = self.grants.get(name).ok_or_else(|| format!("setup.grant {name}"))?;
                if named.at("id") != case.grant.at("id") {
                    grants.retain(|have| key(have) != key(named) || have.at("id") == case.grant.at("id"));
                    if grants.iter().any(|have| key(have) == key(named)) {
                        return Err(format!("setup.grant {name} beside {}", case.grant.at("id")));
                    }
                    grants.push(named.clone());
                }
            }
        }
        // A step that must succeed under another purpose than the case's needs the grant that lets it.
        let succeeds =
            |step: &Json| *step.at("must_hold").at("status_in") == json!([200]) && step.at("as") == "payer-a";
        if let Some(usual) = self.grants.get("G1").filter(|_| case.setup.iter().any(succeeds))
            && !grants.iter().any(|have| key(have) == key(usual))
        {
            grants.push(usual.clone());
        }
        if !grants.iter().any(|have| have.at("client") == "payer-b") {
            grants.push(self.other.clone());
        }
        let mtls = certificate(case);
        let tls = match &mtls {
            Some(name) if name == "revoked" => {
                let pinned = self.authority.client("payer-a")?;
                Some(Tls::mutual(&self.authority, Some(&pinned))?)
            }
            Some(_) => Some(Tls::mutual(&self.authority, None)?),
            None if has_h2(case) => Some(Tls::plain(&self.authority)?),
            None => None,
        };
        Ok(Plan {
            grants: grants.iter().map(grant::translate).collect(),
            pack,
            no_grants: false,
            tls,
            keys: &self.keys,
            ehr: &self.ehr,
            options: &self.options,
        })
    }
}

/// Features that the gateway has not, and has.
const ABSENT: [&str; 8] =
    ["token endpoint", "introspection", "resolve", "write", "Subscription", "bulk", "$export", "websocket"];
const PRESENT: [&str; 7] = ["HTTP/2", "h2", "mTLS", "mtls", "cache", "paging", "POST search"];

fn verdict(case: &Case, faults: &[Fault], seen: Seen, must_hold: &Json, is_own: bool) -> Findings {
    let disturbs = |fault: &Fault| matches!(fault, Fault::AuditFull | Fault::AuditHang | Fault::Kill);
    let is_open_door = seen.all_records.is_empty() && seen.good_revision.as_deref() == Some("open door");
    let is_undisturbed = !faults.iter().any(disturbs);
    let is_flood = names(case.request.at("h2"), &["$attack"]);
    let scope = hold::Scope {
        canaries: !is_own && case.grant.at("client") == "payer-a" && !names(&case.request, &["simultaneously"]),
        is_undisturbed: is_undisturbed && !faults.contains(&Fault::UpstreamDown),
        is_counted: is_undisturbed && !is_flood && !is_open_door,
    };
    let mut findings = if is_open_door {
        hold::judge(&without(must_hold, &["audit_", "verifier_"]), &seen)
    } else {
        hold::judge(must_hold, &seen)
    };
    findings.failed.extend(seen.setup_failed.iter().cloned());
    for found in hold::invariants(&seen, scope).failed {
        if !findings.failed.iter().any(|have| have.ends_with(&found)) {
            findings.failed.push(found);
        }
    }
    findings
}

/// A `must_hold` without keys that begin so. Where an alternative consists of nothing else, it holds.
fn without(must_hold: &Json, beginnings: &[&str]) -> Json {
    let mut rest = must_hold.clone();
    if let Some(keys) = rest.as_object_mut() {
        keys.retain(|key, _| !beginnings.iter().any(|beginning| key.starts_with(beginning)));
        if let Some(alternatives) = keys.get_mut("any_of").and_then(Json::as_array_mut) {
            alternatives.iter_mut().for_each(|one| *one = without(one, beginnings));
        }
    }
    rest
}

/// Whether an object has one of these members, itself or below.
fn names(value: &Json, members: &[&str]) -> bool {
    match value {
        Json::Object(own) => own
            .iter()
            .any(|(name, value)| (members.contains(&name.as_str()) && !value.is_null()) || names(value, members)),
        Json::Array(items) => items.iter().any(|item| names(item, members)),
        _ => false,
    }
}

fn certificate(case: &Case) -> Option<String> {
    let requests = std::iter::once(&case.request).chain(case.setup.iter().map(|step| step.at("request")));
    requests.into_iter().find_map(|request| request.at("mtls").at("cert").as_str().map(ToOwned::to_owned))
}

fn has_h2(case: &Case) -> bool {
    names(&case.request, &["h2"]) || case.setup.iter().any(|step| names(step, &["h2"]))
}
