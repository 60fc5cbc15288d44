//! How an EHR misbehaves.

use std::time::Duration;

/// What an EHR does with a request. Starts [`Behaviour::faithful`]; each method adds one fault, and faults add up.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    pub(super) only: Option<Box<str>>,
    pub(super) times: Option<u32>,
    pub(super) reply: Reply,
    pub(super) careless: bool,
    pub(super) wrong_resource: bool,
    pub(super) foreign_next_link: Option<Box<str>>,
    pub(super) content_type: Option<Box<str>>,
    pub(super) gzip: bool,
    pub(super) cut: Option<usize>,
    pub(super) truncated: Option<usize>,
    pub(super) drip: Option<(usize, Duration)>,
    pub(super) delay: Option<Duration>,
    pub(super) closes_on_reuse: bool,
    pub(super) refuses_batches: bool,
    pub(super) ignores_includes: bool,
}

/// Where an answer comes from.
#[derive(Clone, Debug, Default)]
pub(super) enum Reply {
    /// The records.
    #[default]
    Faithful,
    /// Nowhere: always this.
    Fixed { status: u16, content_type: &'static str, location: Option<Box<str>>, body: Box<str> },
    /// A generator of so many entries.
    Huge(u64),
}

pub(super) const FHIR_JSON: &str = "application/fhir+json;charset=UTF-8";

impl Behaviour {
    /// Answers what was asked, as R4 says.
    pub fn faithful() -> Self {
        Self::default()
    }

    /// Ignores every search parameter and all paging: any search of any type is answered with all resources of all
    /// patients and types, each said to be a match.
    pub fn careless(mut self) -> Self {
        self.careless = true;
        self
    }

    /// Answers a read with another resource of that type, where there is one.
    pub fn wrong_resource(mut self) -> Self {
        self.wrong_resource = true;
        self
    }

    /// Ends every searchset with a `next` link to this URL.
    pub fn foreign_next_link(mut self, url: &str) -> Self {
        self.foreign_next_link = Some(url.into());
        self
    }

    /// Answers everything with this status and FHIR JSON body.
    pub fn status(mut self, code: u16, body: &str) -> Self {
        self.reply = Reply::Fixed { status: code, content_type: FHIR_JSON, location: None, body: body.into() };
        self
    }

    /// Answers everything with status 200, a FHIR content type, and a body that is a web page.
    pub fn not_json(mut self) -> Self {
        let body = "<!DOCTYPE html><html><body>scheduled maintenance</body></html>".into();
        self.reply = Reply::Fixed { status: 200, content_type: FHIR_JSON, location: None, body };
        self
    }

    /// Answers everything with `302 Found` and this `Location`.
    pub fn redirect(mut self, to: &str) -> Self {
        self.reply =
            Reply::Fixed { status: 302, content_type: FHIR_JSON, location: Some(to.into()), body: Box::default() };
        self
    }

    /// Answers every search with this many generated Observations about the patient that the search names, streamed.
    pub fn huge(mut self, entries: u64) -> Self {
        self.reply = Reply::Huge(entries);
        self
    }

    /// Labels the body with this media type, whatever it is.
    pub fn wrong_content_type(mut self, media_type: &str) -> Self {
        self.content_type = Some(media_type.into());
        self
    }

    /// Sends the body gzipped, whatever `Accept-Encoding` says.
    pub fn gzip(mut self) -> Self {
        self.gzip = true;
        self
    }

    /// Ends the body after this many bytes, as if it were complete.
    pub fn cut(mut self, after: usize) -> Self {
        self.cut = Some(after);
        self
    }

    /// Promises the whole body and closes the connection after this many bytes of it.
    pub fn truncated(mut self, after: usize) -> Self {
        self.truncated = Some(after);
        self
    }

    /// Sends the body in pieces of so many bytes, with a pause before each.
    pub fn drip(mut self, piece: usize, pause: Duration) -> Self {
        self.drip = Some((piece.max(1), pause));
        self
    }

    /// Waits so long before the head of the answer.
    pub fn slow(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Serves one request of each connection and closes it, unanswered, when a second one comes.
    pub fn closes_on_reuse(mut self) -> Self {
        self.closes_on_reuse = true;
        self
    }

    /// Knows no batch: there is nothing at its base URL that could be posted to.
    pub fn refuses_batches(mut self) -> Self {
        self.refuses_batches = true;
        self
    }

    /// Gives nothing along with what a search finds.
    pub fn ignores_includes(mut self) -> Self {
        self.ignores_includes = true;
        self
    }

    /// Misbehaves only where the path holds this step: a resource type, an id.
    pub fn only_for(mut self, step: &str) -> Self {
        self.only = Some(step.into());
        self
    }

    /// Misbehaves this many times, then is faithful.
    pub fn times(mut self, count: u32) -> Self {
        self.times = Some(count);
        self
    }

    /// This behaviour if it applies to a request of this path, and one time less of it.
    pub(super) fn apply(&mut self, path: &str) -> Self {
        let concerned = self.only.as_deref().is_none_or(|step| path.split('/').any(|part| part == step));
        if !concerned || self.times == Some(0) {
            return Self::faithful();
        }
        self.times = self.times.map(|times| times - 1);
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applies_where_and_as_often_as_it_was_told() {
        let mut behaviour = Behaviour::faithful().careless().only_for("Observation").times(2);
        assert!(!behaviour.apply("/fhir/Patient/Observation-1").careless);
        assert!(behaviour.apply("/fhir/Observation").careless);
        assert!(behaviour.apply("/fhir/Observation/_search").careless);
        assert!(!behaviour.apply("/fhir/Observation").careless);
    }
}
