//! The content of documents: what a Binary holds, by the word of the document that leads to it.
//!
//! Takes: a document and a Binary, as the EHR sent them, and the question that a content link asked. Gives: [`Attached`], the
//! bytes themselves. Guarantees: the document was judged as a read of it is, and still leads to this Binary, which was judged
//! as well. Refuses: a Binary that is somebody else's by its own words, labelled, or of another media type than the document
//! says; and where the decision asks who is responsible for the document, content by which another verdict is due: it has
//! another hash or size than is stated, or is a C-CDA document whose header cannot be read or names another author, or is none of
//! the attachments of the document. Content is looked into here, where it is at hand, and never fetched to judge a page of
//! documents.

use std::cell::Cell;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::closure::ContentLinks;
use super::judge::Judge;
use super::tally::{Tally, Withheld};
use super::{Attribution, Bases, FilterError, Released, read_linking};
use crate::authorship::Record;
use crate::decide::Kept;
use crate::fhir::json::{Tape, Value};
use crate::fhir::name::Id;
use crate::fhir::reference::Reference;
use crate::rewrite::Question;
use crate::understand::{Content, Interaction};

/// Content that may leave.
#[derive(Debug)]
pub struct Attached {
    /// The bytes.
    pub bytes: Released,
    /// Their media type: visible ASCII.
    pub media: Box<str>,
}

/// Notes whether the one link that is looked for is among those that a document may have.
struct Sought<'c> {
    content: &'c Content,
    found: Cell<bool>,
}

impl ContentLinks for Sought<'_> {
    fn link(&self, _document: &Id, binary: &Id, media: Option<&str>) -> Option<String> {
        self.found.set(self.found.get() || (binary == self.content.binary() && media == self.content.media()));
        Some(String::new())
    }
}

fn sought(question: &Question) -> Result<(&Content, &Id), FilterError> {
    let Interaction::Read(read) = question.interaction() else { return Err(FilterError::Mismatch) };
    read.content().map(|content| (content, read.id())).ok_or(FilterError::Mismatch)
}

/// Judges the document that a content link was made for: whether it may leave, and with that link. The document does not
/// leave itself, and is not counted as released.
pub fn offers(
    document: &[u8],
    question: &Question,
    bases: Bases<'_>,
    attribution: Option<Arc<Attribution>>,
) -> Result<(bool, Tally), FilterError> {
    let sought = Sought { content: sought(question)?.0, found: Cell::new(false) };
    let judged = read_linking(document, question, bases, &sought, attribution)?;
    let offered = judged.body().is_some() && sought.found.get();
    let tally = Tally { released: 0, redacted: 0, ..judged.tally().clone() };
    Ok((offered, tally))
}

/// Judges the Binary that a content link leads to, and by it once more who is responsible for the document, which
/// [`offers`] it.
pub fn content(
    binary: &[u8],
    document: &[u8],
    question: &Question,
    bases: Bases<'_>,
    attribution: Option<&Attribution>,
) -> Result<(Option<Attached>, Tally), FilterError> {
    let (content, id) = sought(question)?;
    let (mut tape, mut beside) = (Tape::new(), Tape::new());
    let (resource, document) = (tape.read(binary)?.root(), beside.read(document)?.root());
    let mut judge = Judge::new(question, bases, None);
    let identity = judge.identity(resource).ok_or(FilterError::Mismatch)?;
    if identity.resource_type.as_str() != "Binary" || identity.id != *content.binary() {
        return Err(FilterError::Mismatch);
    }
    let mut tally = Tally { received: 1, ..Tally::default() };
    let attached = attached(&judge, &identity, resource, content, id).and_then(|attached| {
        let known = attribution.map(|known| known.with_content(&identity, attached.bytes.as_bytes()));
        judge.attribute(known.map(Arc::new));
        let resource_type = question.interaction().resource_type();
        judge.check_answered(resource_type, document)?;
        if judge.asks_authorship(resource_type) && !is_attached(document, &identity, &judge.ehr()) {
            return Err(Withheld::Authorship);
        }
        Ok(attached)
    });
    match attached {
        Ok(attached) => {
            tally.release(&[]);
            Ok((Some(attached), tally))
        }
        Err(reason) => {
            if reason == Withheld::Authorship {
                tally.judge(judge.authorship(question.interaction().resource_type(), document));
            }
            tally.withhold(reason);
            Ok((None, tally))
        }
    }
}

fn attached(
    judge: &Judge<'_>,
    identity: &Reference,
    resource: Value<'_>,
    content: &Content,
    document: &Id,
) -> Result<Attached, Withheld> {
    let rule = judge.question().rule(identity.resource_type).ok_or(Withheld::Type)?;
    if rule.elements.child("data") != Kept::Whole {
        return Err(Withheld::Type);
    }
    judge.check_labels_of(resource)?;
    judge.check_constraints(rule, resource)?;
    if resource.get("securityContext").is_some_and(|context| !is_of(judge, context, document)) {
        return Err(Withheld::Patient);
    }
    let stated = resource.get("contentType").and_then(Value::text).ok_or(Withheld::Malformed)?;
    let agrees = content.media().is_none_or(|media| media.eq_ignore_ascii_case(&stated));
    if !agrees || !is_media(&stated) {
        return Err(Withheld::Malformed);
    }
    let data = resource.get("data").and_then(Value::text).ok_or(Withheld::Malformed)?;
    let plain: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(plain).map_err(|_| Withheld::Malformed)?;
    Ok(Attached { bytes: Released(bytes), media: stated.into() })
}

/// Whether a document has a Binary as one of the attachments that its author answers for: another URL in it, of an extension
/// as it may be, says nothing that content could be held to.
fn is_attached(document: Value<'_>, binary: &Reference, bases: &[&str]) -> bool {
    let urls = Record::read(document).into_iter().flat_map(|record| record.attachments().collect::<Vec<_>>());
    let mut urls = urls.filter_map(|attachment| attachment.get("url").and_then(Value::text));
    urls.any(|url| binary.is_named_by(&url, bases))
}

/// Whether a security context is a patient whose data may be released, or the document itself, and nothing in it says
/// otherwise.
fn is_of(judge: &Judge<'_>, context: Value<'_>, document: &Id) -> bool {
    let text = context.get("reference").and_then(Value::text);
    let Some(reference) = text.and_then(|text| Reference::parse(&text, &judge.ehr())) else { return false };
    let names_it = |stated: Value<'_>| stated.text().is_some_and(|name| name == reference.resource_type.as_str());
    let agrees = context.get("identifier").is_none() && context.get("type").is_none_or(names_it);
    let is_admitted = match reference.resource_type.as_str() {
        "Patient" => judge.question().admits(&reference.id),
        "DocumentReference" => reference.id == *document,
        _ => false,
    };
    agrees && is_admitted
}

/// Whether a text is a media type (RFC 9110 8.3.1), in visible ASCII.
fn is_media(text: &str) -> bool {
    let token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let types = essence.trim_end().split_once('/');
    types.is_some_and(|(top, sub)| token(top) && token(sub))
        && parameters.bytes().all(|byte| matches!(byte, b' ' | b'!'..=b'~'))
}
