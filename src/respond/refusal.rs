//! The one table from faults to answers.
//!
//! Takes: the error of any step. Gives: a [`Refusal`]: status, issue code, public text, log text, metric label. Whose
//! fault it is decides the status; the public text never holds what the EHR, the policy or the token said. Concealed
//! refusals look like the absence of the record.

use http::StatusCode;
use thiserror::Error;

use super::outcome::{Issue, operation_outcome};
use crate::accept::AcceptError;
use crate::audit::AuditError;
use crate::decide::DecideError;
use crate::fetch::FetchError;
use crate::fetch::pool::PoolError;
use crate::filter::FilterError;
use crate::id::DecisionId;
use crate::identify::IdentifyError;
use crate::limits;
use crate::rewrite::RewriteError;
use crate::signature::SignError;
use crate::understand::UnderstandError;

/// The fault that ended an exchange, by step.
#[derive(Debug, Error)]
pub enum Fault {
    /// Not acceptable HTTP.
    #[error("accept: {0}")]
    Accept(#[from] AcceptError),
    /// Nobody we know, or not now.
    #[error("identify: {0}")]
    Identify(#[from] IdentifyError),
    /// The client has as many exchanges at work as it may.
    #[error("too many exchanges of the client")]
    Crowded,
    /// Not understood.
    #[error("understand: {0}")]
    Understand(#[from] UnderstandError),
    /// Not permitted.
    #[error("decide: {0}")]
    Decide(#[from] DecideError),
    /// Permitted, but not like this.
    #[error("rewrite: {error}")]
    Rewrite {
        /// What is not permitted.
        error: RewriteError,
        /// The decision that does not permit it.
        decision: DecisionId,
    },
    /// The EHR did not answer.
    #[error("fetch: {0}")]
    Fetch(#[from] FetchError),
    /// The EHR answered something else.
    #[error("filter: {0}")]
    Filter(#[from] FilterError),
    /// The exchange cannot be recorded.
    #[error("audit: {0}")]
    Audit(#[from] AuditError),
    /// The resource is withheld, or there is none.
    #[error("nothing to release")]
    Absent,
    /// An operation finds more than one answer holds.
    #[error("more than one answer holds")]
    TooCostly,
    /// Signatures were agreed, and only searchsets are signed.
    #[error("a read, where signatures were agreed")]
    Unsigned,
    /// Signatures were agreed, and the answer cannot be signed.
    #[error("sign: {0}")]
    Sign(SignError),
    /// A part of an operation was answered with this status.
    #[error("a part of the operation was answered {0}")]
    Part(StatusCode),
    /// A step panicked.
    #[error("panic")]
    Panic,
    /// The operating system has no randomness.
    #[error("no randomness")]
    Randomness,
}

impl Fault {
    /// The text for the log. What a client wrote, a parameter's name included, is not repeated there.
    pub fn log_text(&self) -> String {
        match self {
            Self::Understand(UnderstandError::Search(_)) => {
                "understand: a search parameter is not supported".to_owned()
            }
            other => other.to_string(),
        }
    }
}

/// A fault as the client, the log and the metrics see it.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    issues: Vec<Issue>,
    label: &'static str,
    decision: Option<DecisionId>,
    challenge: Option<String>,
    closes: bool,
}

/// The published code system of the reasons that policies give.
pub const REASON_SYSTEM: &str = "urn:portcullis:denial-reason";

impl Refusal {
    /// The answer to a fault. `None` for a search that must look as if it found nothing.
    pub fn of(fault: &Fault, is_search: bool) -> Option<Self> {
        match fault {
            Fault::Accept(error) => Some(accept(*error)),
            Fault::Identify(error) => Some(identify(error)),
            Fault::Crowded => Some(crowded()),
            Fault::Understand(error) => Some(understand(error)),
            Fault::Decide(DecideError::Denied(denial)) if denial.conceal => (!is_search).then(absent),
            Fault::Decide(error) => Some(decide(error)),
            Fault::Rewrite { error: RewriteError::NoPatient, .. } => (!is_search).then(absent),
            Fault::Rewrite { error, decision } => Some(rewrite(error, *decision)),
            Fault::Fetch(error) => Some(fetch(*error)),
            Fault::Filter(_) => Some(upstream(StatusCode::BAD_GATEWAY, "upstream-invalid")),
            Fault::Audit(_) => Some(Self::unrecorded()),
            Fault::Absent => Some(absent()),
            Fault::TooCostly => Some(too_costly()),
            Fault::Unsigned => Some(unsigned()),
            Fault::Sign(error) => Some(sign(*error)),
            Fault::Part(status) => Some(part(*status)),
            Fault::Panic | Fault::Randomness => Some(Self::internal()),
        }
    }

    /// The gateway's own fault.
    pub fn internal() -> Self {
        simple(StatusCode::INTERNAL_SERVER_ERROR, "exception", "internal", "The gateway failed; nothing was released.")
    }

    pub(super) fn unrecorded() -> Self {
        simple(
            StatusCode::SERVICE_UNAVAILABLE,
            "transient",
            "audit",
            "The exchange cannot be recorded; nothing was released.",
        )
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The label in metrics, logs and audit records.
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// The decision that refused, where one did.
    pub fn decision(&self) -> Option<DecisionId> {
        self.decision
    }

    pub(super) fn challenge(&self) -> Option<&str> {
        self.challenge.as_deref()
    }

    pub(super) fn closes(&self) -> bool {
        self.closes
    }

    pub(super) fn body(&self, exchange: &str) -> Vec<u8> {
        let decision = self.decision.map(|decision| format!(" Decision {decision}.")).unwrap_or_default();
        operation_outcome(&self.issues, &format!("Request {exchange}.{decision}"))
    }
}

fn simple(status: StatusCode, code: &'static str, label: &'static str, text: &str) -> Refusal {
    let issues = vec![Issue { code, reason: None, text: text.to_owned() }];
    Refusal { status, issues, label, decision: None, challenge: None, closes: false }
}

fn crowded() -> Refusal {
    let text = format!("At most {} requests of a client are served at once; try again.", limits::CLIENT_IN_FLIGHT);
    simple(StatusCode::TOO_MANY_REQUESTS, "throttled", "crowded", &text)
}

fn absent() -> Refusal {
    simple(StatusCode::NOT_FOUND, "not-found", "absent", "There is no such resource.")
}

fn too_costly() -> Refusal {
    let text = "The operation finds more than one answer holds; search type by type, `Patient/[id]/[type]`.";
    simple(StatusCode::PAYLOAD_TOO_LARGE, "too-costly", "too-costly", text)
}

/// CDex CONF-010.
fn unsigned() -> Refusal {
    let text =
        "Signatures were agreed with this client, and only searchsets are signed: search instead, `[type]?_id=[id]`.";
    simple(StatusCode::BAD_REQUEST, "business-rule", "unsigned", text)
}

/// An answer that was to be signed is sent signed or not at all.
fn sign(error: SignError) -> Refusal {
    use SignError as E;
    match error {
        // The gateway wrote it: what cannot be read is beyond a bound of reading.
        E::Size | E::Unreadable => {
            let text = "The answer is too large to be signed; ask for less, or for smaller pages by _count.";
            simple(StatusCode::PAYLOAD_TOO_LARGE, "too-costly", "unsignable", text)
        }
        E::Numbers(_) | E::NumberRange => {
            let text = "A number in the records has more digits than a signature can protect; nothing is released.";
            simple(StatusCode::BAD_GATEWAY, "processing", "unsignable", text)
        }
        E::AlreadySigned | E::Cryptography | E::Unsignable | E::Validity => {
            let text = "The answer could not be signed; nothing is released.";
            simple(StatusCode::INTERNAL_SERVER_ERROR, "exception", "unsignable", text)
        }
    }
}

/// A part that could not be answered takes the whole with it: half of everything looks like all of it.
fn part(status: StatusCode) -> Refusal {
    let text = format!("A part of the operation was answered {}; nothing is released.", status.as_u16());
    let (status, code) = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => (status, "throttled"),
        StatusCode::GATEWAY_TIMEOUT => (status, "timeout"),
        StatusCode::UNAUTHORIZED => (status, "login"),
        StatusCode::FORBIDDEN => (status, "forbidden"),
        _ => (StatusCode::BAD_GATEWAY, "transient"),
    };
    simple(status, code, "part", &text)
}

fn accept(error: AcceptError) -> Refusal {
    use AcceptError as E;
    if error == E::Busy {
        return simple(StatusCode::SERVICE_UNAVAILABLE, "throttled", "busy", "Too much is asked at once; try again.");
    }
    let (status, code) = match error {
        E::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "not-supported"),
        E::OutsideBase => (StatusCode::NOT_FOUND, "not-found"),
        E::TargetTooLong => (StatusCode::URI_TOO_LONG, "too-long"),
        E::ContentCoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-supported"),
        E::Expectation => (StatusCode::EXPECTATION_FAILED, "not-supported"),
        E::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-long"),
        E::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "timeout"),
        E::HeadTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too-long"),
        E::Version => (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "not-supported"),
        _ => (StatusCode::BAD_REQUEST, "invalid"),
    };
    let plain = matches!(error, E::MethodNotAllowed | E::OutsideBase | E::TargetTooLong);
    Refusal { closes: !plain, ..simple(status, code, "http", &sentence(&error.to_string())) }
}

fn identify(error: &IdentifyError) -> Refusal {
    let (status, code, text) = match error.status() {
        StatusCode::SERVICE_UNAVAILABLE => {
            (StatusCode::SERVICE_UNAVAILABLE, "transient", "Tokens cannot be checked at the moment.")
        }
        StatusCode::FORBIDDEN => {
            (StatusCode::FORBIDDEN, "forbidden", "The client is not registered for this purpose of use.")
        }
        _ => (StatusCode::UNAUTHORIZED, "login", "A valid access token or client certificate is required."),
    };
    Refusal { challenge: error.www_authenticate().map(ToString::to_string), ..simple(status, code, "identity", text) }
}

fn understand(error: &UnderstandError) -> Refusal {
    use UnderstandError as E;
    let (status, code) = match error {
        E::Format => (StatusCode::NOT_ACCEPTABLE, "not-supported"),
        E::Interaction(_) | E::Operation(_) | E::OperationParameter(_) | E::Search(_) | E::ResourceType => {
            (StatusCode::BAD_REQUEST, "not-supported")
        }
        E::PageLink | E::ContentLink => (StatusCode::NOT_FOUND, "not-found"),
        E::Body | E::BatchMedia => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-supported"),
        E::BatchLength => (StatusCode::PAYLOAD_TOO_LARGE, "too-costly"),
        E::Unpageable => (StatusCode::BAD_REQUEST, "too-long"),
        _ => (StatusCode::BAD_REQUEST, "invalid"),
    };
    simple(status, code, "request", &sentence(&error.to_string()))
}

fn decide(error: &DecideError) -> Refusal {
    let forbidden = |label, text: &str| simple(StatusCode::FORBIDDEN, "forbidden", label, text);
    let refusal = match error {
        DecideError::Denied(denial) => {
            let issue = |reason: &crate::decide::Reason| Issue {
                code: "forbidden",
                reason: Some((REASON_SYSTEM.to_owned(), reason.code.to_string())),
                text: reason.text.to_string(),
            };
            Refusal { issues: denial.reasons.iter().map(issue).collect(), ..forbidden("policy", "") }
        }
        DecideError::Scope { .. } => Refusal {
            challenge: Some("Bearer error=\"insufficient_scope\"".to_owned()),
            ..forbidden("scope", "The scopes of the access token do not allow this interaction.")
        },
        DecideError::Input { .. } => {
            simple(StatusCode::BAD_REQUEST, "too-costly", "policy-input", "The request is too large to be decided.")
        }
        _ => forbidden("policy-error", "No decision could be made; nothing is released."),
    };
    Refusal { decision: Some(error.decision()), ..refusal }
}

fn rewrite(error: &RewriteError, decision: DecisionId) -> Refusal {
    let refusal = match error {
        RewriteError::Superseded => simple(StatusCode::NOT_FOUND, "not-found", "page", &sentence(&error.to_string())),
        _ => simple(StatusCode::FORBIDDEN, "forbidden", "policy", &sentence(&error.to_string())),
    };
    Refusal { decision: Some(decision), ..refusal }
}

fn fetch(error: FetchError) -> Refusal {
    match error {
        FetchError::Pool(PoolError::Timeout) => upstream(StatusCode::GATEWAY_TIMEOUT, "upstream-timeout"),
        FetchError::Pool(PoolError::Busy) => upstream(StatusCode::SERVICE_UNAVAILABLE, "upstream-busy"),
        FetchError::Pool(_) | FetchError::Credential(_) => upstream(StatusCode::BAD_GATEWAY, "upstream-unreachable"),
        FetchError::Status(_) | FetchError::Hidden(_) => upstream(StatusCode::BAD_GATEWAY, "upstream-status"),
        FetchError::Media | FetchError::TooLarge | FetchError::Mismatch | FetchError::Facts => {
            upstream(StatusCode::BAD_GATEWAY, "upstream-invalid")
        }
    }
}

fn upstream(status: StatusCode, label: &'static str) -> Refusal {
    let (code, text) = match status {
        StatusCode::GATEWAY_TIMEOUT => ("timeout", "The record system did not answer in time."),
        StatusCode::SERVICE_UNAVAILABLE => ("throttled", "The record system is busy."),
        _ => ("transient", "The record system gave no usable answer."),
    };
    simple(status, code, label, text)
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}
