//! Numbers about the gateway, for Prometheus.
//!
//! Takes: events by plain methods, labelled with the enums below. Gives: the text exposition format.
//! Guarantees: every label value is one of a fixed list, so that no request can add a series and no identifier
//! can become one; all counters are looked up at start, so that counting is one atomic addition.
//! Refuses: labels made of text.

use std::marker::PhantomData;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// The registry could not be built or written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// Two metrics of one name, or a name that the format does not allow.
    #[error("metric definition")]
    Definition,
    /// The exposition text could not be produced.
    #[error("metric exposition")]
    Exposition,
}

/// A label with a fixed list of values.
pub trait Label: Copy + Sized + 'static {
    /// All values, in the order of their discriminants.
    const ALL: &'static [Self];
    /// The value as Prometheus sees it.
    fn name(self) -> &'static str;
    /// Its place in [`Self::ALL`].
    fn index(self) -> usize;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $label:ident { $($(#[$value_doc:meta])* $value:ident = $name:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $label { $($(#[$value_doc])* $value,)+ }

        impl Label for $label {
            const ALL: &'static [Self] = &[$(Self::$value,)+];

            fn name(self) -> &'static str {
                match self { $(Self::$value => $name,)+ }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    )+};
}

labels! {
    /// What was asked, as far as it was understood.
    Asked {
        /// A read by id.
        Read = "read",
        /// A search, by GET or POST.
        Search = "search",
        /// The next page of a search.
        Page = "page",
        /// Several requests in one.
        Batch = "batch",
        /// A patient's `$everything`.
        Operation = "operation",
        /// The CapabilityStatement or the SMART configuration.
        Capabilities = "capabilities",
        /// Not understood, or refused before that.
        Unknown = "unknown",
    }
    /// How an exchange ended.
    Outcome {
        /// With what was asked, or the permitted part of it.
        Answered = "answered",
        /// The client was not identified.
        Unidentified = "unidentified",
        /// The client had too much at work.
        Crowded = "crowded",
        /// The request was not accepted or not understood.
        Malformed = "malformed",
        /// The policy did not permit it, or nothing permitted was there.
        Denied = "denied",
        /// The EHR gave no usable answer.
        Upstream = "upstream",
        /// The gateway could not do its part: audit, policy or an error of its own.
        Failed = "failed",
    }
    /// What was done with one resource.
    Verdict {
        /// Sent as it came.
        Released = "released",
        /// Sent without some of its elements.
        Redacted = "redacted",
        /// Not sent.
        Withheld = "withheld",
    }
    /// Why a resource was not sent.
    Reason {
        /// Nobody is known to answer for it whom the decision accepts.
        Authorship = "authorship",
        /// Holds a code that means a withheld label.
        Computed = "computed_label",
        /// Outside the constraints of the decision.
        Constraint = "constraint",
        /// Comes along with nothing that is released.
        Include = "include",
        /// Carries a security label that the decision withholds.
        Label = "label",
        /// Has no usable type or id.
        Malformed = "malformed",
        /// Holds a modifier extension.
        Modifier = "modifier_extension",
        /// Of a patient outside the permit.
        Patient = "patient",
        /// Not an answer to what was asked.
        Query = "query",
        /// Is signed, and could leave only in part or altered.
        Signed = "signed",
        /// Does not prove whose record it is.
        Subject = "subject",
        /// Of a type outside the permit.
        Type = "type",
    }
    /// Who is known to answer for a record.
    Authorship {
        /// What is known contradicts itself.
        Contradicted = "contradicted",
        /// Nobody.
        Unknown = "unknown",
        /// An exchange.
        Hie = "asserted_by_hie",
        /// The organisation that it comes from.
        Source = "asserted_by_source",
        /// Whoever signed it.
        Verified = "verified",
    }
    /// How a request to the EHR ended.
    Upstream {
        /// A status of success.
        Success = "success",
        /// A status from 400 to 499.
        ClientError = "client_error",
        /// Any other status.
        ServerError = "server_error",
        /// No connection.
        Connect = "connect",
        /// No answer in time.
        Timeout = "timeout",
        /// An answer cut short or not HTTP.
        Broken = "broken",
        /// Not sent: all connections in use.
        Busy = "busy",
        /// Not sent: the EHR failed too often just before.
        CutOff = "cut_off",
    }
    /// What shows that the EHR ignored a parameter that narrows a search.
    Evidence {
        /// The self link, which states what was searched for, leaves it out.
        SelfLink = "self_link",
        /// A resource came that the parameter excludes.
        Content = "content",
    }
    /// What the answer cache had.
    Cache {
        /// The answer.
        Hit = "hit",
        /// Nothing, or something too old.
        Miss = "miss",
        /// It was not asked.
        Bypass = "bypass",
    }
    /// What a decision said.
    Effect {
        /// Permit.
        Permit = "permit",
        /// Deny, by the policy's own words.
        Deny = "deny",
        /// Deny, because the evaluation failed.
        Error = "error",
    }
    /// Who took a decision.
    Engine {
        /// The compiled policy.
        Fast = "fast",
        /// The reference interpreter.
        Reference = "reference",
        /// Remembered from an equal input.
        Remembered = "remembered",
    }
    /// What the rim did with a connection or request before any step saw it.
    Rim {
        /// Connection closed: too many open.
        ConnectionLimit = "connection_limit",
        /// Connection closed: too many open from that address.
        PeerLimit = "peer_limit",
        /// Connection closed: the TLS handshake failed or took too long.
        Handshake = "handshake",
        /// Connection closed: a deadline of the peer passed.
        Slow = "slow",
        /// Request refused with 503: too many in flight.
        Shed = "shed",
        /// Request whose head is no HTTP that can be read in one way.
        Unreadable = "unreadable",
        /// Request without an answer: the handler panicked.
        Panic = "panic",
    }
}

/// Counters of one label.
#[derive(Debug)]
struct Family<L>(Vec<IntCounter>, PhantomData<fn(L)>);

impl<L: Label> Family<L> {
    fn new(registry: &Registry, name: &str, help: &str, label: &str) -> Result<Self, MetricsError> {
        let vector = counters(registry, name, help, &[label])?;
        Ok(Self(L::ALL.iter().map(|value| vector.with_label_values(&[value.name()])).collect(), PhantomData))
    }

    fn add(&self, label: L, count: u64) {
        if let Some(counter) = self.0.get(label.index()) {
            counter.inc_by(count);
        }
    }
}

/// Counters of two labels.
#[derive(Debug)]
struct Grid<A, B>(Vec<IntCounter>, PhantomData<fn(A, B)>);

impl<A: Label, B: Label> Grid<A, B> {
    fn new(registry: &Registry, name: &str, help: &str, labels: [&str; 2]) -> Result<Self, MetricsError> {
        let vector = counters(registry, name, help, &labels)?;
        let cells = A::ALL.iter().flat_map(|one| B::ALL.iter().map(|two| [one.name(), two.name()]));
        Ok(Self(cells.map(|names| vector.with_label_values(&names)).collect(), PhantomData))
    }

    fn add(&self, one: A, two: B) {
        if let Some(counter) = self.0.get(one.index() * B::ALL.len() + two.index()) {
            counter.inc();
        }
    }
}

/// All metrics of one gateway, shared by its cores.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    exchanges: Grid<Asked, Outcome>,
    exchange_seconds: Histogram,
    resources: Family<Verdict>,
    withheld: Family<Reason>,
    authorship: Family<Authorship>,
    upstream: Family<Upstream>,
    ignored: Family<Evidence>,
    cache: Family<Cache>,
    decisions: Grid<Effect, Engine>,
    audit_records: IntCounter,
    audit_failures: IntCounter,
    audit_outstanding: IntGauge,
    audit_seconds: Histogram,
    rim: Family<Rim>,
    connections: IntGauge,
}

impl Metrics {
    /// All metrics at zero, in a registry of their own.
    ///
    /// # Errors
    /// [`MetricsError::Definition`], which a test rules out.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let r = &registry;
        Ok(Self {
            exchanges: Grid::new(
                r,
                "portcullis_exchanges_total",
                "Exchanges, by what was asked and how they ended.",
                ["interaction", "outcome"],
            )?,
            exchange_seconds: histogram(
                r,
                "portcullis_exchange_seconds",
                "Time from the head of a request to the head of its answer.",
            )?,
            resources: Family::new(r, "portcullis_resources_total", "Resources that the EHR returned.", "verdict")?,
            withheld: Family::new(r, "portcullis_withheld_total", "Resources not sent, by reason.", "reason")?,
            authorship: Family::new(
                r,
                "portcullis_authorship_total",
                "Records whose authorship was judged, by who is known to answer for them.",
                "verdict",
            )?,
            upstream: Family::new(r, "portcullis_upstream_requests_total", "Requests to the EHR.", "outcome")?,
            ignored: Family::new(
                r,
                "portcullis_upstream_ignored_total",
                "Answers in which the EHR ignored a narrowing parameter, by what shows it.",
                "evidence",
            )?,
            cache: Family::new(r, "portcullis_cache_total", "Look-ups in the answer cache.", "result")?,
            decisions: Grid::new(r, "portcullis_decisions_total", "Decisions taken.", ["effect", "engine"])?,
            audit_records: counter(r, "portcullis_audit_records_total", "Audit records made durable.")?,
            audit_failures: counter(r, "portcullis_audit_failures_total", "Audit records that could not be written.")?,
            audit_outstanding: gauge(r, "portcullis_audit_outstanding", "Audit records reserved and not yet durable.")?,
            audit_seconds: histogram(r, "portcullis_audit_seconds", "Time until an audit record was durable.")?,
            rim: Family::new(r, "portcullis_rim_total", "Connections and requests stopped at the rim.", "event")?,
            connections: gauge(r, "portcullis_connections", "Client connections open.")?,
            registry,
        })
    }

    /// One exchange ended.
    pub fn exchange(&self, asked: Asked, outcome: Outcome, taken: Duration) {
        self.exchanges.add(asked, outcome);
        self.exchange_seconds.observe(taken.as_secs_f64());
    }

    /// `count` resources met the same verdict.
    pub fn resources(&self, verdict: Verdict, count: u64) {
        self.resources.add(verdict, count);
    }

    /// `count` resources were withheld for the same reason.
    pub fn withheld(&self, reason: Reason, count: u64) {
        self.withheld.add(reason, count);
    }

    /// `count` records met the same verdict on who is responsible for them.
    pub fn authorship(&self, verdict: Authorship, count: u64) {
        self.authorship.add(verdict, count);
    }

    /// One request to the EHR ended.
    pub fn upstream(&self, outcome: Upstream) {
        self.upstream.add(outcome, 1);
    }

    /// The EHR ignored a narrowing parameter in one answer.
    pub fn ignored(&self, evidence: Evidence) {
        self.ignored.add(evidence, 1);
    }

    /// The answer cache was asked.
    pub fn cache(&self, result: Cache) {
        self.cache.add(result, 1);
    }

    /// One decision was taken.
    pub fn decision(&self, effect: Effect, engine: Engine) {
        self.decisions.add(effect, engine);
    }

    /// One audit record became durable, `taken` after it was handed over.
    pub fn audit_record(&self, taken: Duration) {
        self.audit_records.inc();
        self.audit_seconds.observe(taken.as_secs_f64());
    }

    /// One audit record could not be written.
    pub fn audit_failure(&self) {
        self.audit_failures.inc();
    }

    /// Audit records that are reserved and not yet durable.
    pub fn audit_outstanding(&self, count: usize) {
        self.audit_outstanding.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Something was stopped at the rim.
    pub fn rim(&self, event: Rim) {
        self.rim.add(event, 1);
    }

    /// A client connection was opened.
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// A client connection was closed.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// Everything, in the text exposition format.
    ///
    /// # Errors
    /// [`MetricsError::Exposition`].
    pub fn render(&self) -> Result<String, MetricsError> {
        TextEncoder::new().encode_to_string(&self.registry.gather()).map_err(|_| MetricsError::Exposition)
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, MetricsError> {
    registry.register(Box::new(metric.clone())).map_err(|_| MetricsError::Definition)?;
    Ok(metric)
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, MetricsError> {
    let vector = IntCounterVec::new(Opts::new(name, help), labels).map_err(|_| MetricsError::Definition)?;
    register(registry, vector)
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, MetricsError> {
    register(registry, IntCounter::new(name, help).map_err(|_| MetricsError::Definition)?)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, MetricsError> {
    register(registry, IntGauge::new(name, help).map_err(|_| MetricsError::Definition)?)
}

/// From half a millisecond, an answer out of the cache, to half a minute, where clients give up.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

fn histogram(registry: &Registry, name: &str, help: &str) -> Result<Histogram, MetricsError> {
    let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
    register(registry, Histogram::with_opts(options).map_err(|_| MetricsError::Definition)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'t>(text: &'t str, series: &str) -> &'t str {
        text.lines()
            .find_map(|line| line.strip_prefix(series))
            .unwrap_or_else(|| panic!("no {series} in\n{text}"))
            .trim()
    }

    #[test]
    fn every_event_moves_its_own_series() {
        let metrics = Metrics::new().unwrap();
        metrics.exchange(Asked::Search, Outcome::Denied, Duration::from_millis(3));
        metrics.resources(Verdict::Withheld, 7);
        metrics.withheld(Reason::Label, 4);
        metrics.upstream(Upstream::CutOff);
        metrics.ignored(Evidence::Content);
        metrics.cache(Cache::Hit);
        metrics.decision(Effect::Error, Engine::Reference);
        metrics.audit_record(Duration::from_millis(1));
        metrics.audit_failure();
        metrics.audit_outstanding(12);
        metrics.rim(Rim::Panic);
        metrics.connection_opened();
        metrics.connection_opened();
        metrics.connection_closed();
        let text = metrics.render().unwrap();
        for (series, value) in [
            ("portcullis_exchanges_total{interaction=\"search\",outcome=\"denied\"}", "1"),
            ("portcullis_exchanges_total{interaction=\"search\",outcome=\"answered\"}", "0"),
            ("portcullis_exchanges_total{interaction=\"read\",outcome=\"denied\"}", "0"),
            ("portcullis_exchange_seconds_bucket{le=\"0.0025\"}", "0"),
            ("portcullis_exchange_seconds_bucket{le=\"0.005\"}", "1"),
            ("portcullis_resources_total{verdict=\"withheld\"}", "7"),
            ("portcullis_withheld_total{reason=\"label\"}", "4"),
            ("portcullis_upstream_requests_total{outcome=\"cut_off\"}", "1"),
            ("portcullis_upstream_ignored_total{evidence=\"content\"}", "1"),
            ("portcullis_upstream_ignored_total{evidence=\"self_link\"}", "0"),
            ("portcullis_cache_total{result=\"hit\"}", "1"),
            ("portcullis_decisions_total{effect=\"error\",engine=\"reference\"}", "1"),
            ("portcullis_decisions_total{effect=\"error\",engine=\"fast\"}", "0"),
            ("portcullis_audit_records_total", "1"),
            ("portcullis_audit_failures_total", "1"),
            ("portcullis_audit_outstanding", "12"),
            ("portcullis_rim_total{event=\"panic\"}", "1"),
            ("portcullis_connections", "1"),
        ] {
            assert_eq!(line(&text, &format!("{series} ")), value, "{series}");
        }
    }

    #[test]
    fn every_label_has_its_place() {
        fn check<L: Label + PartialEq + std::fmt::Debug>() {
            for (place, value) in L::ALL.iter().enumerate() {
                assert_eq!(value.index(), place);
                assert!(value.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            }
        }
        check::<Asked>();
        check::<Outcome>();
        check::<Verdict>();
        check::<Reason>();
        check::<Upstream>();
        check::<Evidence>();
        check::<Cache>();
        check::<Effect>();
        check::<Engine>();
        check::<Rim>();
    }

    #[test]
    fn series_exist_before_anything_happened() {
        let text = Metrics::new().unwrap().render().unwrap();
        let series = Asked::ALL.len() * Outcome::ALL.len();
        assert_eq!(text.matches("portcullis_exchanges_total{").count(), series);
    }
}
