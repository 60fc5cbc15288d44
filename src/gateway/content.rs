//! The content of documents: links to it, and the two reads that following one takes.
//!
//! Takes: a content link that was opened, and the document that was read to learn whose it is. Gives: the content that it
//! leads to. Guarantees: no read for a link of other policies; none of the content before its document was judged and found
//! to offer it; nothing is kept that was not to leave. Refuses: all else as what is not there.

use bytes::Bytes;

use super::pages::About;
use super::trail::Trail;
use super::{Gateway, Judged, Shared, asks_for_content, measure};
use crate::audit::Noted;
use crate::clock::Now;
use crate::decide::PolicySet;
use crate::fetch::{Content, FetchError, Keeping};
use crate::fhir::name::{Id, ResourceType};
use crate::filter::{self, ContentLinks};
use crate::respond::refusal::Fault;
use crate::rewrite::{self, Question};
use crate::understand::{ContentLink, Interaction, UnderstandError};

/// Seals links for one exchange.
pub(super) struct Links<'a> {
    shared: &'a Shared,
    /// The client and its purpose; none before they are known.
    caller: Option<(&'a str, &'static str)>,
    revision: &'a str,
    now: Now,
}

impl<'a> Links<'a> {
    pub(super) fn of(question: &'a Question, shared: &'a Shared, trail: &'a Trail) -> Self {
        let caller = trail.client().map(|client| (client.id(), client.purpose().code()));
        Self { shared, caller, revision: question.permit().revision().as_str(), now: trail.now() }
    }

    pub(super) fn about(question: &'a Question, shared: &'a Shared, about: &'a About) -> Self {
        let caller = Some((about.client(), about.purpose()));
        Self { shared, caller, revision: question.permit().revision().as_str(), now: about.now() }
    }
}

impl ContentLinks for Links<'_> {
    fn link(&self, document: &Id, binary: &Id, media: Option<&str>) -> Option<String> {
        let (client, purpose) = self.caller?;
        let sealed = self.shared.pages.seal_content(&ContentLink {
            document,
            binary,
            media,
            revision: self.revision,
            client,
            purpose,
            now: self.now,
        })?;
        Some(format!("{}/_content/{sealed}", self.shared.base))
    }
}

/// Whether a content link, where one is followed, was made under the policies that decide now.
pub(super) fn check_revision(interaction: &Interaction, policies: &PolicySet) -> Result<(), Fault> {
    let Interaction::Read(read) = interaction else { return Ok(()) };
    match read.content() {
        Some(content) if content.revision() != policies.revision().as_str() => Err(UnderstandError::ContentLink.into()),
        _ => Ok(()),
    }
}

/// Whether the decision has a rule for content, where content is asked for.
pub(super) fn check_release(question: &Question) -> Result<(), Fault> {
    let binary = ResourceType::parse("Binary").ok();
    match asks_for_content(question) && binary.and_then(|binary| question.rule(binary)).is_none() {
        true => Err(Fault::Absent),
        false => Ok(()),
    }
}

impl Gateway {
    /// Follows a content link: the document that was read for it is judged, and then the Binary that it leads to.
    pub(super) async fn content(
        &self,
        question: Question,
        document: Bytes,
        keeping: Option<Keeping>,
        noted: Noted<'_>,
        trail: &mut Trail,
    ) -> Result<Judged, Fault> {
        let bases = self.shared.bases();
        let attribution = self.attribution(&question, &document, &noted, trail.exchange(), trail.now()).await?;
        let (offered, mut tally) = filter::offers(&document, &question, bases, attribution.clone())?;
        trail.filtered(&tally);
        measure::resources(&self.shared.metrics, &tally);
        if !offered {
            return Err(Fault::Absent);
        }
        if let Some(keeping) = keeping {
            self.ehr.keep(keeping, &document);
        }
        let decision = question.permit().decision();
        let prepared = rewrite::content(question).map_err(|error| Fault::Rewrite { error, decision })?;
        trail.followed(&[prepared.target().into()]);
        let fetched = self.ehr.fetch(prepared, None, noted, trail.exchange()).await?;
        trail.fetched(fetched.from());
        let (question, content, keeping) = fetched.into_parts();
        let bytes = match content {
            Content::Whole(bytes) => bytes,
            Content::Absent(status) => {
                trail.hidden(status);
                return Err(Fault::Absent);
            }
            Content::Streamed(..) => return Err(FetchError::TooLarge.into()),
        };
        let (attached, own) = filter::content(&bytes, &document, &question, bases, attribution.as_deref())?;
        measure::resources(&self.shared.metrics, &own);
        tally.add(&own);
        trail.filtered(&tally);
        let attached = attached.ok_or(Fault::Absent)?;
        if let Some(keeping) = keeping {
            self.ehr.keep(keeping, &bytes);
        }
        Ok(Judged::Attached(attached))
    }
}
