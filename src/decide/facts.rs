//! What is known about patients beyond the request.
//!
//! Takes: Coverage and Consent resources and roster memberships, fetched by others and proved to be the
//! patient's. Gives: [`Facts`], reduced to what policies may compare. Guarantees: displays and free text are
//! left behind; civil dates only. Refuses: a resource of another shape is no fact; a Consent with parts that
//! are not modelled says so ([`ConsentFact::supported`]), so that policy can read it at its narrowest.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::roster::{Membership, civil};
use crate::fhir::date::Span;
use crate::fhir::json::{Kind, Value};
use crate::fhir::name::Id;
use crate::limits;

/// What is known, by patient.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The patients that the request is about.
    pub patients: BTreeMap<Id, PatientFacts>,
}

/// What is known about one patient.
#[derive(Clone, Debug, Default)]
pub struct PatientFacts {
    /// Coverages of the patient.
    pub coverage: Vec<CoverageFact>,
    /// Consents of the patient.
    pub consents: Vec<ConsentFact>,
    /// The patient's stays on rosters.
    pub roster: Vec<Membership>,
}

/// `system|code`, or `system|value` of an identifier; an absent system is empty.
pub type Code = Box<str>;

/// A Coverage (R4), reduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoverageFact {
    /// `Coverage.status`.
    pub status: Box<str>,
    /// Literal references among `payor`, as written.
    pub payor_references: Vec<Box<str>>,
    /// Logical references among `payor`.
    pub payor_identifiers: Vec<Code>,
    /// `subscriberId`.
    pub subscriber_id: Option<Box<str>>,
    /// The codes of `type`.
    pub types: Vec<Code>,
    /// First day of `period`.
    pub start: Option<Date>,
    /// Last day of `period`.
    pub end: Option<Date>,
}

impl CoverageFact {
    /// Reduces a resource. `None` where it is no Coverage of R4's shape, or a modifier extension changes what it means.
    pub fn of(resource: Value<'_>) -> Option<Self> {
        of_type(resource, "Coverage")?;
        let mut fact = Self {
            status: text(resource, "status")??,
            payor_references: Vec::new(),
            payor_identifiers: Vec::new(),
            subscriber_id: text(resource, "subscriberId")?,
            types: concept(resource, "type")?,
            start: None,
            end: None,
        };
        for payor in array(resource, "payor")? {
            let (reference, identifier) = (text(payor, "reference")?, identifier(payor)?);
            if reference.is_none() && identifier.is_none() {
                return None;
            }
            fact.payor_references.extend(reference);
            fact.payor_identifiers.extend(identifier);
        }
        (fact.start, fact.end) = period(resource, "period")?;
        Some(fact)
    }
}

/// A Consent (R4), reduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentFact {
    /// `Consent.status`.
    pub status: Box<str>,
    /// The codes of `scope`.
    pub scope: Vec<Code>,
    /// The codes of all `category`.
    pub category: Vec<Code>,
    /// The day of `dateTime`.
    pub date: Option<Date>,
    /// `policy.uri` and the codes of `policyRule`.
    pub policy: Vec<Box<str>>,
    /// Whether everything that can change its meaning is in `provisions`.
    pub supported: bool,
    /// The root provision and those nested in it, outer before inner.
    pub provisions: Vec<Provision>,
}

/// One provision; all stated conditions hold together, an absent one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provision {
    /// 0 is the root.
    pub level: u32,
    /// `permit` or `deny`; empty where nothing is said.
    pub decision: Box<str>,
    /// First day of `period`.
    pub start: Option<Date>,
    /// Last day of `period`.
    pub end: Option<Date>,
    /// Literal references of all `actor`.
    pub actors: Vec<Box<str>>,
    /// `action`.
    pub actions: Vec<Code>,
    /// `securityLabel`.
    pub labels: Vec<Code>,
    /// `purpose`.
    pub purposes: Vec<Code>,
    /// `class`.
    pub classes: Vec<Code>,
    /// `code`.
    pub codes: Vec<Code>,
    /// First day of `dataPeriod`.
    pub data_start: Option<Date>,
    /// Last day of `dataPeriod`.
    pub data_end: Option<Date>,
}

/// Members of a provision that are modelled; with any other, a Consent is not supported.
const PROVISION: &[&str] = &[
    "id",
    "type",
    "period",
    "actor",
    "action",
    "securityLabel",
    "purpose",
    "class",
    "code",
    "dataPeriod",
    "provision",
];

impl ConsentFact {
    /// Reduces a resource. `None` where it is no Consent at all; parts that are not understood make it unsupported.
    pub fn of(resource: Value<'_>) -> Option<Self> {
        if text(resource, "resourceType")?.as_deref() != Some("Consent") {
            return None;
        }
        let mut fact = Self {
            status: text(resource, "status")??,
            scope: Vec::new(),
            category: Vec::new(),
            date: None,
            policy: Vec::new(),
            supported: true,
            provisions: Vec::new(),
        };
        fact.supported = fact.head(resource).is_some()
            && resource.get("provision").is_none_or(|root| fact.provision(root, 0).is_some());
        Some(fact)
    }

    fn head(&mut self, resource: Value<'_>) -> Option<()> {
        let modified = resource.get("modifierExtension").is_some() || resource.get("implicitRules").is_some();
        self.scope = concept(resource, "scope")?;
        self.category = concepts(resource, "category")?;
        self.date = text(resource, "dateTime")?.map(|text| first_day(&text)).map_or(Some(None), |day| day.map(Some))?;
        for policy in array(resource, "policy")? {
            self.policy.push(text(policy, "uri")??);
        }
        self.policy.extend(concept(resource, "policyRule")?);
        (!modified).then_some(())
    }

    fn provision(&mut self, value: Value<'_>, level: u32) -> Option<()> {
        if level > limits::CONSENT_NESTING || value.kind() != Kind::Object {
            return None;
        }
        let mut provision =
            Provision { level, decision: text(value, "type")?.unwrap_or_default(), ..Default::default() };
        let at = self.provisions.len();
        let read = provision.conditions(value);
        let stated = matches!(&*provision.decision, "permit" | "deny");
        self.provisions.push(provision);
        let mut supported = read.is_some() && stated && value.members().all(|member| PROVISION.contains(&member.name));
        for nested in array(value, "provision")? {
            supported &= self.provision(nested, level + 1).is_some();
        }
        (supported && self.provisions.len() > at).then_some(())
    }
}

impl Provision {
    fn conditions(&mut self, value: Value<'_>) -> Option<()> {
        (self.start, self.end) = period(value, "period")?;
        (self.data_start, self.data_end) = period(value, "dataPeriod")?;
        for actor in array(value, "actor")? {
            self.actors.push(text(actor.get("reference")?, "reference")??);
        }
        self.actions = concepts(value, "action")?;
        self.labels = codings(value, "securityLabel")?;
        self.purposes = codings(value, "purpose")?;
        self.classes = codings(value, "class")?;
        self.codes = concepts(value, "code")?;
        Some(())
    }
}

fn of_type(resource: Value<'_>, name: &str) -> Option<()> {
    let unmodified = resource.get("modifierExtension").is_none() && resource.get("implicitRules").is_none();
    (text(resource, "resourceType")?.as_deref() == Some(name) && unmodified).then_some(())
}

/// The string member: outer `None` is another kind, inner `None` is absent.
fn text(value: Value<'_>, name: &str) -> Option<Option<Box<str>>> {
    match value.get(name) {
        None => Some(None),
        Some(value) => value.text().map(|text| Some(text.into())),
    }
}

/// The items of an array member; none where it is absent, `None` where it is no array of objects.
fn array<'d>(value: Value<'d>, name: &str) -> Option<Vec<Value<'d>>> {
    let Some(value) = value.get(name) else { return Some(Vec::new()) };
    let items: Vec<Value<'d>> = value.items().collect();
    let objects = value.kind() == Kind::Array && items.iter().all(|item| item.kind() == Kind::Object);
    (objects && items.len() <= limits::FACT_ITEMS).then_some(items)
}

/// One Coding; without a code it stands for nothing that can be compared.
fn coding(value: Value<'_>) -> Option<Code> {
    let (system, code) = (text(value, "system")?.unwrap_or_default(), text(value, "code")??);
    Some(format!("{system}|{code}").into())
}

fn codings(value: Value<'_>, name: &str) -> Option<Vec<Code>> {
    array(value, name)?.into_iter().map(coding).collect()
}

/// The codings of one CodeableConcept.
fn concept(value: Value<'_>, name: &str) -> Option<Vec<Code>> {
    match value.get(name) {
        None => Some(Vec::new()),
        Some(concept) if concept.kind() == Kind::Object => codings(concept, "coding"),
        Some(_) => None,
    }
}

/// The codings of a list of CodeableConcepts; one without codings cannot be compared.
fn concepts(value: Value<'_>, name: &str) -> Option<Vec<Code>> {
    let mut codes = Vec::new();
    for concept in array(value, name)? {
        let of_concept = codings(concept, "coding")?;
        if of_concept.is_empty() {
            return None;
        }
        codes.extend(of_concept);
    }
    Some(codes)
}

fn identifier(reference: Value<'_>) -> Option<Option<Code>> {
    let Some(identifier) = reference.get("identifier") else { return Some(None) };
    let (system, value) = (text(identifier, "system")?.unwrap_or_default(), text(identifier, "value")??);
    Some(Some(format!("{system}|{value}").into()))
}

/// First and last day of a Period member; both open where it is absent.
fn period(value: Value<'_>, name: &str) -> Option<(Option<Date>, Option<Date>)> {
    let Some(period) = value.get(name) else { return Some((None, None)) };
    if period.kind() != Kind::Object {
        return None;
    }
    let bound = |name, day: fn(&str) -> Option<Date>| match text(period, name)? {
        None => Some(None),
        Some(text) => day(&text).map(Some),
    };
    let (start, end) = (bound("start", first_day)?, bound("end", last_day)?);
    (!matches!((start, end), (Some(start), Some(end)) if end < start)).then_some((start, end))
}

/// The first day that a date or dateTime of any precision stands for; the day as written, whatever its time zone.
fn first_day(text: &str) -> Option<Date> {
    Span::parse(text)?;
    match text.len() {
        4 => civil(&format!("{text}-01-01")),
        7 => civil(&format!("{text}-01")),
        _ => civil(text.get(..10)?),
    }
}

/// The last such day.
fn last_day(text: &str) -> Option<Date> {
    let first = first_day(text)?;
    match text.len() {
        4 => Some(first.last_of_year()),
        7 => Some(first.last_of_month()),
        _ => Some(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::json::Tape;

    fn coverage(text: &str) -> Option<CoverageFact> {
        let mut tape = Tape::new();
        CoverageFact::of(tape.read(text.as_bytes()).unwrap().root())
    }

    fn consent(text: &str) -> Option<ConsentFact> {
        let mut tape = Tape::new();
        ConsentFact::of(tape.read(text.as_bytes()).unwrap().root())
    }

    #[test]
    fn a_coverage_is_reduced_to_what_can_be_compared() {
        let fact = coverage(
            r#"{"resourceType":"Coverage","status":"active","subscriberId":"S1",
                "type":{"coding":[{"system":"sys","code":"EHCPOL"}]},"period":{"start":"2024","end":"2024-06"},
                "payor":[{"reference":"Organization/a","display":"SECRET"},{"identifier":{"system":"naic","value":"7"}}]}"#,
        )
        .unwrap();
        assert_eq!(&*fact.status, "active");
        assert_eq!(fact.payor_references, ["Organization/a".into()]);
        assert_eq!(fact.payor_identifiers, ["naic|7".into()]);
        assert_eq!(fact.types, ["sys|EHCPOL".into()]);
        assert_eq!((fact.start, fact.end), (civil("2024-01-01"), civil("2024-06-30")));
        assert!(!format!("{fact:?}").contains("SECRET"));
        let timed = coverage(
            r#"{"resourceType":"Coverage","status":"active","payor":[{"reference":"Organization/a"}],
                "period":{"start":"2024-02-03T23:59:00-05:00"}}"#,
        );
        assert_eq!(timed.unwrap().start, civil("2024-02-03"));
    }

    #[test]
    fn a_coverage_of_another_shape_is_no_fact() {
        for bad in [
            r#"{"resourceType":"Consent","status":"active"}"#,
            r#"{"resourceType":"Coverage"}"#,
            r#"{"resourceType":"Coverage","status":["active"]}"#,
            r#"{"resourceType":"Coverage","status":"active","modifierExtension":[{"url":"x"}]}"#,
            r#"{"resourceType":"Coverage","status":"active","implicitRules":"http://x"}"#,
            r#"{"resourceType":"Coverage","status":"active","payor":{"reference":"Organization/a"}}"#,
            r#"{"resourceType":"Coverage","status":"active","payor":[{"display":"Payer A"}]}"#,
            r#"{"resourceType":"Coverage","status":"active","payor":[{"reference":7}]}"#,
            r#"{"resourceType":"Coverage","status":"active","payor":[],"period":{"start":"soon"}}"#,
            r#"{"resourceType":"Coverage","status":"active","payor":[],"period":{"start":"2025","end":"2024"}}"#,
            r#"{"resourceType":"Coverage","status":"active","payor":[],"type":{"coding":[{"system":"s"}]}}"#,
        ] {
            assert_eq!(coverage(bad), None, "{bad}");
        }
    }

    const DENY: &str = r#"{"resourceType":"Consent","status":"active",
        "scope":{"coding":[{"system":"s","code":"patient-privacy"}]},"category":[{"coding":[{"system":"l","code":"c"}]}],
        "dateTime":"2024-01-01","policy":[{"uri":"urn:p"}],"policyRule":{"coding":[{"system":"a","code":"OPTIN"}]},
        "provision":{"type":"permit","period":{"start":"2024-01-01"},"provision":[{"type":"deny",
            "securityLabel":[{"system":"v3","code":"PSY"}],"purpose":[{"system":"r","code":"HPAYMT"}],
            "actor":[{"role":{},"reference":{"reference":"Organization/a"}}],"action":[{"coding":[{"system":"x","code":"disclose"}]}]}]}}"#;

    #[test]
    fn provisions_are_flattened_outer_before_inner() {
        let fact = consent(DENY).unwrap();
        assert!(fact.supported);
        assert_eq!(fact.policy, ["urn:p".into(), "a|OPTIN".into()]);
        assert_eq!(fact.date, civil("2024-01-01"));
        let levels: Vec<(u32, &str)> = fact.provisions.iter().map(|one| (one.level, &*one.decision)).collect();
        assert_eq!(levels, [(0, "permit"), (1, "deny")]);
        assert_eq!(fact.provisions[1].labels, ["v3|PSY".into()]);
        assert_eq!(fact.provisions[1].actors, ["Organization/a".into()]);
        assert_eq!(fact.provisions[0].start, civil("2024-01-01"));
    }

    #[test]
    fn what_is_not_modelled_makes_a_consent_unsupported_but_never_invisible() {
        for (from, to) in [
            (r#""status":"active","#, r#""status":"active","modifierExtension":[{"url":"x"}],"#),
            (r#""type":"deny","#, r#""type":"deny","data":[{"meaning":"instance"}],"#),
            (r#""type":"deny","#, r#""type":"deny","extension":[{"url":"x"}],"#),
            (r#""type":"deny","#, r#""type":"refuse","#),
            (r#""type":"deny","#, ""),
            (r#""code":"PSY""#, r#""display":"psych""#),
            (r#"{"reference":"Organization/a"}"#, r#"{"display":"Payer A"}"#),
            (r#""dateTime":"2024-01-01""#, r#""dateTime":"lately""#),
            (r#"[{"coding":[{"system":"x","code":"disclose"}]}]"#, r#"[{"text":"disclose"}]"#),
            (r#""action":"#, r#""provision":[{"type":"permit","provision":[{"type":"deny"}]}],"action":"#),
        ] {
            let text = DENY.replacen(from, to, 1);
            assert_ne!(text, DENY, "{from}");
            let fact = consent(&text).unwrap();
            assert!(!fact.supported, "{to}");
            assert_eq!(&*fact.status, "active");
        }
        assert_eq!(consent(r#"{"resourceType":"Coverage","status":"active"}"#), None);
        assert_eq!(consent(r#"{"resourceType":"Consent"}"#), None);
    }
}
