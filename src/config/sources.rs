//! The registry of sources: whose records an upstream holds, and what is agreed with each.
//!
//! Takes: a TOML file of its own. Gives: [`Sources`]. Guarantees: as for the configuration, everything that is wrong is reported
//! at once, each with its line; trust anchors are read and can be parsed. Refuses: two sources under one identifier, a demand
//! for signatures that nothing could verify, an agreement that ends before it begins, unknown keys.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::Date;
use toml::de::DeTable;

use super::Problem;
use super::file::{Certificates, File};
use super::load::some_text;
use super::raw::{Report, Section};
use crate::fhir::identifier::Identifier;
use crate::fhir::name::ResourceType;
use crate::limits;
use crate::signature::{Dialect, Trust};

/// A checked registry.
#[derive(Clone, Debug)]
pub struct Sources {
    /// `[upstream]`
    pub upstream: UpstreamParty,
    /// `[[source]]`
    pub sources: Vec<Source>,
}

/// `[upstream]`: who it is that records are fetched from.
#[derive(Clone, Debug)]
pub struct UpstreamParty {
    /// `kind`: `ehr` or `exchange`. Required.
    pub kind: UpstreamKind,
    /// `identifiers`: what its organisation is called in Provenance, `system|value`. Default: none, and then nothing can be
    /// told to have been transmitted by it.
    pub identifiers: Vec<Identifier>,
}

/// Whether the upstream's records are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamKind {
    /// `ehr`: it is the source of what it holds.
    Ehr,
    /// `exchange`: it holds records of others.
    Exchange,
}

/// `[[source]]`: an organisation whose records there may be.
#[derive(Clone, Debug)]
pub struct Source {
    /// `identifiers`: `system|value`; the first names it. Required.
    pub identifiers: Vec<Identifier>,
    /// `name`: for people. Required.
    pub name: String,
    /// `validates_authorship` and `types`: for which types it checks who made a record. `validates_authorship` is required.
    pub validates: Validates,
    /// `speakers`: identifiers of assemblers and transmitters that may pass its records on. Default: none but itself.
    pub speakers: Vec<Identifier>,
    /// `meta_sources`: values of `meta.source` that mean it. Default: none.
    pub meta_sources: Vec<String>,
    /// `anchors`: PEM file of the authorities that its signatures must lead to. Default: none, and then none is verified.
    pub anchors: Option<Certificates>,
    /// `revocation_lists`: PEM file of their CRLs (RFC 5280, section 5). With it a certificate counts only if a list of its
    /// issuer is in force and does not name it. Default: none, and then nothing is known of revocation.
    pub revocation_lists: Option<File>,
    /// `signatures`: `accepted` or `demanded`. Default `accepted`.
    pub demands_signature: bool,
    /// `signature_dialect`: the edition of CDex that it signs by, `ci` or `2.1.0`. Default `ci`.
    pub signature_dialect: Dialect,
    /// `exchange_asserts`: whether what an exchange made of its records may leave for payment and operations. Default
    /// `false`.
    pub exchange_asserts: bool,
    /// `agreement`: what was signed with it. Required.
    pub agreement: String,
    /// `valid_from`: first day of the agreement, in UTC. Required.
    pub valid_from: Date,
    /// `valid_to`: last day of the agreement, in UTC. Default: without end.
    pub valid_to: Option<Date>,
}

/// For which types a source validates authorship.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validates {
    /// All.
    All,
    /// None: it is known, and its records go to no payer.
    Nothing,
    /// These.
    Types(Vec<ResourceType>),
}

impl Validates {
    /// Whether it does so for this type.
    pub fn holds(&self, resource_type: ResourceType) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Types(types) => types.contains(&resource_type),
        }
    }
}

impl Sources {
    /// Reads and checks the file at `path` and the trust anchors that it names.
    ///
    /// # Errors
    /// Every mistake, in the order of the file.
    pub fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        let unreadable = |text: String| vec![Problem { file: path.to_owned(), line: None, key: String::new(), text }];
        let file = File::read(path, limits::REGISTRY_FILE_BYTES).map_err(unreadable)?;
        let text = std::str::from_utf8(file.bytes()).map_err(|_| unreadable("is not utf-8 text".to_owned()))?;
        Self::parse(text, path)
    }

    /// Checks `text` as if it stood in a file at `path`, which need not exist.
    ///
    /// # Errors
    /// Every mistake, in the order of the file.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Vec<Problem>> {
        let report = Report::new(path, text);
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            report.add(error.span().map(|span| span.start), "", error.message());
        }
        let sources = if errors.is_empty() { sources(Section::root(&report, document.get_ref())) } else { None };
        match sources.filter(|_| report.is_empty()) {
            Some(sources) => Ok(sources),
            None => Err(report.into_problems()),
        }
    }
}

pub(super) fn sources(mut root: Section<'_>) -> Option<Sources> {
    let upstream = root.required_section("upstream").and_then(upstream);
    let sections = root.sections("source");
    if !root.has("source") {
        root.problem("source", "no source is registered, so nobody's records could leave: write [[source]]");
    }
    if sections.len() > limits::REGISTRY_SOURCES {
        root.problem("source", format_args!("must not be more than {}", limits::REGISTRY_SOURCES));
        return None;
    }
    let mut taken = BTreeMap::new();
    let mut spellings = BTreeMap::new();
    let sources: Vec<_> = sections
        .into_iter()
        .enumerate()
        .map(|(place, section)| source(section, place, &mut taken, &mut spellings))
        .collect();
    Some(Sources { upstream: upstream?, sources: sources.into_iter().collect::<Option<_>>()? })
}

fn upstream(mut section: Section<'_>) -> Option<UpstreamParty> {
    let kind = section.required_text("kind", |text| match text {
        "ehr" => Ok(UpstreamKind::Ehr),
        "exchange" => Ok(UpstreamKind::Exchange),
        _ => Err("must be \"ehr\" or \"exchange\""),
    });
    let identifiers = section.texts("identifiers", identifier);
    if kind == Some(UpstreamKind::Exchange) && !section.has("identifiers") {
        section.problem("identifiers", "is missing: nothing could be told to have come through the exchange");
    }
    Some(UpstreamParty { kind: kind?, identifiers: identifiers.unwrap_or_default() })
}

fn source(
    mut section: Section<'_>,
    place: usize,
    taken: &mut BTreeMap<String, usize>,
    spellings: &mut BTreeMap<String, usize>,
) -> Option<Source> {
    let identifiers = section.required_texts("identifiers", identifier);
    let name = section.required_text("name", some_text);
    let validates = section.boolean("validates_authorship");
    if !section.has("validates_authorship") {
        section.problem("validates_authorship", "is missing: state true or false");
    }
    let types = section.texts("types", ResourceType::parse);
    let speakers = section.texts("speakers", identifier);
    let meta_sources = section.texts("meta_sources", meta_source);
    let anchors = section.file("anchors", anchors);
    let revocation_lists =
        section.file("revocation_lists", |path| File::read(path, limits::SIGNATURE_REVOCATION_BYTES));
    if let (Some(anchors), Some(lists)) = (&anchors, &revocation_lists)
        && let Err(error) = Trust::new(anchors.pem()).and_then(|trust| trust.with_revocation(lists.bytes()))
    {
        section.problem("revocation_lists", format!("{}: {error}", lists.path().display()));
    }
    let demands = section.text("signatures", |text| match text {
        "accepted" => Ok(false),
        "demanded" => Ok(true),
        _ => Err("must be \"accepted\" or \"demanded\""),
    });
    let dialect = section.text("signature_dialect", |text| match text.parse::<Dialect>() {
        Ok(dialect) => Ok(dialect),
        Err(_) => Err("must be \"ci\" or \"2.1.0\""),
    });
    let exchange_asserts = section.boolean("exchange_asserts").unwrap_or(false);
    let agreement = section.required_text("agreement", some_text);
    let valid_from = section.required_text("valid_from", date);
    let valid_to = section.text("valid_to", date);

    for identifier in identifiers.iter().flatten() {
        if *taken.entry(identifier.as_str().to_owned()).or_insert(place) != place {
            section.problem("identifiers", "name another source as well");
        }
    }
    for spelling in meta_sources.iter().flatten() {
        if *spellings.entry(spelling.clone()).or_insert(place) != place {
            section.problem("meta_sources", "mean another source as well");
        }
    }
    if demands == Some(true) && !section.has("anchors") {
        section.problem("anchors", "is missing: no signature could be verified that is demanded");
    }
    for key in ["signature_dialect", "revocation_lists"] {
        if section.has(key) && !section.has("anchors") {
            section.problem(key, "has no use without anchors");
        }
    }
    if validates == Some(false) && section.has("types") {
        section.problem("types", "has no use while validates_authorship is false");
    }
    if types.as_ref().is_some_and(Vec::is_empty) {
        section.problem("types", "must not be empty: write validates_authorship = false");
    }
    if let (Some(from), Some(to)) = (valid_from, valid_to)
        && to < from
    {
        section.problem("valid_to", "is before valid_from");
    }
    let validates = match (validates?, types) {
        (false, _) => Validates::Nothing,
        (true, None) => Validates::All,
        (true, Some(types)) => Validates::Types(types),
    };
    Some(Source {
        identifiers: identifiers?,
        name: name?,
        validates,
        speakers: speakers.unwrap_or_default(),
        meta_sources: meta_sources.unwrap_or_default(),
        anchors,
        revocation_lists,
        demands_signature: demands.unwrap_or(false),
        signature_dialect: dialect.unwrap_or_default(),
        exchange_asserts,
        agreement: agreement?,
        valid_from: valid_from?,
        valid_to,
    })
}

fn identifier(text: &str) -> Result<Identifier, &'static str> {
    let identifier = Identifier::parse(text).ok_or("not an identifier: write system|value")?;
    if !identifier.system().contains(':') {
        Err("its system is no uri")
    } else if !identifier.is_well_formed() {
        Err("not a National Provider Identifier: its digits or its check digit are wrong")
    } else {
        Ok(identifier)
    }
}

/// Authorities that signatures can be held to.
fn anchors(path: &Path) -> Result<Certificates, String> {
    let certificates = Certificates::read(path)?;
    match Trust::new(certificates.pem()) {
        Ok(_) => Ok(certificates),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Without a fragment: servers put the id of a request there.
fn meta_source(text: &str) -> Result<String, &'static str> {
    if !text.contains(':') || text.contains(char::is_whitespace) {
        Err("not a uri")
    } else if text.contains('#') {
        Err("must have no fragment")
    } else {
        Ok(text.to_owned())
    }
}

fn date(text: &str) -> Result<Date, &'static str> {
    text.parse().ok().filter(|_| text.len() == 10).ok_or("not a day: write YYYY-MM-DD")
}
