//! What operators see: logs, metrics and health, without anything about a patient or a client.

use std::io::{self, Write};
use std::sync::{LazyLock, Mutex, PoisonError};

use portcullis::cli::token::Wish;
use portcullis::demo::ehr::Behaviour;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::support::answer::Answer;
use crate::support::wire::{Wire, connect};
use crate::support::{Gateway, clinic, gateway, starter};

/// Every log line of this process, at the lowest level there is.
static LOGGED: LazyLock<Captured> = LazyLock::new(|| {
    let layer = tracing_subscriber::fmt::layer().json().with_writer(Captured);
    let subscriber = tracing_subscriber::registry().with(LevelFilter::TRACE).with(layer);
    tracing::subscriber::set_global_default(subscriber).unwrap();
    Captured
});

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

#[derive(Clone, Copy)]
struct Captured;

impl Captured {
    fn text(self) -> String {
        String::from_utf8(LINES.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Captured {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// A patient whose every value is a canary, asked about in every way that ends in a log line.
fn ask_about_canaries(gateway: &Gateway, ehr: &portcullis::demo::ehr::Ehr) -> Vec<String> {
    ehr.put(
        r#"{"resourceType":"Bundle","type":"collection","entry":[
        {"resource":{"resourceType":"Patient","id":"canary-id","name":[{"family":"canary-name"}],"birthDate":"1901-01-01","identifier":[{"system":"http://lanternfield.example/member-id","value":"canary-number"}]}},
        {"resource":{"resourceType":"Observation","id":"canary-observation","status":"final","code":{"text":"canary-code"},"subject":{"reference":"Patient/canary-id"}}}]}"#,
    )
    .unwrap();
    let payer = gateway.payer("lanternfield");
    let wrong = payer.with_token("canary-token");
    let mut ids = Vec::new();
    let mut note = |answer: Answer| ids.push(answer.header("x-request-id").to_owned());
    for target in [
        "/Patient/canary-id",
        "/Observation?patient=canary-id",
        "/Observation/canary-observation",
        "/Patient?identifier=http://lanternfield.example/member-id|canary-number",
        "/Patient?name=canary-name",
        "/Patient?canary-parameter=1",
        "/Patient?name:canary-modifier=1",
        "/Patient?canary.chain=1",
        "/Patient/$canary-operation",
        "/canary-path/canary-path/canary-path",
        "/Patient?_include=canary-include",
        "/_page/canary-link",
    ] {
        note(payer.get(target));
        note(wrong.get(target));
    }
    note(payer.ask("CANARY-METHOD", "/Patient/canary-id").send());
    note(payer.ask("GET", "/Patient/canary-id").header("x-http-method", "canary-override").send());
    note(
        payer
            .ask("GET", "/Patient/canary-id")
            .header("user-agent", "canary-agent")
            .header("accept", "canary/accept")
            .send(),
    );
    note(payer.post("/Patient/_search", "name=canary-name&canary-form=1"));
    for behaviour in [
        Behaviour::faithful().status(500, "{\"canary-body\":1}"),
        Behaviour::faithful().status(200, "{\"canary-body\":1}"),
        Behaviour::faithful().redirect("http://canary-location.example/"),
        Behaviour::faithful().foreign_next_link("http://canary-next.example/"),
        Behaviour::faithful().wrong_content_type("canary/type"),
        Behaviour::faithful().huge(1_000),
    ] {
        ehr.behave(behaviour);
        note(payer.get("/Encounter?patient=canary-id"));
        note(payer.get("/Patient/canary-id"));
    }
    ids
}

#[test]
fn no_log_line_tells_of_a_patient_or_a_token() {
    let logged = *LOGGED;
    for policy in [starter(), crate::support::everything()] {
        let ehr = clinic();
        let gateway = gateway().with_policy(policy).in_front_of(&ehr);
        let token = gateway.payer_who(Wish::of("lanternfield")).token().to_owned();
        let ids = ask_about_canaries(&gateway, &ehr);
        let _ = gateway.reload(&crate::support::policy("default decision := \"canary-policy\""));
        let text = logged.text();
        for id in &ids {
            assert!(text.contains(id.as_str()), "an exchange without its line");
        }
        let telling = text.lines().find(|line| line.to_lowercase().contains("canary"));
        assert_eq!(telling, None);
        let claims = token.split('.').nth(1).unwrap();
        assert!(!text.contains(claims));
        assert!(!text.contains("1901-01-01") && !text.contains("eyJ"), "a birth date or a token");
    }
}

pub(crate) fn ask_admin(gateway: &Gateway, method: &str, path: &str) -> Answer {
    let mut wire = Wire::new(connect(gateway.running().admin_address()));
    wire.send(format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.2\r\n\r\n").as_bytes());
    wire.answer(method == "HEAD").unwrap()
}

/// The series of an exposition: names and labels, without values.
fn series(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut names: Vec<String> = lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect();
    names.sort();
    names
}

#[test]
fn no_request_adds_a_series() {
    let ehr = clinic();
    let gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let before = ask_admin(&gateway, "GET", "/metrics").text().to_owned();
    ask_about_canaries(&gateway, &ehr);
    let after = ask_admin(&gateway, "GET", "/metrics").text().to_owned();
    assert_eq!(series(&before), series(&after));
    assert_ne!(before, after);
    for secret in ["canary", "maren", "lanternfield", "Patient/"] {
        assert!(!after.contains(secret), "{secret}");
    }
}

#[test]
fn metrics_count_what_happened() {
    let ehr = clinic();
    let gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    assert_eq!(payer.get("/Observation?patient=maren").status(), 200);
    assert_eq!(payer.get("/Observation?patient=maren").status(), 200);
    assert_eq!(payer.get("/MedicationRequest?patient=maren").status(), 403);
    assert_eq!(payer.without_token().get("/Patient/maren").status(), 401);
    let text = ask_admin(&gateway, "GET", "/metrics").text().to_owned();
    let value = |start: &str, label: &str| {
        let of = |line: &&str| line.starts_with(start) && line.contains(label);
        let lines: Vec<&str> = text.lines().filter(of).collect();
        lines.iter().map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum::<f64>()
    };
    assert_eq!(value("portcullis_cache", "\"hit\""), 1.0, "{text}");
    assert_eq!(value("portcullis_decisions", "\"deny\""), 1.0, "{text}");
    assert_eq!(value("portcullis_decisions", "\"remembered\""), 1.0, "{text}");
    assert_eq!(value("portcullis_exchanges", "\"unidentified\""), 1.0, "{text}");
    assert!(value("portcullis_withheld", "\"label\"") > 0.0, "{text}");
}

#[test]
fn health_is_told_on_the_operators_address_only() {
    let ehr = clinic();
    let mut gateway = gateway().in_front_of(&ehr);
    let live = ask_admin(&gateway, "GET", "/health/live");
    assert_eq!((live.status(), live.text()), (200, r#"{"live":true}"#));
    let ready = ask_admin(&gateway, "GET", "/health/ready");
    assert_eq!((ready.status(), ready.text()), (200, r#"{"ready":true,"missing":[]}"#));
    assert_eq!(ask_admin(&gateway, "GET", "/fhir/Patient/maren").status(), 404);
    let payer = gateway.payer("lanternfield");
    for path in ["/health/live", "/health/ready", "/metrics"] {
        assert_eq!(payer.ask("GET", "").target(path).send().status(), 404, "{path}");
        assert_eq!(payer.get(path).status(), 400, "{path}");
    }
    gateway.without_account();
    std::fs::remove_dir_all(gateway.file("audit")).unwrap();
    assert_eq!(payer.get("/Patient/maren").status(), 503);
    let unready = ask_admin(&gateway, "GET", "/health/ready");
    assert_eq!((unready.status(), unready.text()), (503, r#"{"ready":false,"missing":["a writable audit log"]}"#));
    assert_eq!(ask_admin(&gateway, "GET", "/health/live").status(), 200);
}
