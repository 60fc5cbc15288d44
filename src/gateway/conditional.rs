//! Conditional reads (RFC 9110 section 13): decided on first, compared afterwards.
//!
//! Takes: a resource that may leave, and what the client says it has. Gives: the resource under its tag, or that it has
//! not changed. Guarantees: the tag is made of the bytes that may leave and of nothing else, so that it tells nothing that
//! they do not; what is withheld has none. Refuses: nothing; conditions on time are ignored, as the gateway states none.

use aws_lc_rs::digest::{SHA256, digest};

use super::Gateway;
use super::trail::{Trail, hex};
use crate::audit::Reservation;
use crate::filter::Released;
use crate::respond::{self, Answer};

/// Bytes of the digest that stand in a tag: two versions of one resource do not share them by chance.
const TAG_BYTES: usize = 16;

/// The entity tag of bytes that may leave. Weak, because who is given more or less of a resource has another one.
fn tag(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    format!("W/\"{}\"", hex(digest.as_ref().get(..TAG_BYTES).unwrap_or_default()))
}

/// Whether a value of `If-None-Match` names the tag, by the weak comparison of RFC 9110 section 8.8.3.2.
fn names(condition: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    condition.trim() == "*" || condition.split(',').any(|one| opaque(one.trim()) == opaque(tag))
}

impl Gateway {
    /// Answers a read.
    pub(super) async fn release_resource(
        &self,
        resource: Released,
        room: Reservation,
        mut trail: Box<Trail>,
    ) -> Answer {
        let tag = tag(resource.as_bytes());
        let is_known = trail.condition().is_some_and(|condition| names(condition, &tag));
        let (status, body) = if is_known { (304, None) } else { (200, Some(resource.as_bytes())) };
        trail.log(status, None, &self.shared.metrics);
        match self.record(room, trail.entry(status, None, body)).await {
            Ok(receipt) if is_known => respond::not_modified(&tag, &receipt),
            Ok(receipt) => respond::tagged(resource, &tag, &receipt),
            Err(_) => self.unrecorded(&trail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_named_by_itself_and_by_any() {
        let own = tag(b"x");
        assert_eq!(own.len(), 2 + 2 + 2 * TAG_BYTES);
        let strong = own.trim_start_matches("W/");
        for yes in ["*", &own, strong, &format!("\"a\", {own}"), &format!("W/\"a\",{strong} , \"b\"")] {
            assert!(names(yes, &own), "{yes}");
        }
        for no in ["", "\"\"", &tag(b"y"), strong.trim_matches('"'), &own.to_uppercase()] {
            assert!(!names(no, &own), "{no}");
        }
    }
}
