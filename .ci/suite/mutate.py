#!/usr/bin/env python3
"""mutate.py : takes each check out of the filter, and of signatures, in turn: the tests then fail, and an attack comes through.

    mutate.py [--part tests|attacks] [--only TEXT] [--find]

A copy of the sources is compiled once, with every mutation in it behind a switch; each run of the tests turns one on. The
tests are those of the filter and of what an EHR may do wrong (tests/it/careless.rs, tests/it/overlooked.rs), or those of
signatures: one of them must fail for each mutation, and none without. The attacks are those of the hostile suite
(tests/hostile): a case of it must fail for each mutation of the filter's own files, and none without. CAUGHT_BY says which;
where that one does not fail, every case that is about what the filter sees is tried. --find tries all those for each mutation,
and prints the table anew; --only takes the mutations whose name holds TEXT.

A mutation says in which file, names the text with the expression to be replaced in ⟦ ⟧ (blanks do not count), and what
stands there instead; entries of one name are one mutation. A text that is not there exactly once is an error, so that this
list keeps up with the code.
CARGO_TARGET_DIR is shared with other builds.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from gateway import ROOT, Cases  # noqa: E402

SCRATCH = pathlib.Path(os.environ.get("PORTCULLIS_CI_WORK") or pathlib.Path.home() / ".cache/portcullis-ci") / "mutants"
FOLDERS = SCRATCH / "folders"  # of the tests, which may be stopped before they tidy up
TARGET = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
TESTS = [("lib", "filter::"), ("it", "careless::"), ("it", "overlooked::")]
TESTS_OF_SIGNATURES = [("lib", "signature::"), ("it", "signature::")]
SECONDS = 120
# The cases that are about what the filter sees, by the beginnings of their ids; those likely to find something come first.
ATTACKS = ["Y-", "G-", "A1-", "A4-", "A6-", "A7-", "A9-", "A15-", "C-", "F-", "H-", "A", "E-", "Z-"]

JUDGE, LABELS, OUTLINE = "src/filter/judge.rs", "src/filter/labels.rs", "src/filter/outline.rs"
REDACT, VALUES, COPY = "src/filter/redact.rs", "src/filter/redact/values.rs", "src/filter/redact/copy.rs"
MARK = "src/filter/redact/mark.rs"
BUNDLE, ENVELOPE = "src/filter/bundle.rs", "src/filter/bundle/envelope.rs"
VERIFY, CHECKS, JOSE, CHAIN, SIGN = (f"src/signature/{name}.rs" for name in ("verify", "checks", "jose", "chain", "sign"))
SIGNED, VERIFIER, OUTCOMES = "src/filter/signed.rs", "src/authorship/verifier.rs", "src/authorship/signed.rs"
CLOSURE, CONTENT, HONESTY = "src/filter/closure.rs", "src/filter/content.rs", "src/filter/honesty.rs"
SUMMARY, ORDER, CHANGES = "src/filter/summary.rs", "src/filter/order.rs", "src/filter/changes.rs"

MUTATIONS = [
    # judge.rs: may this resource leave?
    ("type", JUDGE, "let rule = ⟦self.question.rule(resource_type)⟧.ok_or(Withheld::Type)?;",
     "self.question.rule(resource_type).or_else(|| self.question.rule(self.question.interaction().resource_type()))"),
    ("patient", JUDGE, "⟦if admitted { Ok(Some(patients)) } else { Err(Withheld::Patient) }⟧", "Ok(Some(patients))"),
    ("one patient of several", JUDGE, "let admitted = ⟦patients.iter().all(|patient| self.question.admits(patient))⟧;",
     "patients.iter().any(|patient| self.question.admits(patient))"),
    # Either of the two would do.
    ("one patient of several", "src/fhir/subject.rs", "match (stated, ⟦provable && patients.len() == 1⟧) {", "provable && !patients.is_empty()"),
    ("patient asked for", "src/rewrite.rs", "⟦asked && self.permit.obligations().patients().admits(patient)⟧",
     "self.permit.obligations().patients().admits(patient)"),
    ("patient permitted", "src/rewrite.rs", "⟦asked && self.permit.obligations().patients().admits(patient)⟧", "asked"),
    ("subject", JUDGE, "Subject::Unprovable | Subject::Unstated => ⟦Err(Withheld::Subject)⟧,", "Ok(Some(Vec::new()))"),
    ("match of nobody's", JUDGE, "let of_type = ⟦is_proven && identity.resource_type == search.resource_type()⟧;",
     "identity.resource_type == search.resource_type()"),
    ("subject of what was not asked to come along", JUDGE, "Subject::Unprovable if ⟦self.may_come_along(resource_type)⟧ =>", "true"),
    ("authorship", JUDGE, "Some((accepted, verdict)) if ⟦!accepted.admit(verdict)⟧ => Err(Withheld::Authorship),", "false"),
    ("mark of the EHR's own", MARK, "⟦text.trim().eq_ignore_ascii_case(SYSTEM)⟧", "false"),
    ("constraint", JUDGE, "⟦if holds { Ok(()) } else { Err(Withheld::Constraint) }⟧", "Ok(())"),
    ("every part of a constraint", JUDGE,
     "|| rule.alternatives.iter().any(|all| ⟦all.iter().all(|criterion| criterion.matches(resource, &self.ehr()))⟧);",
     "all.iter().any(|criterion| criterion.matches(resource, &self.ehr()))"),
    ("label", LABELS, "⟦own.any(|label| self.withholds(label))⟧ || self.withholds_content(resource)", "false"),
    ("label of a document's content", LABELS, "|| ⟦self.withholds_content(resource)⟧ }", "false"),
    ("label of what is contained", LABELS, "|| ⟦contained.any(|inside| self.carries_label(inside))⟧;", "false"),
    ("inline label", LABELS, "withheld || ⟦(outline.inline_label && self.has_inline_label(resource))⟧", "false"),
    ("computed label", LABELS, "if ⟦self.question().permit().obligations().computes_labels() && self.has_computed_label(resource)⟧ {", "false"),
    ("computed label of a code without a system", LABELS, "let bare = ⟦coding.get(\"valueCode\")⟧", "coding.get(\"\")"),
    ("spellings of a label's system", "src/decide/obligations.rs", "⟦system.is_empty() || own.eq_ignore_ascii_case(&system)⟧",
     "system.is_empty() || own.eq_ignore_ascii_case(given)"),
    ("a record of two patients", "src/fhir/subject.rs", "match (stated, ⟦provable && patients.len() == 1⟧) {", "provable && !patients.is_empty()"),
    ("identifier beside the subject's reference", "src/fhir/subject.rs", "} else if ⟦value.get(\"identifier\").is_some()⟧ {", "false"),
    ("query", JUDGE, "of_type && ⟦search.criteria().iter().all(|criterion| criterion.matches(resource, &self.ehr()))⟧", "true"),
    ("every criterion of a query", JUDGE, "of_type && ⟦search.criteria().iter().all(|criterion| criterion.matches(resource, &self.ehr()))⟧",
     "search.criteria().iter().any(|criterion| criterion.matches(resource, &self.ehr()))"),
    # honesty.rs and bundle.rs: is it an answer to what was asked?
    ("self link of another type", HONESTY, "if ⟦ResourceType::parse(step).is_ok_and(|named| named != resource_type)⟧ {", "false"),
    ("self link of another patient", HONESTY, "⟦if patients.all(|(_, value)| names_asked(value, question)) { Ok(()) } else { Err(FilterError::Mismatch) }⟧", "Ok(())"),
    ("self link without a parameter", HONESTY, "if ⟦!is_stated⟧ {", "false"),
    ("resource of a patient who was not searched for", HONESTY, "extend(⟦subject::parameter(identity.resource_type)⟧.filter", "None"),
    ("member of the bundle that is escaped", ENVELOPE, "if ⟦raw.contains('\\\\')⟧ {", "false"),
    ("member of the bundle that comes twice", ENVELOPE, "if ⟦self.others.contains(&raw)⟧ {", "false"),
    ("include without a reference", JUDGE, "⟦fits && self.referred_to.contains(identity)⟧", "fits"),
    ("include of another type", JUDGE, "⟦fits && self.referred_to.contains(identity)⟧", "self.referred_to.contains(identity)"),
    ("reverse include without a match", JUDGE, "⟦about_all && references.iter().any(|reference| self.released.contains(reference))⟧", "about_all"),
    ("provenance of something else as well", JUDGE,
     "let about_all = ⟦identity.resource_type.as_str() != \"Provenance\" || self.is_about_released(resource)⟧;", "true"),
    ("every target of a provenance", JUDGE, "targets.peek().is_some() && ⟦targets.all(|target| target.is_some_and(released))⟧",
     "targets.any(|target| target.is_some_and(released))"),
    ("modifier extension", JUDGE, "if ⟦outline.modifier_extension && (redacts_contained || !matches!(rule.elements, Elements::All))⟧", "false"),
    ("modifier extension of what is contained", JUDGE,
     "if ⟦outline.modifier_extension && (redacts_contained || !matches!(rule.elements, Elements::All))⟧",
     "outline.modifier_extension && !matches!(rule.elements, Elements::All)"),
    ("a resource where none can be", JUDGE, "if ⟦self.embeds(resource, contained)⟧ {", "false"),
    ("contained", JUDGE, "⟦contained.is_none_or(|contained| self.permits_contained(contained, &answers))⟧", "true"),
    ("contained: patient", JUDGE, "⟦owned && answers(rule) && self.check_constraints(rule, resource).is_ok()⟧",
     "answers(rule) && self.check_constraints(rule, resource).is_ok()"),
    ("contained: a patient by its id", JUDGE, "Subject::Patients(_) if ⟦subject::is_by_id(resource_type)⟧ => false,", "false"),
    ("contained: constraint", JUDGE, "⟦owned && answers(rule) && self.check_constraints(rule, resource).is_ok()⟧",
     "owned && answers(rule)"),
    ("contained: subject", JUDGE, "Subject::Unprovable => ⟦false⟧,", "true"),
    ("the resource that was asked for", "src/filter.rs",
     "if ⟦identity != (Reference { resource_type: asked.resource_type(), id: asked.id().clone() })⟧", "false"),
    # signed.rs: does what is signed leave as it was signed?
    ("signed: itself in part", SIGNED, "let holds = ⟦self.is_intact(resource, release)⟧", "true"),
    ("signed: its target in part", SIGNED, "|| ⟦passage(resource, leaves) == Passage::Whole⟧)", "true"),
    ("signed: an address rewritten", SIGNED, "&& ⟦!(self.mentions_ehr(resource) && redact::renames(resource, self.bases()))⟧", "true"),
    ("signed: a mark taken from what is contained", SIGNED, "&& ⟦contained.all(|inside| inside.get(\"meta\").is_none())⟧", "true"),
    ("signed: a summary", SIGNED, "&& ⟦release.summary == Summary::Whole⟧", "true"),
    # redact.rs: what of it?
    ("elements inside that are not listed", VALUES, "Kept::No => ⟦false⟧,", "self.clean(name, value, out)"),
    ("narrative and elements that are not listed", REDACT, "|| ⟦(kept == Kept::No && own.is_none())⟧ {", "false"),
    ("narrative and elements that are not listed", REDACT, "None => ⟦self.kept(kept, member.name, member.value, out)⟧,",
     "self.clean(member.name, member.value, out)"),
    ("what else is said where the patient is named", REDACT, "_ => ⟦self.kept(below(name), name, member, out)⟧,", "self.clean(name, member, out)"),
    ("who else is named where the patient is", REDACT, "None if ⟦name == \"reference\" && is_patient⟧ =>", "name == \"reference\""),
    ("extensions of primitives", COPY, "object.members().filter(|member| ⟦care == Care::Spare || !member.name.contains('_')⟧)", "care == Care::Spare || !member.name.is_empty()"),
    ("extensions of outermost primitives", REDACT, "Elements::Only(_) => ⟦plain != member.name && kept == Kept::Whole⟧,", "false"),
    ("extensions, where a look over all found none", OUTLINE, "Some(\"extension\") => ⟦outline.verbatim = false⟧,", "{}"),
    ("extensions of primitives, where a look over all found none", OUTLINE, "Some(name) if name.contains('_') => ⟦outline.verbatim = false⟧,", "{}"),
    ("extensions", VALUES, "\"extension\" => ⟦true⟧,", "false"),
    ("narrative inside what is listed", VALUES, "\"text\" => ⟦member.kind() == Kind::Object⟧, \"identifier\" =>", "false"),
    ("narrative inside what is listed, where a look over all found nothing to clean", REDACT, "&& ⟦!holds_narrative(release.resource_type)⟧", "true"),
    ("narrative inside what leaves whole", VALUES, "\"text\" => ⟦member.kind() == Kind::Object⟧, \"display\" |", "false"),
    ("identifiers beside a reference", VALUES, "\"identifier\" => ⟦is_reference⟧,", "false"),
    ("names beside a reference", VALUES, "\"display\" => ⟦is_reference && self.judge.display_repeats(value)⟧,", "false"),
    ("names of nobody knows whom", VALUES, "⟦has(\"display\") && !is_coding && !has(\"code\") && !has(\"system\")⟧ }", "false"),
    ("names of nobody knows whom, where a look over all found nothing to clean", OUTLINE, "outline.verbatim = ⟦!traits.unattached⟧;", "true"),
    ("identifiers of nobody knows whom", VALUES, "return ⟦has(\"display\") || value.members().all(|member| REFERENCE.contains(&member.name))⟧;", "has(\"display\")"),
    ("identifiers beside a reference, listed by themselves", VALUES, "\"identifier\" => ⟦reference.is_some()⟧,", "false"),
    ("names beside a reference to what is contained in part", VALUES, "\"display\" | \"identifier\" => ⟦self.redacts_contained && leads_inside⟧,", "false"),
    ("what is said beside a reference, where a look over all found nothing to clean", VALUES, "if ⟦self.verbatim && plain⟧ {", "self.verbatim"),
    ("repetitions that are not listed", "src/decide/elements.rs", "⟦slice.map_or(Kept::No, |(_, below)| below.as_kept())⟧", "slice.map_or(Kept::Whole, |(_, below)| below.as_kept())"),
    ("references that must not leave, in a resource", JUDGE, "let astray = outline.linked || ⟦self.leads_astray(resource, &patients, inside)⟧;", "false"),
    ("links that must not leave, in a resource", JUDGE, "let astray = ⟦outline.linked⟧ ||", "false"),
    ("references that must not leave, in what is listed in part", VALUES,
     "Kind::Object if ⟦self.cuts && self.judge.bars_reference(value, self.inside)⟧ => false, Kind::Object => { let reference = value.get(\"reference\").and_then(Value::text); let leads_to",
     "false"),
    ("what a reference says of a record, where it is listed by itself", VALUES, "\"display\" => ⟦leads_to_record()⟧,", "false"),
    ("references that must not leave, in what is listed", VALUES,
     "Kind::Object if ⟦self.cuts && self.judge.bars_reference(value, self.inside)⟧ => false, Kind::Object => { let is_reference", "false"),
    ("references that must not leave, in what leaves whole", VALUES, "Kind::Object if ⟦self.judge.bars_reference(value, self.inside)⟧ => return false,", "false"),
    ("references that must not leave, in a resource that leaves whole", JUDGE, "&& !self.redacts_contained && ⟦!self.astray⟧", "true"),
    ("references that must not leave, in what is contained", REDACT, "Elements::All if ⟦!self.cuts⟧ =>", "true"),
    ("narrative of what is cut", REDACT, "Elements::All => ⟦self.drops_narrative && member.name == \"text\"⟧,", "false"),
    ("references to other patients", CLOSURE,
     "\"Patient\" => ⟦!Id::parse(id).is_ok_and(|id| self.question().admits(&id))⟧, \"Binary\" =>", "false"),
    ("references to what was withheld", CLOSURE, "\"Binary\" => true, _ => ⟦self.withheld_names().holds(resource_type, id)⟧,", "false"),
    ("references to what was contained", CLOSURE, "=> ⟦!inside && !id.is_empty()⟧,", "false"),
    ("references to what is contained and not listed", JUDGE,
     "let inside = ⟦contained.is_some() && keep_contained && rule.elements.child(\"contained\") == Kept::Whole⟧;", "keep_contained"),
    ("references to records elsewhere", CLOSURE, "⟦!is_neutral(resource_type)⟧ ||", "false"),
    ("references to what was withheld, elsewhere", CLOSURE, "|| ⟦self.withheld_names().holds(resource_type, id)⟧ } None", "false"),
    ("references that are lists", CLOSURE, "Some(reference) if ⟦is_several(reference)⟧ => true,", "false"),
    ("references to what was withheld afterwards", CLOSURE,
     "⟦self.withheld_names().holds(resource_type, id)⟧ } Some(Destination::Inside(_)) | None => false, } })", "false"),
    ("links to other patients", CLOSURE, "\"Patient\" => ⟦!Id::parse(id).is_ok_and(|id| self.question().admits(&id))⟧, _ =>", "false"),
    ("links to what was withheld", CLOSURE, "_ => ⟦self.withheld_names().holds(resource_type, id)⟧, }, Some(Destination::Elsewhere", "false"),
    ("links to elsewhere that are ours under another name", CLOSURE,
     "⟦matches!(resource_type.as_str(), \"Patient\" | \"Binary\") || self.withheld_names().holds(resource_type, id)⟧", "false"),
    ("links that are not understood", CLOSURE, "None => ⟦self.may_be_ours(url)⟧,", "false"),
    ("links that could be to content", CLOSURE, "if ⟦is_barred || may_step(url, \"Binary\")⟧ {", "is_barred"),
    ("names of records beside a reference", CLOSURE,
     "Some(_) if ⟦target.is_some_and(is_record)⟧ => true,", "false"),
    ("references to content", CLOSURE, "\"Binary\" => ⟦true⟧, _ =>", "false"),
    ("references that cannot be read", CLOSURE, "None => ⟦true⟧, } } /// Where a URL", "false"),
    ("logical references to patients", CLOSURE, "⟦speaks && stated_type(value).is_some_and(|name| name.eq_ignore_ascii_case(\"Patient\"))⟧", "false"),
    ("content of a type that is not permitted", CLOSURE, "self.links().filter(|_| ⟦binary.is_some_and(|rule| rule.elements.child(\"data\") == Kept::Whole)⟧)", "true"),
    ("links to content", COPY, "let leads = ⟦written && self.cuts && is_link(member.name)⟧;", "false"),
    ("links that must not leave", COPY, "Some(Link::Barred) => ⟦false⟧,", "written"),
    ("links to content from what is no document", REDACT, "let links = ⟦cuts && describes_content(release.resource_type)⟧;", "cuts"),
    ("extensions of labels", REDACT, "let written = if ⟦whole⟧ { self.spare(member.value, out) }", "true"),
    ("contained that may not leave", REDACT, "(\"contained\", _) if ⟦self.drops_contained⟧ => false,", "false"),
    ("elements of what is contained in what leaves whole", JUDGE, "&& self.keep_contained && ⟦!self.redacts_contained⟧", "true"),
    ("contained that is not listed", REDACT, "(\"contained\", _) => ⟦kept == Kept::Whole && self.contained(member.value, out)⟧,",
     "self.contained(member.value, out)"),
    ("elements of what is contained", REDACT, "_ => ⟦self.resource(resource_type, resource, elements, &[], None, out)⟧,", "self.copy(resource, out)"),
    ("meta", REDACT, "if ⟦member.name != \"tag\" && (whole || META.contains(&member.name))⟧", "member.name != \"tag\""),
    ("tags", REDACT, ".filter(|_| ⟦whole⟧)", "true"),
    ("the tag of what is incomplete", REDACT, "⟦out.extend_from_slice(SUBSETTED.as_bytes())⟧;", "out.extend_from_slice(b\"{}\")"),
    ("what was cut beside what the client left out", CHANGES, "if by_decision || ⟦(!whole && !asked_for_less)⟧ {", "!whole"),
    ("Provenance of its own for who may have none", CHANGES, "wanted && ⟦obligations.types().any(is_provenance)⟧", "true"),
    ("elements not asked for", REDACT, "if ⟦!wanted⟧ ||", "false"),
    ("the record system's address", COPY, "if ⟦!self.rewrites⟧ {", "true"),
    ("the record system's address, written with escapes", JUDGE,
     "⟦resource.traits().veiled || self.ehr.find(resource.raw().as_bytes()).is_some()⟧", "self.ehr.find(resource.raw().as_bytes()).is_some()"),
    # summary.rs: what of it is of the summary?
    ("elements that are not of the summary", SUMMARY, "(Summary::Marked, marked) => ⟦part(marked, member.value, out)⟧,", "copy(member.value, out)"),
    ("narrative of a summary", SUMMARY, "(Summary::Data, \"text\") => ⟦Marked::No⟧,", "Marked::Whole"),
    ("parts of elements that are not of the summary", SUMMARY, "Marked::Part(parts) => ⟦parts.member(plain)⟧,", "{ let _ = parts; Marked::Whole }"),
    ("content in a summary", SUMMARY, "⟦plain == \"data\" && member.value.kind() == Kind::String⟧", "false"),
    ("the tag of a summary", SUMMARY, "⟦out.extend_from_slice(SUBSETTED.as_bytes())⟧;", "out.extend_from_slice(b\"{}\")"),
    # order.rs: in the order that was asked for?
    ("an order that is another", ORDER, "self.is_broken |= ⟦breaks⟧;", "false"),
    ("an order that can be mended", ORDER, "let Some(mut entries) = ⟦self.entries.take()⟧ else { return };", "None::<Vec<Entry>>"),
    ("what was sent before", ORDER, "⟦self.entries = None⟧;", "()"),
    # content.rs: may this content leave?
    ("content of a link that is not there", CONTENT, "let offered = ⟦judged.body().is_some() && sought.found.get()⟧;", "judged.body().is_some()"),
    ("content of another media type in the document", CONTENT,
     "⟦binary == self.content.binary() && media == self.content.media()⟧", "binary == self.content.binary()"),
    ("another binary", CONTENT, "if ⟦identity.resource_type.as_str() != \"Binary\" || identity.id != *content.binary()⟧ {", "false"),
    ("content that is not permitted", CONTENT, "if ⟦rule.elements.child(\"data\") != Kept::Whole⟧ {", "false"),
    ("labels of content", CONTENT, "⟦judge.check_labels_of(resource)?⟧;", "()"),
    ("whose content", CONTENT, "resource.get(\"securityContext\").is_some_and(|context| ⟦!is_of(judge, context, document)⟧)", "false"),
    ("whose content, by a type that is another", CONTENT,
     "context.get(\"identifier\").is_none() && ⟦context.get(\"type\").is_none_or(names_it)⟧;", "true"),
    ("content of another media type", CONTENT, "if ⟦!agrees || !is_media(&stated)⟧ {", "!is_media(&stated)"),
    ("content that contradicts its document", CONTENT, "⟦judge.check_answered(resource_type, document)?⟧;", "()"),
    ("content that is not attached", CONTENT, "⟦!is_attached(document, &identity, &judge.ehr())⟧ {", "false"),
    # bundle.rs: what is said of the whole?
    ("a bundle that is no searchset", ENVELOPE, "\"type\" if ⟦!is(\"searchset\")⟧ =>", "false"),
    ("links to elsewhere", ENVELOPE, ".filter(|rest| ⟦rest.starts_with(['/', '?']) && !rest.contains('#') && !leaves_base(rest)⟧);", "true"),
    ("links that leave the base by dots", ENVELOPE, ".filter(|rest| ⟦rest.starts_with(['/', '?']) && !rest.contains('#') && !leaves_base(rest)⟧);",
     "rest.starts_with(['/', '?']) && !rest.contains('#')"),
    ("members written twice", ENVELOPE, "if ⟦self.seen.contains(&name)⟧ {", "false"),
    ("more than a page holds", BUNDLE, "let is_within = ⟦self.here >= self.passed && !self.looks_ahead && !self.has(self.size)⟧;",
     "self.here >= self.passed && !self.looks_ahead"),
    ("what an earlier page held", BUNDLE, "let is_within = ⟦self.here >= self.passed && !self.looks_ahead && !self.has(self.size)⟧;",
     "!self.looks_ahead && !self.has(self.size)"),
    ("what comes along beyond the page that is full", BUNDLE, "Verdict::Release(_) if ⟦self.looks_ahead || !self.along.insert(identity.clone())⟧ =>", "!self.along.insert(identity.clone())"),
    ("what came along before", BUNDLE, "Verdict::Release(_) if ⟦self.looks_ahead || !self.along.insert(identity.clone())⟧ =>", "self.looks_ahead"),
    ("a total of what was not seen", BUNDLE, "let states_total = ⟦first_page && next.is_none() && !self.continues && shape.total != TotalWanted::None⟧;", "true"),
    # signature: is it verified?
    ("a check that was not made", "src/signature/finding.rs", "_ if ⟦!is_complete⟧ => Verdict::CannotVerify,", "false"),
    ("signed in part", VERIFY, "if ⟦!found.iter().any(|carrier| carrier.is_whole)⟧ {", "false"),
    ("the worst of several", VERIFY, "let verdict = ⟦signatures.iter().map(|examined| examined.verdict).fold(worst, Ord::max)⟧;",
     "signatures.first().map_or(worst, |examined| examined.verdict.max(worst))"),
    ("another form of signature", CHECKS, "Some(format) => ⟦format == SIG_FORMAT⟧,", "true"),
    ("purpose", CHECKS, ".any(|(system, code)| ⟦system == PURPOSES && code == VERIFICATION⟧);", "code == VERIFICATION"),
    ("commitment", CHECKS, "if ⟦signed == stated && signed.iter().any(|code| code == VERIFICATION)⟧ {", "signed == signed"),
    ("when", CHECKS, "Some(when) if ⟦when == signed⟧ =>", "true"),
    ("when, as an instant", CHECKS, "Some(when) if ⟦instant(when).is_some() && instant(when) == instant(signed)⟧ =>", "instant(when).is_some()"),
    ("signed later than received", CHECKS, "if ⟦claimed.is_some_and(|claimed: Timestamp| claimed > latest)⟧ {", "false"),
    ("signed out of the certificate's time", CHECKS, "if ⟦self.at.is_some() && claimed.is_some_and(|claimed| !leaf.is_valid_at(claimed))⟧ {", "false"),
    ("content", CHECKS, "if ⟦!is_of(&leaf.key)⟧ {", "false"),
    ("weak key", CHECKS, "if ⟦leaf.is_weak⟧ {", "false"),
    ("precision of numbers", CHECKS, "if ⟦form.rewritten > 0⟧ {", "false"),
    ("numbers beyond doubles", CHECKS, "if ⟦form.damaged > 0⟧ {", "false"),
    ("key for servers", CHECKS, "if ⟦!leaf.fits_documents⟧ {", "false"),
    ("key for encryption", CHECKS, "findings.push(match ⟦leaf.signs⟧ {", "leaf.signs.map(|_| true)"),
    ("who", CHECKS, "match ⟦is_named(&leaf.names, kind, value)⟧ {", "true"),
    ("nobody named", CHECKS, "(None, _) if ⟦self.rules.dialect == Dialect::Ci⟧ => {", "false"),
    ("payload inside", JOSE, "if ⟦!payload.is_empty()⟧ {", "false"),
    ("algorithm not wanted", JOSE, ".filter(|algorithm| ⟦allowed.contains(algorithm)⟧);", "true"),
    ("keys by header", JOSE, ".filter(|name| ⟦header.get(name).is_some()⟧) {", "false"),
    ("critical parameters", JOSE, "if ⟦critical.kind() != Kind::Array || critical.is_empty() || !critical.items().all(known)⟧ {", "false"),
    ("critical, and none", JOSE, "if ⟦critical.kind() != Kind::Array || critical.is_empty() || !critical.items().all(known)⟧ {",
     "critical.kind() != Kind::Array || !critical.items().all(known)"),
    ("parameters that are not signed", JOSE, "if ⟦entry.get(\"header\").is_some() || root.get(\"header\").is_some()⟧ {", "false"),
    ("signatures of several signers", JOSE, "if ⟦parameters.replace(same.clone()).is_some_and(|first| first != same)⟧ {", "false"),
    ("many certificates", JOSE, "if ⟦chain.items().count() > limits::SIGNATURE_CHAIN⟧ {", "false"),
    ("large certificates", JOSE, "if ⟦certificates.iter().any(|der| der.len() > limits::SIGNATURE_CERTIFICATE_BYTES)⟧ {", "false"),
    ("validity", CHAIN, "if ⟦leaf.is_valid_at(at)⟧ { Finding::agrees(", "true"),
    ("an authority that signs", CHAIN, "if ⟦leaf.is_authority⟧ {", "false"),
    ("a believed signer that issues", CHAIN, "if ⟦certificate.is_authority && certificate.issues != Some(false)⟧ {", "true"),
    ("a believed authority for lists", CHAIN, "if ⟦certificate.is_authority && certificate.issues != Some(false)⟧ {", "certificate.is_authority"),
    ("an authority between for lists", CHAIN, "if ⟦issuer.issues == Some(false)⟧ {", "false"),
    ("old revocation lists", CHAIN, "options.with_expiration_policy(⟦ExpirationPolicy::Enforce⟧).build()", "ExpirationPolicy::Ignore"),
    ("something beside the signature", "src/signature/carrier.rs", "signature.filter(|_| ⟦is_alone⟧)", "true"),
    # authorship: what does a signature on what was fetched say?
    ("verified: another text of the same name", OUTCOMES, "filter(|checked| ⟦checked.of == of⟧ ||", "true"),
    ("verified: a record that leads to no source", OUTCOMES, "if ⟦origin.sources.is_empty() && registry.is_some_and(Registry::demands_signatures)⟧ {", "false"),
    ("verified: demanded", OUTCOMES, "if ⟦source.demands_signature⟧ {", "false"),
    ("verified: another source of the same authority", OUTCOMES, "&& ⟦!is_anothers(outcome, source)⟧", "true"),
    ("verified: one of several targets", VERIFIER, "filter(|_| ⟦told.targets == 1⟧)", "true"),
    ("verified: a part of a form", VERIFIER, "if ⟦!examined.is_whole⟧ => return None,", "false"),
    ("verified: an unknown authority in the source's own name", VERIFIER, "let is_strangers = ⟦!is_own⟧ && fatal()", "true"),
    ("verified: beyond the limit", VERIFIER, "⟦self.left.checked_sub(1)⟧", "Some(self.left)"),
    # signature: is it signed?
    ("numbers that are not protected", SIGN, "if ⟦form.damaged > 0⟧ {", "false"),
    ("signed already", SIGN, "if ⟦root.get(\"signature\").is_some()⟧ {", "false"),
    ("signed out of time", SIGN, "if ⟦!signer.is_valid_at(when)⟧ {", "false"),
    ("signed for somebody else", SIGN, "if ⟦!identities.kind_of(system).is_some_and(|kind| is_named(&leaf.names, kind, value))⟧ {", "false"),
    ("signed with another's certificate", SIGN, "⟦holds⟧.then_some(signature)", "true"),
    ("signed by an authority", SIGN, "if ⟦leaf.signs == Some(false) || leaf.is_authority⟧ {", "false"),
]

SWITCH = """
/// Whether this mutant is the one that is tried.
pub fn is_mutant(number: u32) -> bool {
    static TRIED: std::sync::LazyLock<Option<u32>> =
        std::sync::LazyLock::new(|| std::env::var("MUTANT").ok().and_then(|number| number.parse().ok()));
    *TRIED == Some(number)
}
"""


NAMES = list(dict.fromkeys(name for name, *_ in MUTATIONS))
FILTERS = {name for name, file, *_ in MUTATIONS if file.startswith("src/filter")}

# Checks that stand behind another one, so that no attack reaches them.
BEHIND = {
    # Under a decision that does not release content, no document offers a link: "content of a type that is not permitted".
    "content that is not permitted",
}

# The attack that comes through without a check of the filter.
CAUGHT_BY = {
    "type": "Y-01",
    "authorship": "W-01",
    "signed: itself in part": "W-04",
    "signed: its target in part": "W-02",
    "signed: an address rewritten": "W-05",
    "signed: a mark taken from what is contained": "W-06",
    "signed: a summary": "W-07",
    "mark of the EHR's own": "W-10",
    "patient": "Y-76",
    "one patient of several": "Y-02",
    "subject": "Y-77",
    "match of nobody's": "Y-03",
    "subject of what was not asked to come along": "Y-78",
    "constraint": "Y-79",
    "every part of a constraint": "Y-79",
    "label": "Y-48",
    "label of a document's content": "Y-04",
    "label of what is contained": "X-36",
    "inline label": "Y-05",
    "computed label": "Y-06",
    "computed label of a code without a system": "Y-80",
    "query": "Y-08",
    "every criterion of a query": "Y-07",
    "self link of another type": "Y-09",
    "self link of another patient": "Y-10",
    "self link without a parameter": "Y-11",
    "resource of a patient who was not searched for": "Y-12",
    "member of the bundle that is escaped": "Y-13",
    "member of the bundle that comes twice": "Y-14",
    "include without a reference": "Y-16",
    "include of another type": "Y-17",
    "reverse include without a match": "Y-18",
    "provenance of something else as well": "Y-19",
    "every target of a provenance": "Y-19",
    "modifier extension": "Y-20",
    "modifier extension of what is contained": "Y-21",
    "a resource where none can be": "Y-25",
    "contained": "Y-22",
    "contained: patient": "Y-23",
    "contained: a patient by its id": "Y-24",
    "contained: constraint": "Y-27",
    "contained: subject": "Y-28",
    "the resource that was asked for": "Y-31",
    "elements inside that are not listed": "Y-32",
    "narrative and elements that are not listed": "Y-33",
    "what else is said where the patient is named": "Y-34",
    "who else is named where the patient is": "X-40",
    "extensions of primitives": "Y-35",
    "extensions of outermost primitives": "Y-36",
    "extensions, where a look over all found none": "Y-37",
    "extensions of primitives, where a look over all found none": "Y-35",
    "extensions": "Y-37",
    "narrative inside what is listed": "Y-81",
    "narrative inside what is listed, where a look over all found nothing to clean": "Y-81",
    "narrative inside what leaves whole": "Y-82",
    "identifiers beside a reference": "Y-39",
    "names beside a reference": "Y-40",
    "names of nobody knows whom": "Y-83",
    "names of nobody knows whom, where a look over all found nothing to clean": "Y-83",
    "identifiers of nobody knows whom": "X-38",
    "identifiers beside a reference, listed by themselves": "Y-84",
    "names beside a reference to what is contained in part": "Y-85",
    "what is said beside a reference, where a look over all found nothing to clean": "Y-40",
    "references that must not leave, in a resource": "Y-44",
    "links that must not leave, in a resource": "Y-54",
    "references that must not leave, in what is listed in part": "Y-45",
    "what a reference says of a record, where it is listed by itself": "Y-42",
    "references that must not leave, in what is listed": "Y-44",
    "references that must not leave, in what leaves whole": "Y-46",
    "references that must not leave, in a resource that leaves whole": "Y-46",
    "references that must not leave, in what is contained": "Y-47",
    "narrative of what is cut": "Y-46",
    "references to other patients": "Y-44",
    "references to what was withheld": "Y-48",
    "references to what was contained": "Y-38",
    "references to what is contained and not listed": "Y-86",
    "references to records elsewhere": "Y-87",
    "references to what was withheld, elsewhere": "Y-88",
    "references that are lists": "Y-89",
    "references to what was withheld afterwards": "Y-49",
    "links to other patients": "Y-90",
    "links to what was withheld": "Y-90",
    "links to elsewhere that are ours under another name": "Y-90",
    "links that are not understood": "Y-90",
    "links that could be to content": "Y-90",
    "names of records beside a reference": "Y-41",
    "references to content": "Y-50",
    "references that cannot be read": "Y-51",
    "logical references to patients": "Y-97",
    "content of a type that is not permitted": "Y-53",
    "links to content": "Y-54",
    "links that must not leave": "Y-90",
    "links to content from what is no document": "Y-55",
    "extensions of labels": "Y-56",
    "contained that may not leave": "Y-23",
    "elements of what is contained in what leaves whole": "Y-29",
    "contained that is not listed": "Y-30",
    "elements of what is contained": "Y-29",
    "meta": "Y-57",
    "tags": "Y-57",
    "what was cut beside what the client left out": "Y-180",
    "Provenance of its own for who may have none": "Y-181",
    "the tag of what is incomplete": "Y-57",
    "elements not asked for": "Y-58",
    "the record system's address": "Y-59",
    "the record system's address, written with escapes": "Y-60",
    "elements that are not of the summary": "Y-91",
    "narrative of a summary": "Y-92",
    "parts of elements that are not of the summary": "Y-91",
    "content in a summary": "Y-93",
    "the tag of a summary": "Y-91",
    "an order that is another": "Y-94",
    "an order that can be mended": "Y-95",
    "what was sent before": "Y-96",
    "content of a link that is not there": "Y-74",
    "content of another media type in the document": "Y-75",
    "another binary": "Y-69",
    "labels of content": "Y-70",
    "whose content": "Y-71",
    "whose content, by a type that is another": "Y-72",
    "content of another media type": "Y-73",
    "content that contradicts its document": "W-08",
    "content that is not attached": "W-09",
    "a bundle that is no searchset": "Y-61",
    "links to elsewhere": "Y-62",
    "links that leave the base by dots": "Y-63",
    "members written twice": "Y-15",
    "more than a page holds": "Y-64",
    "what an earlier page held": "Y-65",
    "what comes along beyond the page that is full": "Y-67",
    "what came along before": "Y-66",
    "a total of what was not seen": "Y-64",
}


def place(text, wanted):
    """Where in `text` the text `wanted` is, blanks aside: its beginning and end, or how often it is there."""
    squeezed = [(at, letter) for at, letter in enumerate(text) if not letter.isspace()]
    letters, sought = "".join(letter for _, letter in squeezed), "".join(wanted.split())
    if letters.count(sought) != 1:
        return letters.count(sought)
    first = letters.index(sought)
    return squeezed[first][0], squeezed[first + len(sought) - 1][0] + 1


def mutated(cases):
    """Puts every mutation into the copy; gives whether each found its place."""
    sites, missing = collections.defaultdict(list), []
    for name, file, marked, instead in MUTATIONS:
        sites[file, marked].append((NAMES.index(name) + 1, instead))
    for (file, marked), mutants in sites.items():
        path = SCRATCH / file
        before, _, rest = marked.partition("⟦")
        old, _, after = rest.partition("⟧")
        text = path.read_text()
        found = place(text, before + old + after)
        if isinstance(found, int):
            missing.append(f"{file}: {before + old + after} is there {found} times")
            continue
        arms = " else ".join(f"if crate::is_mutant({number}) {{ {instead} }}" for number, instead in mutants)
        path.write_text(f"{text[:found[0]]}{before}({arms} else {{ {old} }}){after}{text[found[1]:]}")
    root = SCRATCH / "src/lib.rs"
    root.write_text(root.read_text() + SWITCH)
    cases.case("every mutation finds its place", "; ".join(missing), f"{len(NAMES)}")
    return not missing


def compiled():
    """The programs of the tests, by name."""
    command = ["cargo", "test", "--no-run", "--message-format=json", "--lib", "--test", "it", "--test", "hostile"]
    environment = {**os.environ, "CARGO_TARGET_DIR": TARGET, "RUSTFLAGS": os.environ.get("RUSTFLAGS", ""), "CARGO_TERM_COLOR": "never"}
    if not environment["RUSTFLAGS"]:
        del environment["RUSTFLAGS"]
    done = subprocess.run(command, cwd=SCRATCH, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0:
        errors = [message["message"]["rendered"] for message in messages if message.get("message", {}).get("level") == "error"]
        raise AssertionError("the mutated copy does not compile:\n" + ("".join(errors) or done.stderr)[-3000:])
    found = {}
    for message in messages:
        if message.get("executable") and message.get("profile", {}).get("test"):
            found["lib" if "lib" in message["target"]["kind"] else message["target"]["name"]] = message["executable"]
    return found


def fails(program, name, mutant):
    """None where the tests pass, else the first that fails."""
    environment = {**os.environ, "MUTANT": str(mutant), "RUST_BACKTRACE": "0", "TMPDIR": str(FOLDERS)}
    run = subprocess.Popen([program, name], cwd=SCRATCH, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           text=True, stdin=subprocess.DEVNULL, start_new_session=True)
    late = threading.Timer(SECONDS, os.killpg, [run.pid, signal.SIGKILL])
    late.start()
    found = None
    for line in run.stdout:
        assert line != "running 0 tests\n", f"there are no tests {name}"
        if line.startswith("test ") and line.endswith(" ... FAILED\n"):
            found = line.split()[1]
            break
    late.cancel()
    if found:  # the rest of the run would say the same
        os.killpg(run.pid, signal.SIGKILL)
    run.stdout.close()
    run.wait()
    return found or (None if run.returncode == 0 else f"{name.removesuffix('::')} as a whole")


def tests_of(mutant):
    """Those that a mutation has to do with; all without one."""
    if not mutant:
        return TESTS + TESTS_OF_SIGNATURES
    file = next(file for name, file, *_ in MUTATIONS if name == NAMES[mutant - 1])
    return TESTS_OF_SIGNATURES if file.startswith(("src/signature/", "src/authorship/")) else TESTS


def tried(programs, mutant):
    """The first of the tests that fails, or None."""
    return next((found for kind, name in tests_of(mutant) if (found := fails(programs[kind], name, mutant))), None)


def by_tests(cases, pool, programs, wanted):
    """A test fails for each mutation, and none without."""
    unmutated = tried(programs, 0)
    cases.case("without a mutation the tests pass", unmutated and f"{unmutated} fails")
    for name, seen in zip(wanted, pool.map(lambda name: tried(programs, NAMES.index(name) + 1), wanted)):
        cases.case(f"without: {name}", None if seen else "no test fails", f"{seen} fails")


def by_attacks(cases, pool, program, wanted, finds):
    """An attack comes through for each mutation of the filter, and none without."""
    known = sorted({CAUGHT_BY[name] for name in wanted if name in CAUGHT_BY})
    unmutated = attack(program, 0, known or ATTACKS)
    cases.case("without a mutation no attack comes through", unmutated and f"{unmutated} does")
    table = {}
    for name, found in zip(wanted, pool.map(lambda name: comes_through(program, name, finds), wanted)):
        cases.case(f"attacked without: {name}", None if found else "no attack comes through", f"{found} comes through")
        table[name] = found
    print(f"an attack comes through without {sum(map(bool, table.values()))} of {len(table)} checks of the filter", flush=True)
    if finds:
        print("\n".join(f"    {json.dumps(name)}: {json.dumps(found)}," for name, found in table.items() if found))


def attack(program, mutant, only):
    """The first case of the hostile suite that fails, or None where none does. Without a mutation all have to pass."""
    marks = ("FAILED ",) if mutant else ("FAILED ", "UNSUPPORTED ")
    environment = {**os.environ, "MUTANT": str(mutant), "HOSTILE_ONLY": ",".join(only)}
    suite = subprocess.Popen([program], cwd=SCRATCH, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             stdin=subprocess.DEVNULL, start_new_session=True)
    found, last = None, ""
    for line in suite.stdout:
        last = line
        if line.startswith(marks):
            found = line.split()[1]
            break
    if found:  # the rest of the run would say the same
        os.killpg(suite.pid, signal.SIGKILL)
    suite.stdout.close()
    suite.wait()
    assert found or last.startswith("hostile: "), f"the attacks did not run: {last}"
    return found


def comes_through(program, name, finds):
    """The attack that comes through without this check, or None."""
    mutant, known = NAMES.index(name) + 1, CAUGHT_BY.get(name)
    likely = [[known]] if known and not finds else []
    return next((found for only in [*likely, *([one] for one in ATTACKS)] if (found := attack(program, mutant, only))), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["tests", "attacks"], help="only this part")
    parser.add_argument("--only", default="", metavar="TEXT", help="only mutations whose name holds this")
    parser.add_argument("--find", action="store_true", help="find the attacks anew, and print the table of them")
    arguments = parser.parse_args()
    wanted = [name for name in NAMES if arguments.only in name]
    cases, began = Cases(), time.monotonic()
    shutil.rmtree(SCRATCH, ignore_errors=True)
    shutil.copytree(ROOT, SCRATCH, ignore=shutil.ignore_patterns("target", ".git", ".ci", "__pycache__"))
    FOLDERS.mkdir()
    try:
        if mutated(cases):
            programs = compiled()
            print(f"compiled after {time.monotonic() - began:.0f} s", flush=True)
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                if arguments.part != "attacks":
                    by_tests(cases, pool, programs, wanted)
                    print(f"the tests after {time.monotonic() - began:.0f} s", flush=True)
                if arguments.part != "tests":
                    by_attacks(cases, pool, programs["hostile"], [name for name in wanted if name in FILTERS - BEHIND], arguments.find)
    except AssertionError as error:
        cases.case("the mutated copy can be tried", str(error))
    finally:
        shutil.rmtree(SCRATCH, ignore_errors=True)
    print(f"{time.monotonic() - began:.0f} s")
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main())
