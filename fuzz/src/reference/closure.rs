//! What must not be led to: other patients, what was withheld from the same answer, and content.

use std::collections::BTreeSet;

use super::{Decision, Dom, Owner, Search, named, owner};

/// What references in a released resource may not name.
pub(super) struct Closure<'d> {
    pub(super) decision: &'d Decision,
    pub(super) search: &'d Search,
    /// Names of resources that may not leave for what they are.
    pub(super) withheld: BTreeSet<String>,
}

impl Closure<'_> {
    /// Whether a literal reference leads where nothing may lead. One to what is contained does, because nothing is.
    fn bars(&self, reference: &str) -> bool {
        if reference == "#" {
            return false;
        }
        let is_secret = |resource_type: &str, id: &str| self.withheld.contains(&format!("{resource_type}/{id}"));
        match (named(reference), named_elsewhere(reference)) {
            (Some((resource_type, id)), _) => match resource_type.as_str() {
                "Patient" => !self.decision.admits(self.search, &id),
                "Binary" => true,
                _ => is_secret(&resource_type, &id),
            },
            (None, Some((resource_type, id))) => {
                !matches!(owner(&resource_type), Some(Owner::Nobody)) || is_secret(&resource_type, &id)
            }
            (None, None) => true,
        }
    }

    /// Whether this is a Reference that must not leave.
    pub(super) fn bars_reference(&self, value: &Dom) -> bool {
        match value.get("reference") {
            Some(Dom::Text(reference)) => self.bars(reference),
            Some(Dom::Array(items)) if items.iter().any(|item| item.text().is_some()) => true,
            _ => {
                let speaks = value.get("display").is_some() || matches!(value.get("identifier"), Some(Dom::Object(_)));
                speaks && stated_type(value).is_some_and(|name| name.eq_ignore_ascii_case("patient"))
            }
        }
    }

    /// Whether a Reference names a patient whose data may leave.
    pub(super) fn names_patient(&self, value: &Dom) -> bool {
        let named = value.text_of("reference").and_then(named);
        named.is_some_and(|(resource_type, id)| resource_type == "Patient" && self.decision.admits(self.search, &id))
    }

    /// Whether this is a link that must not leave: to content, to somebody else, or to what was withheld.
    pub(super) fn bars_link(&self, name: &str, value: &Dom) -> bool {
        let Some(url) = value.text().filter(|_| LINKS.contains(&name)) else { return false };
        let leads = |(resource_type, id): (String, String), is_here: bool| match resource_type.as_str() {
            "Patient" => !(is_here && self.decision.admits(self.search, &id)),
            "Binary" => true,
            _ => self.withheld.contains(&format!("{resource_type}/{id}")),
        };
        let here = named(url).is_some_and(|name| leads(name, true));
        let elsewhere = named(url).is_none() && named_elsewhere(url).is_some_and(|name| leads(name, false));
        let is_told = named(url).is_some() || named_elsewhere(url).is_some() || url == "#" || is_inside(url);
        here || elsewhere || (!is_told && may_be_ours(url)) || steps_to_binary(url)
    }

    /// Whether something inside, at any depth, must go.
    pub(super) fn cuts(&self, value: &Dom) -> bool {
        self.bars_reference(value)
            || value.items().iter().any(|item| self.cuts(item))
            || value.members().iter().any(|(name, member)| self.bars_link(name, member) || self.cuts(member))
    }

    /// Whether a Reference's `display` may say what is removed from the resource that it leads to. What it says of a
    /// patient's record is removed in any case, because the record itself may have to be withheld.
    pub(super) fn display_repeats(&self, value: &Dom) -> bool {
        let resource_type = match value.text_of("reference") {
            Some(reference) => named(reference).map(|(resource_type, _)| resource_type),
            None => stated_type(value),
        };
        let Some(resource_type) = resource_type else { return true };
        let rule = self.decision.rule(&resource_type).filter(|_| super::is_type(&resource_type));
        is_record(&resource_type)
            || match rule.map(|rule| rule.elements.as_deref()) {
                None => true,
                Some(None) => false,
                Some(Some(elements)) => !elements.iter().any(|name| name == "name" || name == "code"),
            }
    }
}

/// The names of members that hold URLs.
const LINKS: [&str; 5] = ["url", "uri", "valueUrl", "valueUri", "valueCanonical"];

/// Whether a reference leads to a patient's record, for all that can be told.
pub(super) fn leads_to_record(reference: &str) -> bool {
    let resource_type = named(reference).or_else(|| named_elsewhere(reference)).map(|(resource_type, _)| resource_type);
    resource_type.is_none_or(|resource_type| is_record(&resource_type))
}

/// Whether an object, the value of the element `of`, is a Reference.
pub(super) fn is_reference(of: &str, value: &Dom) -> bool {
    let own = ["id", "extension", "reference", "type", "identifier", "display"];
    if value.text_of("reference").is_some() {
        return true;
    }
    if matches!(value.get("identifier"), Some(Dom::Object(_))) {
        return value.get("display").is_some() || value.members().iter().all(|(name, _)| own.contains(&name.as_str()));
    }
    let is_coded =
        of == "coding" || of.ends_with("Coding") || value.get("code").is_some() || value.get("system").is_some();
    value.get("display").is_some() && !is_coded
}

fn is_record(resource_type: &str) -> bool {
    !matches!(owner(resource_type), Some(Owner::Itself | Owner::Nobody))
}

fn stated_type(value: &Dom) -> Option<String> {
    let stated = value.text_of("type")?.split('|').next()?.trim().trim_end_matches('/');
    stated.rsplit('/').next().map(ToOwned::to_owned)
}

/// Type and id at the end of a plain URL of whatever server.
fn named_elsewhere(url: &str) -> Option<(String, String)> {
    let below = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    if !below.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%\\@".contains(&byte)) {
        return None;
    }
    let mut steps: Vec<&str> = below.split('/').collect();
    if steps.iter().any(|step| ["", ".", ".."].contains(step)) {
        return None;
    }
    if steps.len() > 4 && steps[steps.len() - 2] == "_history" {
        steps.truncate(steps.len() - 2);
    }
    if steps.len() < 3 {
        return None;
    }
    named(&steps[steps.len() - 2..].join("/"))
}

/// Whether a URL is one of the EHR's patients or records, for all that can be told of it.
fn may_be_ours(url: &str) -> bool {
    let below = url.strip_prefix(super::EHR);
    let path = unescaped(below.unwrap_or(url));
    let is_somebodys = |step: &str| super::is_type(step) && !matches!(owner(step), Some(Owner::Nobody));
    (below.is_some() || !url.contains(':')) && path.split(['/', '?', '#', '\\', ' ']).any(is_somebodys)
}

fn is_inside(url: &str) -> bool {
    url.strip_prefix('#').is_some_and(super::is_id)
}

/// Whether a URL has `Binary` somewhere between its delimiters, in whatever letters, with up to three layers of escapes.
fn steps_to_binary(url: &str) -> bool {
    let mut text = url.to_owned();
    for _ in 0..3 {
        text = unescaped(&text);
    }
    let mut parts = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || "-_.$".contains(letter)));
    text.contains('%') || parts.any(|part| part.eq_ignore_ascii_case("binary"))
}

fn unescaped(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let is_hex = digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.filter(|_| is_hex).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|_| *first == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
