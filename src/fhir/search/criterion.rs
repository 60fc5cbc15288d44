//! One AND-member of a search.

use std::fmt::{self, Write as _};

use thiserror::Error;

use super::definition::{Definition, ParameterKind, lookup};
use super::evaluate;
use super::operand::{Operand, split_escaped, unescaped_len};
use crate::fhir::json::Value;
use crate::fhir::name::ResourceType;
use crate::limits;

/// Bytes that most operands take.
const VALUE_BYTES: usize = 48;

/// Why a parameter is refused. Names what the client wrote on the left of `=`, never a value.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SearchError {
    /// R4 has no such parameter for the type, or the gateway cannot evaluate it.
    #[error("search parameter `{0}` is not supported for this resource type")]
    Parameter(Box<str>),
    /// The modifier is unknown, unsupported, or does not fit the parameter.
    #[error("modifier `{1}` of search parameter `{0}` is not supported")]
    Modifier(Box<str>, Box<str>),
    /// A dot in the name: chained parameters read other records.
    #[error("chained search parameter `{0}` is not supported")]
    Chain(Box<str>),
    /// The value is empty or not of the parameter's kind.
    #[error("the value of search parameter `{0}` is not a {1}")]
    Value(Box<str>, &'static str),
    /// Too many values, or one too long.
    #[error("search parameter `{0}` has too many or too long values")]
    Limit(Box<str>),
}

/// How a comparison is changed (R4 3.1.1.4.2); the ones that can be evaluated on what is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modifier {
    /// `:contains` on a string: anywhere in it.
    Contains,
    /// `:exact` on a string: the same, case and accents included.
    Exact,
    /// `:not` on a token: no value matches.
    Not,
    /// `:[type]` on a reference: leads to this type.
    Type(ResourceType),
}

impl Modifier {
    fn parse(text: &str, definition: &Definition) -> Option<Self> {
        match (text, definition.kind) {
            ("contains", ParameterKind::String) => Some(Self::Contains),
            ("exact", ParameterKind::String) => Some(Self::Exact),
            ("not", ParameterKind::Token) => Some(Self::Not),
            (name, ParameterKind::Reference) => {
                let resource_type = ResourceType::parse(name).ok()?;
                let fits = definition.targets.iter().any(|target| &**target == name || &**target == "Resource");
                fits.then_some(Self::Type(resource_type))
            }
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Contains => "contains",
            Self::Exact => "exact",
            Self::Not => "not",
            Self::Type(resource_type) => resource_type.as_str(),
        }
    }
}

/// One parameter of a search with its values; a resource matches it if any value does.
#[derive(Clone, Debug)]
pub struct Criterion {
    definition: &'static Definition,
    modifier: Option<Modifier>,
    operands: Vec<Operand>,
}

impl Criterion {
    /// Understands `name[:modifier]` and the decoded `value` as a parameter of `resource_type`.
    /// `bases` are the absolute base URLs that mean the server being searched.
    pub fn parse(resource_type: ResourceType, key: &str, value: &str, bases: &[&str]) -> Result<Self, SearchError> {
        let (name, modifier) = key.split_once(':').map_or((key, None), |(name, modifier)| (name, Some(modifier)));
        if key.contains('.') {
            return Err(SearchError::Chain(printable(key)));
        }
        let definition = lookup(resource_type, name).ok_or_else(|| SearchError::Parameter(printable(name)))?;
        let modifier = match modifier {
            None => None,
            Some(text) => Some(
                Modifier::parse(text, definition)
                    .ok_or_else(|| SearchError::Modifier(printable(name), printable(text)))?,
            ),
        };
        let parts = split_escaped(value, ',');
        if parts.len() > limits::SEARCH_VALUES
            || parts.iter().any(|part| unescaped_len(part) > limits::SEARCH_VALUE_BYTES)
        {
            return Err(SearchError::Limit(definition.name.clone()));
        }
        let only_target = match (modifier, definition.targets.as_slice()) {
            (Some(Modifier::Type(target)), _) => Some(target),
            (_, [target]) => ResourceType::parse(target).ok(),
            _ => None,
        };
        let mut operands = Vec::with_capacity(parts.len());
        for part in parts {
            let operand = Operand::parse(definition.kind, only_target, part, bases)
                .filter(|operand| fits(operand, definition, modifier))
                .ok_or_else(|| SearchError::Value(definition.name.clone(), kind_name(definition.kind)))?;
            operands.push(operand);
        }
        Ok(Self { definition, modifier, operands })
    }

    /// What R4 says about the parameter.
    pub fn definition(&self) -> &'static Definition {
        self.definition
    }

    /// The modifier, where one was written.
    pub fn modifier(&self) -> Option<Modifier> {
        self.modifier
    }

    /// The values, of which one must match.
    pub fn operands(&self) -> &[Operand] {
        &self.operands
    }

    /// `name[:modifier]`, as it is written back.
    pub fn key(&self) -> String {
        self.modifier.map_or_else(
            || self.definition.name.to_string(),
            |modifier| format!("{}:{}", self.definition.name, modifier.as_str()),
        )
    }

    /// The values, joined and escaped as FHIR search writes them, not yet percent-encoded.
    pub fn value(&self) -> String {
        let mut value = String::with_capacity(VALUE_BYTES * self.operands.len());
        for (place, operand) in self.operands.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            // A String takes whatever is written to it.
            let _ = write!(value, "{comma}{operand}");
        }
        value
    }

    /// The criterion that matches what this or `other` matches; `None` where one parameter cannot say that.
    pub fn or(mut self, other: &Self) -> Option<Self> {
        let same = self.definition.name == other.definition.name && self.modifier == other.modifier;
        if !same || self.modifier == Some(Modifier::Not) {
            return None;
        }
        let new = other.operands.iter().filter(|operand| !self.operands.contains(operand)).cloned().collect::<Vec<_>>();
        self.operands.extend(new);
        Some(self)
    }

    /// Whether `resource` matches. `bases` are the absolute base URLs that mean the resource's own server.
    pub fn matches(&self, resource: Value<'_>, bases: &[&str]) -> bool {
        evaluate::matches(self, resource, bases)
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key(), self.value())
    }
}

/// A reference value must be able to lead to one of the parameter's targets and agree with a type modifier.
fn fits(operand: &Operand, definition: &Definition, modifier: Option<Modifier>) -> bool {
    let Operand::Reference { resource_type: Some(stated), .. } = operand else { return true };
    let agrees = !matches!(modifier, Some(Modifier::Type(target)) if target != *stated);
    agrees && definition.targets.iter().any(|target| &**target == stated.as_str() || &**target == "Resource")
}

/// What of a client's parameter name may be repeated in an answer.
fn printable(text: &str) -> Box<str> {
    text.chars().filter(|character| character.is_ascii_graphic()).take(64).collect::<String>().into()
}

fn kind_name(kind: ParameterKind) -> &'static str {
    match kind {
        ParameterKind::Canonical => "canonical url",
        ParameterKind::Date => "date",
        ParameterKind::Number => "number",
        ParameterKind::Quantity => "quantity",
        ParameterKind::Reference => "reference to a resource of this server",
        ParameterKind::String => "string",
        ParameterKind::Token => "token",
        ParameterKind::Uri => "uri",
    }
}
