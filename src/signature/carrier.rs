//! Where a resource carries signatures (CDex, "Signatures"; SDC for forms).
//!
//! Takes: a document. Gives: each `Bundle.signature`, and each signature extension of a QuestionnaireResponse or an item of
//! one, with the value that it signs. Guarantees: what is left out of the signed content is nothing but the signature itself:
//! an extension that holds anything beside it is told apart. Refuses: signatures elsewhere, which are none of these.

use super::canonical::{Omitted, is_signature};
use crate::fhir::json::{Kind, Value};
use crate::fhir::name::ResourceType;

/// One signature and what it is about.
#[derive(Clone, Debug)]
pub(super) struct Carrier<'d> {
    /// Where the signature is, as FHIRPath has it.
    pub(super) path: String,
    /// What is signed, before anything is left out.
    pub(super) content: Value<'d>,
    pub(super) omitted: Omitted,
    /// The Signature; `None` where its place holds something else as well.
    pub(super) signature: Option<Value<'d>>,
    /// Whether it covers the document as a whole.
    pub(super) is_whole: bool,
}

/// The type of the resource that `root` is; `None` if it is none.
pub(super) fn resource_type(root: Value<'_>) -> Option<ResourceType> {
    ResourceType::parse(&root.get("resourceType")?.text()?).ok()
}

/// Whether a resource carries a signature of its own: a cheap question, for all but Bundles and forms.
pub fn has_own_signature(root: Value<'_>) -> bool {
    resource_type(root).is_some_and(|of| matches!(of.as_str(), "Bundle" | "QuestionnaireResponse"))
        && !carriers(root, 1).is_empty()
}

/// All signatures in `root`, in order; more than `most` are not looked for.
pub(super) fn carriers(root: Value<'_>, most: usize) -> Vec<Carrier<'_>> {
    let name = resource_type(root).map_or_else(String::new, |resource_type| resource_type.to_string());
    let mut walk = Walk { path: name, found: Vec::new(), most, depth: 0 };
    walk.object(root, false);
    walk.found
}

struct Walk<'d> {
    path: String,
    found: Vec<Carrier<'d>>,
    most: usize,
    depth: usize,
}

impl<'d> Walk<'d> {
    /// `is_item`: this is an item of a QuestionnaireResponse.
    fn object(&mut self, object: Value<'d>, is_item: bool) {
        let kind = object.get("resourceType").and_then(Value::text);
        let is_form = kind.as_deref() == Some("QuestionnaireResponse");
        if kind.as_deref() == Some("Bundle")
            && let Some(signature) = object.get("signature")
        {
            let signature = Some(signature).filter(|signature| signature.kind() == Kind::Object);
            self.push(object, Omitted::Bundle, signature, ".signature");
        }
        if is_form || is_item {
            let omitted = if is_form { Omitted::QuestionnaireResponse } else { Omitted::Item };
            let extensions = object.get("extension").map(Value::items).into_iter().flatten();
            for (at, extension) in extensions.enumerate().filter(|(_, extension)| is_signature(*extension)) {
                let signature = extension.get("valueSignature").filter(|signature| signature.kind() == Kind::Object);
                let is_alone = extension.members().all(|member| matches!(member.name, "url" | "id" | "valueSignature"));
                let place = format!(".extension[{at}].valueSignature");
                self.push(object, omitted, signature.filter(|_| is_alone), &place);
            }
        }
        for member in object.members() {
            let is_within = is_form || is_item;
            let length = self.path.len();
            self.path.push('.');
            self.path.push_str(member.name);
            self.value(member.value, is_within && member.name == "item", is_within && member.name == "answer");
            self.path.truncate(length);
        }
    }

    /// `are_items`: objects here are items; `are_answers`: objects here hold items.
    fn value(&mut self, value: Value<'d>, are_items: bool, are_answers: bool) {
        self.depth += 1;
        match value.kind() {
            Kind::Object if are_answers => {
                let length = self.path.len();
                for member in value.members() {
                    self.path.push('.');
                    self.path.push_str(member.name);
                    self.value(member.value, member.name == "item", false);
                    self.path.truncate(length);
                }
            }
            Kind::Object => self.object(value, are_items),
            Kind::Array => {
                let length = self.path.len();
                for (at, item) in value.items().enumerate() {
                    if matches!(item.kind(), Kind::Object | Kind::Array) {
                        self.path.push_str(&format!("[{at}]"));
                        self.value(item, are_items, are_answers);
                        self.path.truncate(length);
                    }
                }
            }
            _ => {}
        }
        self.depth -= 1;
    }

    fn push(&mut self, content: Value<'d>, omitted: Omitted, signature: Option<Value<'d>>, place: &str) {
        if self.found.len() < self.most {
            let path = format!("{}{place}", self.path);
            self.found.push(Carrier { path, content, omitted, signature, is_whole: self.depth == 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::json::Tape;
    use crate::signature::SIGNATURE_EXTENSION;

    #[test]
    fn signatures_are_found_where_they_may_be() {
        let extension = format!(r#"{{"url":"{SIGNATURE_EXTENSION}","valueSignature":{{}}}}"#);
        let odd = format!(r#"{{"url":"{SIGNATURE_EXTENSION}","valueSignature":{{}},"extension":[]}}"#);
        let form = format!(
            r#"{{"resourceType":"QuestionnaireResponse","extension":[{{"url":"x"}},{extension}],"item":[{{"extension":[{extension}],"answer":[{{"extension":[{extension}],"item":[{{"extension":[{odd}]}}]}}]}}]}}"#
        );
        let bundle = format!(r#"{{"resourceType":"Bundle","signature":1,"entry":[{{"resource":{form}}}]}}"#);
        let parameters = format!(
            r#"{{"resourceType":"Parameters","extension":[{extension}],"signature":{{}},"parameter":[{{"resource":{bundle}}}]}}"#
        );
        let entry = "Parameters.parameter[0].resource.entry[0].resource";
        for (text, expected) in [
            (
                r#"{"resourceType":"Bundle","signature":{}}"#.to_owned(),
                vec![("Bundle.signature".to_owned(), true, true)],
            ),
            (r#"{"resourceType":"Bundle"}"#.to_owned(), vec![]),
            (
                parameters,
                vec![
                    ("Parameters.parameter[0].resource.signature".to_owned(), false, false),
                    (format!("{entry}.extension[1].valueSignature"), true, false),
                    (format!("{entry}.item[0].extension[0].valueSignature"), true, false),
                    (format!("{entry}.item[0].answer[0].item[0].extension[0].valueSignature"), false, false),
                ],
            ),
        ] {
            let mut tape = Tape::new();
            let root = tape.read(text.as_bytes()).unwrap().root();
            let found: Vec<_> = carriers(root, 9)
                .into_iter()
                .map(|carrier| (carrier.path, carrier.signature.is_some(), carrier.is_whole))
                .collect();
            assert_eq!(found, expected, "{text}");
            assert!(carriers(root, 1).len() <= 1);
        }
    }
}
