//! One value of a search parameter, parsed by the parameter's kind (R4 3.1.1.4).

use std::borrow::Cow;
use std::fmt;

use super::definition::ParameterKind;
use crate::fhir::date::Span;
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::reference::Reference;

/// The comparison asked of an ordered value. `ap` (approximately) is not among them: R4 leaves its width open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// Ends before.
    Eb,
    /// Equal.
    Eq,
    /// Greater or equal.
    Ge,
    /// Greater.
    Gt,
    /// Less or equal.
    Le,
    /// Less.
    Lt,
    /// Not equal.
    Ne,
    /// Starts after.
    Sa,
}

impl Prefix {
    fn split(text: &str) -> (Option<Self>, &str) {
        let prefix = match text.get(..2) {
            Some("eb") => Self::Eb,
            Some("eq") => Self::Eq,
            Some("ge") => Self::Ge,
            Some("gt") => Self::Gt,
            Some("le") => Self::Le,
            Some("lt") => Self::Lt,
            Some("ne") => Self::Ne,
            Some("sa") => Self::Sa,
            _ => return (None, text),
        };
        (Some(prefix), text.get(2..).unwrap_or_default())
    }

    /// The two letters of the prefix.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eb => "eb",
            Self::Eq => "eq",
            Self::Ge => "ge",
            Self::Gt => "gt",
            Self::Le => "le",
            Self::Lt => "lt",
            Self::Ne => "ne",
            Self::Sa => "sa",
        }
    }
}

/// A decimal as a search value: the number and half of its last place, which is its precision (R4 3.1.1.4.8).
#[derive(Clone, Debug, PartialEq)]
pub struct Decimal {
    pub(super) text: Box<str>,
    pub(super) value: f64,
    pub(super) half: f64,
}

impl Decimal {
    /// Reads a plain or exponential decimal.
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(fraction) || unsigned.ends_with('.') || text.len() > 64 {
            return None;
        }
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite())?;
        let places = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        Some(Self { text: text.into(), value, half: 0.5 * 10_f64.powi(places) })
    }
}

/// One value of a search parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A canonical URL.
    Canonical {
        /// The URL.
        url: Box<str>,
        /// What stands behind `|`; `None` is any version.
        version: Option<Box<str>>,
    },
    /// A span of time and how to compare with it.
    Date {
        /// The comparison; `eq` where none was written.
        prefix: Option<Prefix>,
        /// The value as written.
        text: Box<str>,
        /// The time it stands for.
        span: Span,
    },
    /// A number and how to compare with it.
    Number {
        /// The comparison.
        prefix: Option<Prefix>,
        /// The number.
        number: Decimal,
    },
    /// A number with a unit.
    Quantity {
        /// The comparison.
        prefix: Option<Prefix>,
        /// The number.
        number: Decimal,
        /// The unit's system; `None` is any.
        system: Option<Box<str>>,
        /// The unit's code or text; `None` is any.
        code: Option<Box<str>>,
    },
    /// A reference to a resource of the EHR.
    Reference {
        /// The type, where it was written or can only be one.
        resource_type: Option<ResourceType>,
        /// The logical id.
        id: Id,
    },
    /// A text.
    String(Box<str>),
    /// A code.
    Token {
        /// `None`: any system. Some of an empty text: no system at all.
        system: Option<Box<str>>,
        /// `None`: any code of that system.
        code: Option<Box<str>>,
    },
    /// A URI.
    Uri(Box<str>),
}

impl Operand {
    /// Reads one value. `raw` still holds FHIR's backslash escapes; `bases` are the absolute base URLs that mean the
    /// server being searched. `None` where the value is not of this kind.
    pub(super) fn parse(
        kind: ParameterKind,
        only_target: Option<ResourceType>,
        raw: &str,
        bases: &[&str],
    ) -> Option<Self> {
        if raw.is_empty() {
            return None;
        }
        match kind {
            ParameterKind::Canonical => {
                let parts = split_escaped(raw, '|');
                let part = |at: usize| parts.get(at).and_then(|part| unescape(part)).filter(|part| !part.is_empty());
                match parts.len() {
                    1 => Some(Self::Canonical { url: part(0)?.into(), version: None }),
                    2 => Some(Self::Canonical { url: part(0)?.into(), version: Some(part(1)?.into()) }),
                    _ => None,
                }
            }
            ParameterKind::Date => {
                let (prefix, text) = Prefix::split(raw);
                Some(Self::Date { prefix, text: text.into(), span: Span::parse(text)? })
            }
            ParameterKind::Number => {
                let (prefix, text) = Prefix::split(raw);
                Some(Self::Number { prefix, number: Decimal::parse(text)? })
            }
            ParameterKind::Quantity => {
                let (prefix, text) = Prefix::split(raw);
                let parts = split_escaped(text, '|');
                let number = Decimal::parse(&unescape(parts.first()?)?)?;
                let part = |at: usize| match parts.get(at) {
                    None => Some(None),
                    Some(part) => unescape(part).map(|part| (!part.is_empty()).then(|| part.into_boxed_str())),
                };
                let (system, code) = match parts.len() {
                    1 => (None, None),
                    3 => (part(1)?, part(2)?),
                    _ => return None,
                };
                Some(Self::Quantity { prefix, number, system, code })
            }
            ParameterKind::Reference => {
                let text = unescape(raw)?;
                if let Ok(id) = Id::parse(&text) {
                    return Some(Self::Reference { resource_type: only_target, id });
                }
                let Reference { resource_type, id } = Reference::parse(&text, bases)?;
                Some(Self::Reference { resource_type: Some(resource_type), id })
            }
            ParameterKind::String => unescape(raw).map(|text| Self::String(text.into())),
            ParameterKind::Token => {
                let parts = split_escaped(raw, '|');
                let part = |at: usize| parts.get(at).and_then(|part| unescape(part)).map(String::into_boxed_str);
                let some = |text: Box<str>| (!text.is_empty()).then_some(text);
                match parts.len() {
                    1 => Some(Self::Token { system: None, code: Some(part(0)?) }),
                    2 => {
                        let (system, code) = (part(0)?, some(part(1)?));
                        (code.is_some() || !system.is_empty()).then_some(Self::Token { system: Some(system), code })
                    }
                    _ => None,
                }
            }
            ParameterKind::Uri => unescape(raw).map(|text| Self::Uri(text.into())),
        }
    }
}

/// The value as FHIR search writes it, escapes included, not yet percent-encoded.
impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = |prefix: &Option<Prefix>| prefix.map_or("", Prefix::as_str);
        match self {
            Self::Canonical { url, version } => {
                f.write_str(&escape(url))?;
                version.as_deref().map_or(Ok(()), |version| write!(f, "|{}", escape(version)))
            }
            Self::Date { prefix: comparison, text, .. } => write!(f, "{}{text}", prefix(comparison)),
            Self::Number { prefix: comparison, number } => write!(f, "{}{}", prefix(comparison), number.text),
            Self::Quantity { prefix: comparison, number, system, code } => {
                write!(f, "{}{}", prefix(comparison), number.text)?;
                if system.is_some() || code.is_some() {
                    let [system, code] = [system, code].map(|part| part.as_deref().map(escape).unwrap_or_default());
                    write!(f, "|{system}|{code}")?;
                }
                Ok(())
            }
            Self::Reference { resource_type: Some(resource_type), id } => write!(f, "{resource_type}/{id}"),
            Self::Reference { resource_type: None, id } => write!(f, "{id}"),
            Self::String(text) | Self::Uri(text) => f.write_str(&escape(text)),
            Self::Token { system, code } => {
                if let Some(system) = system {
                    write!(f, "{}|", escape(system))?;
                }
                f.write_str(&code.as_deref().map(escape).unwrap_or_default())
            }
        }
    }
}

/// Splits at `separator` where no backslash stands before it (R4 3.1.1.4.12 escaping).
pub(super) fn split_escaped(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, character) in text.char_indices() {
        if !escaped && character == separator {
            parts.push(text.get(start..at).unwrap_or_default());
            start = at + character.len_utf8();
        }
        escaped = !escaped && character == '\\';
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

/// Bytes of a value without the backslashes that escape: the same however it is spelt.
pub(super) fn unescaped_len(text: &str) -> usize {
    let mut escapes = false;
    let counts = |byte: &u8| {
        escapes = !escapes && *byte == b'\\';
        !escapes
    };
    text.as_bytes().iter().copied().filter(counts).count()
}

/// Resolves `\,` `\|` `\$` `\\`; `None` for any other use of the backslash.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some(escaped @ (',' | '|' | '$' | '\\')) => out.push(escaped),
            _ => return None,
        }
    }
    Some(out)
}

fn escape(text: &str) -> Cow<'_, str> {
    const MARKS: [char; 4] = [',', '|', '$', '\\'];
    if !text.contains(MARKS) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if MARKS.contains(&character) {
            out.push('\\');
        }
        out.push(character);
    }
    Cow::Owned(out)
}
