//! Sensitivity lists: the labels of records that carry none.
//!
//! Takes: `sensitivity/*.csv` of the policies' folder, `label,system,code,text`. Gives: [`Sensitivity`], asked with each code
//! of a resource which labels that code means. Guarantees: a list is understood whole or not at all; `F11*` means F11 and
//! what is below it; the spellings of one code or system that records have are one. Refuses: repeated or empty cells,
//! prefixes that hold half of a code system, labels that are none.

use std::borrow::Cow;
use std::collections::HashMap;

use super::admission::PolicyProblem;
use crate::fhir::code_system::one_name;
use crate::limits;

/// The system of labels that are written as a bare code.
const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

const HEADER: &str = "label,system,code,text";

/// A prefix has at least this many letters: a category of ICD-10-CM.
const PREFIX: usize = 3;

/// A label that a list computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComputedLabel {
    /// Its system.
    pub system: Box<str>,
    /// Its code.
    pub code: Box<str>,
}

/// All lists of one set of policies.
#[derive(Debug, Default)]
pub struct Sensitivity {
    labels: Vec<ComputedLabel>,
    /// By code as [`plain`] writes it: the system, and which label.
    exact: HashMap<Box<str>, Vec<(Box<str>, usize)>>,
    /// The same for prefixes.
    prefixes: HashMap<Box<str>, Vec<(Box<str>, usize)>>,
    longest_prefix: usize,
    sieve: Sieve,
}

impl Sensitivity {
    /// Reads lists by name and text.
    pub(super) fn read(files: &[(String, String)]) -> Result<Self, Vec<PolicyProblem>> {
        let (mut lists, mut problems) = (Self::default(), Vec::new());
        for (file, text) in files {
            let mut lines =
                text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
            if lines.next().is_none_or(|(_, line)| line.trim() != HEADER) {
                problems.push(PolicyProblem::in_file(file, format!("must begin with `{HEADER}`")));
                continue;
            }
            for (number, line) in lines {
                if let Err(why) = lists.line(line) {
                    let line = u32::try_from(number + 1).ok();
                    problems.push(PolicyProblem { file: file.clone(), line, text: why.to_owned() });
                }
            }
        }
        if problems.is_empty() { Ok(lists) } else { Err(problems) }
    }

    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        let mut cells = line.splitn(4, ',').map(str::trim);
        let mut cell = || cells.next().filter(|cell| !cell.is_empty()).ok_or("has fewer than four cells");
        let (label, system, code) = (cell()?, cell()?, cell()?);
        cell()?;
        if [label, system, code].iter().any(|cell| cell.contains(['"', ' '])) {
            return Err("has a cell with quotes or blanks");
        }
        let (label_system, label) = label.split_once('|').unwrap_or((ACT_CODE, label));
        if label.is_empty() || label_system.is_empty() {
            return Err("has a label that is none");
        }
        if self.exact.len() + self.prefixes.len() >= limits::SENSITIVE_CODES {
            return Err("is one code too many");
        }
        let system = one_name(system).into_owned();
        let (text, is_prefix) = code.strip_suffix('*').map_or((code, false), |prefix| (prefix, true));
        let text = plain(text);
        if text.is_empty() || text.contains('*') || (is_prefix && text.len() < PREFIX) {
            return Err("has a code that is none, or a prefix that is too short");
        }
        let known = self.labels.iter().position(|known| *known.system == *label_system && *known.code == *label);
        let label = known.unwrap_or_else(|| {
            self.labels.push(ComputedLabel { system: label_system.into(), code: label.into() });
            self.labels.len() - 1
        });
        self.sieve.add(if is_prefix { text.get(..PREFIX).unwrap_or(&text) } else { &text });
        if is_prefix {
            self.longest_prefix = self.longest_prefix.max(text.len());
        }
        let codes = if is_prefix { &mut self.prefixes } else { &mut self.exact };
        let means = codes.entry(text.into()).or_default();
        if means.iter().any(|(of, known)| **of == *system && *known == label) {
            return Err("is there twice");
        }
        means.push((system.into(), label));
        Ok(())
    }

    /// Every label that some code means.
    pub fn labels(&self) -> &[ComputedLabel] {
        &self.labels
    }

    /// Whether a code may be on a list, in whatever system; wrong at times, and never about one that is.
    pub fn may_list(&self, code: &str) -> bool {
        parts(code).any(|part| {
            let part = plain(part);
            self.sieve.may_hold(&part) || part.get(..PREFIX).is_some_and(|prefix| self.sieve.may_hold(prefix))
        })
    }

    /// Which of [`Self::labels`] a code means. Where no system is stated, every one may be meant.
    pub fn of<'s>(&'s self, system: &str, code: &str) -> impl Iterator<Item = usize> + use<'s> {
        let system = one_name(system).into_owned();
        let mut found = Vec::new();
        for part in parts(code) {
            let part = plain(part);
            let prefixes = (PREFIX..=self.longest_prefix).filter_map(|length| self.prefixes.get(part.get(..length)?));
            found.extend(self.exact.get(&*part).into_iter().chain(prefixes).flatten());
        }
        let is_same = move |of: &str| system.is_empty() || of.eq_ignore_ascii_case(&system);
        found.into_iter().filter(move |(of, _)| is_same(of)).map(|(_, label)| *label)
    }
}

/// The codes in a code: a post-coordinated expression (SNOMED CT) has several.
fn parts(code: &str) -> impl Iterator<Item = &str> {
    let whole = !code.bytes().any(|byte| matches!(byte, b':' | b'|' | b'+' | b'=' | b',' | b'{' | b'('));
    let between = move |letter: char| !(whole || letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.'));
    code.split(between).map(str::trim).filter(|part| !part.is_empty())
}

/// A code as lists compare it: without dots, blanks and what is not seen, in capitals.
fn plain(code: &str) -> Cow<'_, str> {
    let code = code.trim();
    if code.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.' && !byte.is_ascii_lowercase()) {
        return Cow::Borrowed(code);
    }
    let seen = |letter: &char| !(*letter == '.' || letter.is_whitespace() || letter.is_control() || is_unseen(*letter));
    let mut plain = String::with_capacity(code.len());
    plain.extend(code.chars().filter(seen).map(|letter| letter.to_ascii_uppercase()));
    Cow::Owned(plain)
}

/// Characters without width: joiners, marks of direction, the soft hyphen.
fn is_unseen(letter: char) -> bool {
    matches!(letter, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}')
}

/// Tells most codes that are on no list apart, without a look at the lists.
#[derive(Debug)]
struct Sieve(Box<[u64]>);

impl Default for Sieve {
    fn default() -> Self {
        Self(vec![0; 1 << 10].into())
    }
}

impl Sieve {
    fn add(&mut self, text: &str) {
        let (word, bit) = place(text);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    fn may_hold(&self, text: &str) -> bool {
        let (word, bit) = place(text);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// Where a text stands in the sieve: FNV-1a, folded to sixteen bits.
fn place(text: &str) -> (usize, u64) {
    let hash = text.bytes().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let folded = (hash >> 16) ^ (hash & 0xFFFF);
    ((folded >> 6) as usize, 1 << (folded & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTS: &str = "# Source: invented, version 1\nlabel,system,code,text\n\
        HIV,http://snomed.info/sct,86406008,\"HIV infection, any\"\n\
        SUD,http://hl7.org/fhir/sid/icd-10-cm,F11*,Opioid disorders\n\
        SUD,http://hl7.org/fhir/sid/icd-10-cm,T40.2X5A,Effect of opioids\n\
        http://labels|X,http://loinc.org,75622-1,A test\n\
        HIV,http://loinc.org,75622-1,A test\n";

    fn lists(text: &str) -> Result<Sensitivity, Vec<PolicyProblem>> {
        Sensitivity::read(&[("sensitivity/a.csv".to_owned(), text.to_owned())])
    }

    fn labels(system: &str, code: &str) -> Vec<String> {
        let lists = lists(LISTS).unwrap();
        let found: Vec<String> = lists.of(system, code).map(|at| lists.labels()[at].code.to_string()).collect();
        assert!(found.is_empty() || lists.may_list(code), "{code}");
        found
    }

    #[test]
    fn a_code_means_a_label_in_its_system() {
        assert_eq!(labels("http://snomed.info/sct", "86406008"), ["HIV"]);
        assert_eq!(labels("http://loinc.org", "75622-1"), ["X", "HIV"]);
        assert_eq!(labels("http://loinc.org", "86406008"), Vec::<String>::new());
        assert_eq!(labels("http://snomed.info/sct", "864060080"), Vec::<String>::new());
        for (system, code) in [
            ("", "86406008"),
            ("http://snomed.info/sct/", " 86406008 "),
            ("https://snomed.info/sct|2024", "86406008"),
            ("urn:oid:2.16.840.1.113883.6.96", "86406008"),
            ("http://snomed.info/sct", "243796009:246090004=86406008"),
            ("http://snomed.info/sct", "86406008|Human immunodeficiency virus infection|"),
            ("http://snomed.info/sct", "86406 008"),
            ("http://snomed.info/sct", "\u{feff}86406008\u{a0}"),
            ("http://snomed.info/sct", "864\u{200b}06008\t"),
            ("http://snomed.info/sct/900000000000207008/version/20240901", "86406008"),
            ("2.16.840.1.113883.6.96", "86406008"),
        ] {
            assert_eq!(labels(system, code), ["HIV"], "{system} {code}");
        }
    }

    #[test]
    fn a_prefix_means_what_is_below_it() {
        for code in ["F11", "F11.20", "f1120", "F11.2", " F11 . 2 ", "F 11"] {
            assert_eq!(labels("http://hl7.org/fhir/sid/icd-10-cm", code), ["SUD"], "{code}");
            assert_eq!(labels("http://hl7.org/fhir/sid/icd-10", code), ["SUD"], "{code}");
        }
        assert_eq!(labels("http://hl7.org/fhir/sid/icd-10-cm", "T402X5A"), ["SUD"]);
        for code in ["F1", "F12", "XF11", "T402X5", ""] {
            assert_eq!(labels("http://hl7.org/fhir/sid/icd-10-cm", code), Vec::<String>::new(), "{code}");
        }
    }

    #[test]
    fn a_list_is_understood_whole_or_not_at_all() {
        let with = |line: &str| format!("label,system,code,text\n{line}\n");
        for bad in [
            "",
            "label,system,code\n",
            &with("HIV,http://snomed.info/sct,1"),
            &with("HIV,http://snomed.info/sct,,x"),
            &with("HIV,,1,x"),
            &with("|HIV,s,1,x"),
            &with("http://s|,s,1,x"),
            &with("HIV,s,\"1\",x"),
            &with("HIV,s,F1*,x"),
            &with("HIV,s,F*1,x"),
            &with("HIV,s,1,x\nHIV,s,1,x"),
        ] {
            assert!(lists(bad).is_err(), "{bad}");
        }
        assert_eq!(lists(&with("HIV,s,1,x\nHIV,s,2")).unwrap_err()[0].line, Some(3));
        assert!(lists("label,system,code,text\n").unwrap().labels().is_empty());
    }
}
