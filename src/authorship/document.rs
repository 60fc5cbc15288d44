//! Attachments: their digest and size, and who wrote a C-CDA document by its own header.
//!
//! Takes: the bytes of an attachment. Gives: [`Content`]. Guarantees: no DTD, no entity but the five of XML, no file or
//! network is looked at; size, nodes and depth are bounded, and reading does not recurse. Refuses: as [`DocumentError`], what is
//! no well-formed ClinicalDocument (HL7 CDA R2, C-CDA R2.1 US Realm Header).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use roxmltree::{Document, Node, ParsingOptions};
use thiserror::Error;

use super::party::{Class, Link, Party};
use crate::fhir::identifier::Identifier;
use crate::limits;

/// The namespace of HL7 v3.
const V3: &str = "urn:hl7-org:v3";

/// Why the header of a document cannot be read. Carries nothing of the document.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DocumentError {
    /// Not UTF-8, or said to be something else.
    #[error("the document is not in utf-8")]
    Encoding,
    /// More bytes, nodes, depth or authors than are read.
    #[error("the document is too large")]
    Large,
    /// Well-formed, and no ClinicalDocument.
    #[error("not a clinical document")]
    Other,
    /// Not well-formed, or with a DTD.
    #[error("the document is not well-formed")]
    Syntax,
}

/// What is known of an attachment's bytes.
#[derive(Clone, Debug)]
pub(super) struct Content {
    /// SHA-1 in base64, as `Attachment.hash` has it.
    pub(super) hash: String,
    pub(super) size: usize,
    /// `None` where the bytes do not look like XML, in whatever encoding.
    pub(super) header: Option<Result<Header, DocumentError>>,
}

impl Content {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let hash = BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes));
        Self { hash, size: bytes.len(), header: is_like_xml(bytes).then(|| Header::read(bytes)) }
    }

    /// The content that stands in base64, white space in it allowed; `None` where that is none.
    pub(super) fn read_base64(data: &str) -> Option<Self> {
        let bare: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        BASE64_STANDARD.decode(bare).ok().map(|bytes| Self::read(&bytes))
    }
}

/// Whether a text begins with `<`, in UTF-8, UTF-16 or UTF-32 (XML 1.0 appendix F.1), after white space.
fn is_like_xml(bytes: &[u8]) -> bool {
    let marks: [&[u8]; 3] = [b"\xEF\xBB\xBF", b"\xFE\xFF", b"\xFF\xFE"];
    let bare = marks.iter().find_map(|mark| bytes.strip_prefix(*mark)).unwrap_or(bytes);
    bare.iter().find(|byte| **byte != 0 && !byte.is_ascii_whitespace()) == Some(&b'<')
}

/// Who answers for a document, by its header.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// `author`, each with the organisation that it represents.
    pub(super) authors: Vec<Party>,
    /// `legalAuthenticator`
    pub(super) authenticator: Option<Party>,
    /// `custodian`
    pub(super) custodian: Option<Party>,
}

impl Header {
    /// Reads the header of a C-CDA document.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() > limits::DOCUMENT_BYTES {
            return Err(DocumentError::Large);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| DocumentError::Encoding)?;
        if states_another_encoding(text) {
            return Err(DocumentError::Encoding);
        }
        if has_many_prefixes(text) || has_many_attributes(text.as_bytes()) {
            return Err(DocumentError::Large);
        }
        let options = ParsingOptions { allow_dtd: false, nodes_limit: limits::DOCUMENT_NODES, entity_resolver: None };
        let document = Document::parse_with_options(text, options).map_err(|error| match error {
            roxmltree::Error::NodesLimitReached => DocumentError::Large,
            _ => DocumentError::Syntax,
        })?;
        let root = document.root_element();
        if !root.has_tag_name((V3, "ClinicalDocument")) {
            return Err(DocumentError::Other);
        }
        if depth(root) > limits::DOCUMENT_DEPTH {
            return Err(DocumentError::Large);
        }
        let authors: Vec<Party> =
            children(root, "author").filter_map(author).take(limits::DOCUMENT_AUTHORS + 1).collect();
        if authors.len() > limits::DOCUMENT_AUTHORS {
            return Err(DocumentError::Large);
        }
        let authenticator = child(root, "legalAuthenticator").and_then(|node| child(node, "assignedEntity"));
        let custodian = child(root, "custodian")
            .and_then(|node| child(node, "assignedCustodian"))
            .and_then(|node| child(node, "representedCustodianOrganization"));
        Ok(Self { authors, authenticator: authenticator.map(person), custodian: custodian.map(organization) })
    }
}

fn author(node: Node<'_, '_>) -> Option<Party> {
    child(node, "assignedAuthor").map(person)
}

/// An `assignedAuthor` or `assignedEntity`.
fn person(node: Node<'_, '_>) -> Party {
    let class = if child(node, "assignedAuthoringDevice").is_some() { Class::Device } else { Class::Practitioner };
    let represented = child(node, "representedOrganization").map(organization);
    Party::stated(class, identifiers(node), represented.map(|party| Link::Stated(Box::new(party))))
}

fn organization(node: Node<'_, '_>) -> Party {
    Party::stated(Class::Organization, identifiers(node), None)
}

/// The `id`s that say something: not those with a `nullFlavor`.
fn identifiers(node: Node<'_, '_>) -> Vec<Identifier> {
    let stated = children(node, "id").filter(|id| id.attribute("nullFlavor").is_none());
    let read = |id: Node<'_, '_>| Identifier::of_ii(id.attribute("root")?, id.attribute("extension"));
    stated.filter_map(read).take(limits::PARTY_IDENTIFIERS).collect()
}

fn children<'n, 'd>(node: Node<'n, 'd>, name: &'static str) -> impl Iterator<Item = Node<'n, 'd>> {
    node.children().filter(move |child| child.has_tag_name((V3, name)))
}

fn child<'n, 'd>(node: Node<'n, 'd>, name: &'static str) -> Option<Node<'n, 'd>> {
    children(node, name).next()
}

/// The largest number of elements inside each other; stops where the limit is passed.
fn depth(root: Node<'_, '_>) -> usize {
    let (mut node, mut level, mut deepest) = (root, 1_usize, 1);
    loop {
        if let Some(inner) = node.first_element_child() {
            (node, level) = (inner, level + 1);
            deepest = deepest.max(level);
            if deepest > limits::DOCUMENT_DEPTH {
                return deepest;
            }
            continue;
        }
        loop {
            if node == root {
                return deepest;
            }
            if let Some(next) = node.next_sibling_element() {
                node = next;
                break;
            }
            let Some(outer) = node.parent() else { return deepest };
            (node, level) = (outer, level.saturating_sub(1));
        }
    }
}

/// Whether more prefixes are bound than documents need: each element that binds one is given a copy of all.
fn has_many_prefixes(text: &str) -> bool {
    let mut known: Vec<&str> = Vec::new();
    text.match_indices("xmlns").any(|(at, _)| {
        let name = text
            .get(at..)
            .and_then(|rest| rest.split(['=', '>', '<', ' ', '\t', '\r', '\n']).next())
            .unwrap_or_default();
        if !known.contains(&name) {
            known.push(name);
        }
        known.len() > limits::DOCUMENT_PREFIXES
    })
}

/// Whether a tag has more attributes than documents need: each is compared with all before it.
fn has_many_attributes(mut rest: &[u8]) -> bool {
    let after = |rest: &'_ [u8], end: &[u8]| memchr::memmem::find(rest, end).map_or(rest.len(), |at| at + end.len());
    while let Some(at) = memchr::memchr(b'<', rest) {
        rest = rest.get(at + 1..).unwrap_or_default();
        let plain = [(&b"!--"[..], &b"-->"[..]), (b"![CDATA[", b"]]>"), (b"?", b"?>")];
        if let Some((_, end)) = plain.iter().find(|(begin, _)| rest.starts_with(begin)) {
            rest = rest.get(after(rest, end)..).unwrap_or_default();
            continue;
        }
        let mut attributes = 0;
        while let Some((at, byte)) = rest.iter().copied().enumerate().find(|(_, byte)| b">=\"'".contains(byte)) {
            rest = rest.get(at + 1..).unwrap_or_default();
            match byte {
                b'>' => break,
                b'=' => attributes += 1,
                quote => rest = rest.get(after(rest, &[quote])..).unwrap_or_default(),
            }
            if attributes > limits::DOCUMENT_ATTRIBUTES {
                return true;
            }
        }
    }
    false
}

/// Whether the XML declaration names an encoding that these bytes, which are UTF-8, are not in.
fn states_another_encoding(text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some((declaration, _)) = text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")) else {
        return false;
    };
    let Some((_, after)) = declaration.split_once("encoding") else { return false };
    let stated = after.trim_start().strip_prefix('=').unwrap_or(after).trim_start();
    let quote = stated.chars().next().filter(|quote| matches!(quote, '"' | '\''));
    let name = quote.and_then(|quote| stated.get(1..)?.split_once(quote)).map_or("", |(name, _)| name);
    !["utf-8", "us-ascii"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(header: &str) -> String {
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><ClinicalDocument xmlns="urn:hl7-org:v3">{header}<component/></ClinicalDocument>"#
        )
    }

    const AUTHOR: &str = r#"<author><assignedAuthor><id root="2.16.840.1.113883.4.6" extension="1136090283"/>
        <id nullFlavor="UNK" root="1.2.3"/><assignedPerson/><representedOrganization><id root="2.16.840.1.113883.4.6"
        extension="1474179235"/></representedOrganization></assignedAuthor></author>
        <author><assignedAuthor><id root="1.2.3" extension="d"/><assignedAuthoringDevice/></assignedAuthor></author>
        <custodian><assignedCustodian><representedCustodianOrganization><id root="1.9"/></representedCustodianOrganization>
        </assignedCustodian></custodian><legalAuthenticator><assignedEntity><id root="1.2.3" extension="l"/></assignedEntity>
        </legalAuthenticator>"#;

    #[test]
    fn a_header_is_read() {
        let header = Header::read(document(AUTHOR).as_bytes()).unwrap();
        let [first, second] = header.authors.as_slice() else { panic!("two authors") };
        assert_eq!(first.identifiers, [Identifier::of_ii("2.16.840.1.113883.4.6", Some("1136090283")).unwrap()]);
        assert_eq!((first.class, second.class), (Class::Practitioner, Class::Device));
        let Some(Link::Stated(organization)) = &first.organization else { panic!("an organisation") };
        assert_eq!(organization.identifiers[0].value(), "1474179235");
        assert_eq!(header.authenticator.unwrap().identifiers[0].value(), "l");
        assert_eq!(header.custodian.unwrap().identifiers[0].as_str(), "urn:ietf:rfc:3986|urn:oid:1.9");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let nested = |depth: usize| document(&format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth)));
        let attributes = |name: &str| (0..200_000).map(|at| format!("{name}{at}='>' ")).collect::<String>();
        let nested_prefixes: String = (0..60_000).map(|at| format!("<a xmlns:p{at}=\"u\">")).collect();
        let many = document(&"<author><assignedAuthor/></author>".repeat(limits::DOCUMENT_AUTHORS + 1));
        for (text, error) in [
            (String::new(), DocumentError::Syntax),
            ("<a/>".to_owned(), DocumentError::Other),
            ("<ClinicalDocument/>".to_owned(), DocumentError::Other),
            (document("<author>"), DocumentError::Syntax),
            (document("&nbsp;"), DocumentError::Syntax),
            ("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>".to_owned(), DocumentError::Syntax),
            ("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>".to_owned(), DocumentError::Syntax),
            ("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a/>".to_owned(), DocumentError::Encoding),
            (nested(limits::DOCUMENT_DEPTH), DocumentError::Large),
            (nested(100_000), DocumentError::Large),
            (many, DocumentError::Large),
            (document(&format!("<a {}/>", attributes("a"))), DocumentError::Large),
            (document(&format!("<!-- < --><![CDATA[<]]><?p <?><b c='>' {}/>", attributes("a"))), DocumentError::Large),
            (document(&nested_prefixes), DocumentError::Large),
            (" ".repeat(limits::DOCUMENT_BYTES + 1), DocumentError::Large),
        ] {
            assert_eq!(Header::read(text.as_bytes()).unwrap_err(), error, "{:.60}", text);
        }
        assert_eq!(Header::read(b"<a>\xff</a>").unwrap_err(), DocumentError::Encoding);
        assert!(Header::read(nested(limits::DOCUMENT_DEPTH - 1).as_bytes()).is_ok());
    }

    #[test]
    fn what_is_in_texts_is_no_attribute() {
        let text = format!("<!-- {0} --><![CDATA[<a {0}>]]><a b=\"{0}\">{0}</a>", "x=1 ".repeat(1_000));
        assert!(Header::read(document(&text).as_bytes()).is_ok());
    }

    #[test]
    fn bytes_are_measured() {
        let content = Content::read(b"hello");
        assert_eq!((content.hash.as_str(), content.size), ("qvTGHdzF6KLavt4PO0gs2a6pQ00=", 5));
        assert!(content.header.is_none());
        assert!(Content::read("\u{feff} <a/>".as_bytes()).header.is_some());
    }
}
