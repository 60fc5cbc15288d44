//! JSON as FHIR needs it read: order, number text and positions kept, ambiguity refused.
//!
//! Takes: bytes. Gives: a [`Document`], an index over those bytes that is walked without allocating.
//! Guarantees: RFC 8259 grammar, valid UTF-8, paired surrogates, unique member names, bounded depth and
//! number of values; a slice of the text is exactly what the sender wrote (`6.30` stays `6.30`).
//! Refuses: duplicate or escaped member names (FHIR element names need no escapes, so an escaped one is
//! a disguise), anything after the end of the document.

use std::borrow::Cow;

use thiserror::Error;

mod read;
#[cfg(test)]
mod tests;

/// Why bytes are not an acceptable JSON document. Carries positions, never content.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum JsonError {
    /// Nesting beyond [`crate::limits::JSON_DEPTH`].
    #[error("nested too deeply at byte {0}")]
    Depth(usize),
    /// A member name occurs twice in one object.
    #[error("member name repeated at byte {0}")]
    Duplicate(usize),
    /// A member name is written with an escape.
    #[error("member name written with an escape at byte {0}")]
    EscapedName(usize),
    /// The bytes end inside the document.
    #[error("ends before it is complete")]
    Incomplete,
    /// Not JSON.
    #[error("not json at byte {0}")]
    Syntax(usize),
    /// Something follows the document.
    #[error("text after the end at byte {0}")]
    Trailing(usize),
    /// More values than [`crate::limits::JSON_VALUES`], or more than 4 GiB of text.
    #[error("too many values")]
    Values,
    /// A string holds an escape that is no character, such as a lone surrogate.
    #[error("impossible escape at byte {0}")]
    Escape(usize),
    /// Not UTF-8.
    #[error("not utf-8")]
    Utf8,
}

/// The kind of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `[…]`
    Array,
    /// `true` or `false`
    Boolean,
    /// `null`
    Null,
    /// A number, in any form RFC 8259 allows.
    Number,
    /// `{…}`
    Object,
    /// A string.
    String,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    start: u32,
    end: u32,
    /// Index of the first node after this subtree.
    next: u32,
    kind: Kind,
    /// For strings: whether the text holds a backslash.
    escaped: bool,
    /// Whether it is the name of a member, whose value is the next node.
    name: bool,
    /// For names: what tells most of them apart without a look at the text.
    sketch: u8,
}

/// What some value of a document has or is; noted while it is read, so that most documents need no second look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// A string spells some character as `\u…` or `\/`: a search through raw text may miss what the text says.
    pub veiled: bool,
    /// A member is called `extension`, `modifierExtension`, `url`, or otherwise as what holds a URL of R4's is
    /// ([`is_link`]), or its name holds a `_`: without one, there is no extension of any kind, no link, and no name that
    /// FHIR has not.
    pub extended: bool,
    /// A value is `null`, or an array or object with nothing in it.
    pub hollow: bool,
    /// An object says `display` and neither `code` nor `system`, `reference` nor `identifier`: of what is not stated.
    pub unattached: bool,
    /// How many members are called `resourceType`.
    pub resources: u32,
}

/// Whether a member of this name holds a URL, and what it leads to is no resource of R4's own vocabulary.
pub fn is_link(name: &str) -> bool {
    matches!(
        name,
        "url"
            | "uri"
            | "valueUrl"
            | "valueUri"
            | "valueCanonical"
            | "valueOid"
            | "instantiatesUri"
            | "instantiatesCanonical"
            | "implicitRules"
    )
}

/// Memory for the index of one document after another.
#[derive(Debug, Default)]
pub struct Tape {
    nodes: Vec<Node>,
    traits: Traits,
    /// The names of members that lead to something else: `reference` and `identifier`.
    pointers: Vec<u32>,
    /// The names of members that are called `code` or `valueCode`.
    codes: Vec<u32>,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the one document that `bytes` must be, white space around it allowed. A number that is all there is counts as
    /// incomplete, because more digits could follow; nothing that is read here is one.
    pub fn read<'t>(&'t mut self, bytes: &'t [u8]) -> Result<Document<'t>, JsonError> {
        let end = read::document(bytes, 0, self)?;
        if let Some(extra) = read::skip_space(bytes, end).filter(|at| *at < bytes.len()) {
            return Err(JsonError::Trailing(extra));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| JsonError::Utf8)?;
        Ok(Document { text, nodes: &self.nodes, traits: self.traits, pointers: &self.pointers, codes: &self.codes })
    }

    /// Reads the document that begins at the first byte of `bytes` that is not white space, and tells where it ends.
    ///
    /// [`JsonError::Incomplete`] means that more bytes may complete it.
    pub fn read_first<'t>(&'t mut self, bytes: &'t [u8]) -> Result<(Document<'t>, usize), JsonError> {
        let end = read::document(bytes, 0, self)?;
        let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default()).map_err(|_| JsonError::Utf8)?;
        Ok((
            Document { text, nodes: &self.nodes, traits: self.traits, pointers: &self.pointers, codes: &self.codes },
            end,
        ))
    }
}

/// One document and its index.
#[derive(Clone, Copy, Debug)]
pub struct Document<'d> {
    text: &'d str,
    nodes: &'d [Node],
    traits: Traits,
    pointers: &'d [u32],
    codes: &'d [u32],
}

impl<'d> Document<'d> {
    /// The outermost value.
    pub fn root(self) -> Value<'d> {
        Value { document: self, at: 0 }
    }

    /// The text that was read.
    pub fn text(self) -> &'d str {
        self.text
    }

    fn node(self, at: usize) -> Option<&'d Node> {
        self.nodes.get(at)
    }

    fn slice(self, node: &Node) -> &'d str {
        self.text.get(node.start as usize..node.end as usize).unwrap_or_default()
    }

    fn is_named(self, node: &Node, name: &str) -> bool {
        let quoted = self.text.as_bytes().get(node.start as usize..node.end as usize);
        quoted.and_then(|quoted| quoted.get(1..quoted.len() - 1)) == Some(name.as_bytes())
    }

    /// What is between the quotes of a string.
    fn inner(self, node: &Node) -> Option<&'d str> {
        self.text.get(node.start as usize + 1..(node.end as usize).checked_sub(1)?)
    }
}

/// One value of a document.
#[derive(Clone, Copy, Debug)]
pub struct Value<'d> {
    document: Document<'d>,
    at: usize,
}

impl<'d> Value<'d> {
    /// What kind of value this is.
    pub fn kind(self) -> Kind {
        self.document.node(self.at).map_or(Kind::Null, |node| node.kind)
    }

    /// The text as the sender wrote it, quotes included.
    pub fn raw(self) -> &'d str {
        self.document.node(self.at).map_or("", |node| self.document.slice(node))
    }

    /// The string, with escapes resolved; `None` for other kinds.
    pub fn text(self) -> Option<Cow<'d, str>> {
        let node = self.document.node(self.at).filter(|node| node.kind == Kind::String)?;
        let inner = self.document.inner(node)?;
        Some(if node.escaped { Cow::Owned(read::unescape(inner)) } else { Cow::Borrowed(inner) })
    }

    /// The boolean, `None` for other kinds.
    pub fn boolean(self) -> Option<bool> {
        (self.kind() == Kind::Boolean).then(|| self.raw() == "true")
    }

    /// The member of this name; `None` where there is none or this is no object.
    pub fn get(self, name: &str) -> Option<Self> {
        let Members { document, mut at, end } = self.members();
        let sketch = read::sketch(name.as_bytes());
        while at < end {
            let [member, value, ..] = document.nodes.get(at..)? else { return None };
            if member.sketch == sketch && document.is_named(member, name) {
                return Some(Value { document, at: at + 1 });
            }
            at = value.next as usize;
        }
        None
    }

    /// Every value inside this one, at any depth and in order, with its name where it is a member.
    pub fn below(self) -> impl Iterator<Item = (Option<&'d str>, Value<'d>)> {
        let document = self.document;
        let mut at = self.at + 1;
        let end = document.node(self.at).map_or(0, |node| node.next as usize);
        std::iter::from_fn(move || {
            let node = document.node(at).filter(|_| at < end)?;
            let name = if node.name { document.inner(node) } else { None };
            let value = Value { document, at: at + usize::from(node.name) };
            at = value.at + 1;
            Some((name, value))
        })
    }

    /// The members inside this value, at any depth, that are called `reference` or `identifier`.
    pub fn pointers(self) -> impl Iterator<Item = Member<'d>> {
        self.noted(self.document.pointers)
    }

    /// The members inside this value, at any depth, that are called `code` or `valueCode`.
    pub fn codes(self) -> impl Iterator<Item = Member<'d>> {
        self.noted(self.document.codes)
    }

    fn noted(self, names: &'d [u32]) -> impl Iterator<Item = Member<'d>> {
        let document = self.document;
        let end = document.node(self.at).map_or(0, |node| node.next as usize);
        let first = names.partition_point(|at| *at as usize <= self.at);
        let inside = names.get(first..).unwrap_or_default().iter().map(|at| *at as usize);
        inside.take_while(move |at| *at < end).filter_map(move |at| {
            Some(Member { name: document.inner(document.node(at)?)?, value: Value { document, at: at + 1 } })
        })
    }

    /// What may be said of the whole document that this is part of.
    pub fn traits(self) -> Traits {
        self.document.traits
    }

    /// Whether this is an array or object with nothing in it.
    pub fn is_empty(self) -> bool {
        let leaf = self.document.node(self.at).is_none_or(|node| node.next as usize == self.at + 1);
        leaf && matches!(self.kind(), Kind::Array | Kind::Object)
    }

    /// The members of an object, in order; none for other kinds.
    pub fn members(self) -> Members<'d> {
        let object = self.document.node(self.at).filter(|node| node.kind == Kind::Object);
        let (at, end) = object.map_or((0, 0), |node| (self.at + 1, node.next as usize));
        Members { document: self.document, at, end }
    }

    /// The items of an array, in order; none for other kinds.
    pub fn items(self) -> Items<'d> {
        let array = self.document.node(self.at).filter(|node| node.kind == Kind::Array);
        let (at, end) = array.map_or((0, 0), |node| (self.at + 1, node.next as usize));
        Items { document: self.document, at, end }
    }

    /// The items of an array, or this value itself: FHIR paths look through repetitions.
    pub fn each(self) -> Items<'d> {
        match self.kind() {
            Kind::Array => self.items(),
            _ => Items { document: self.document, at: self.at, end: self.at + 1 },
        }
    }
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub struct Member<'d> {
    /// The name, which holds no escapes.
    pub name: &'d str,
    /// The value.
    pub value: Value<'d>,
}

/// See [`Value::members`].
#[derive(Clone, Debug)]
pub struct Members<'d> {
    document: Document<'d>,
    at: usize,
    end: usize,
}

impl<'d> Iterator for Members<'d> {
    type Item = Member<'d>;

    fn next(&mut self) -> Option<Member<'d>> {
        if self.at >= self.end {
            return None;
        }
        let name = self.document.inner(self.document.node(self.at)?)?;
        let value = Value { document: self.document, at: self.at + 1 };
        self.at = self.document.node(value.at)?.next as usize;
        Some(Member { name, value })
    }
}

/// See [`Value::items`].
#[derive(Clone, Debug)]
pub struct Items<'d> {
    document: Document<'d>,
    at: usize,
    end: usize,
}

impl<'d> Iterator for Items<'d> {
    type Item = Value<'d>;

    fn next(&mut self) -> Option<Value<'d>> {
        if self.at >= self.end {
            return None;
        }
        let value = Value { document: self.document, at: self.at };
        self.at = self.document.node(self.at)?.next as usize;
        Some(value)
    }
}

/// Writes `text` as a JSON string, quotes included, in the shortest escapes (RFC 8785 section 3.2.2.2).
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\')) {
        let (plain, after) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = after.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
