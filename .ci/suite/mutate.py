#!/usr/bin/env python3
"""mutate.py : takes each check out of the filter in turn, and requires that the tests then fail.

A copy of the sources is compiled once, with every mutation in it behind a switch; each run of the tests turns one on. The
tests are those of the filter and the careless EHR (tests/it/careless.rs): one of them must fail for each mutation, and
none without. A mutation says in which file, names the text with the expression to be replaced in ⟦ ⟧ (blanks do not count),
and what stands there instead; entries of one name are one mutation. A text that is not there exactly once is an error, so
that this list keeps up with the code.
CARGO_TARGET_DIR is shared with other builds.
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from gateway import ROOT, Cases  # noqa: E402

SCRATCH = pathlib.Path(os.environ.get("PORTCULLIS_CI_WORK") or pathlib.Path.home() / ".cache/portcullis-ci") / "mutants"
TARGET = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
TESTS = [("lib", "filter::"), ("it", "careless::")]
SECONDS = 120

JUDGE, REDACT, BUNDLE = "src/filter/judge.rs", "src/filter/redact.rs", "src/filter/bundle.rs"

MUTATIONS = [
    # judge.rs: may this resource leave?
    ("type", JUDGE, "let rule = ⟦self.question.rule(resource_type)⟧.ok_or(Withheld::Type)?;",
     "self.question.rule(resource_type).or_else(|| self.question.rule(self.question.interaction().resource_type()))"),
    ("patient", JUDGE, "⟦if admitted { Ok(patients) } else { Err(Withheld::Patient) }⟧", "Ok(patients)"),
    ("one patient of several", JUDGE, "let admitted = ⟦patients.iter().all(|patient| self.question.admits(patient))⟧;",
     "patients.iter().any(|patient| self.question.admits(patient))"),
    ("patient asked for", "src/rewrite.rs", "⟦asked && self.permit.obligations().patients().admits(patient)⟧",
     "self.permit.obligations().patients().admits(patient)"),
    ("patient permitted", "src/rewrite.rs", "⟦asked && self.permit.obligations().patients().admits(patient)⟧", "asked"),
    ("subject", JUDGE, "Subject::Unprovable | Subject::Unstated => ⟦Err(Withheld::Subject)⟧,", "Ok(Vec::new())"),
    ("subject of what was not asked to come along", JUDGE, "Subject::Unprovable if ⟦self.may_come_along(resource_type)⟧ =>", "true"),
    ("constraint", JUDGE, "⟦if holds { Ok(()) } else { Err(Withheld::Constraint) }⟧", "Ok(())"),
    ("every part of a constraint", JUDGE,
     "|| rule.alternatives.iter().any(|all| ⟦all.iter().all(|criterion| criterion.matches(resource, &self.ehr()))⟧);",
     "all.iter().any(|criterion| criterion.matches(resource, &self.ehr()))"),
    ("label", JUDGE, "let withheld = ⟦own.any(|label| self.withholds(label))⟧ ||", "false"),
    ("label of a document's content", JUDGE, "|| ⟦self.withholds_content(resource)⟧;", "false"),
    ("inline label", JUDGE, "withheld || ⟦(outline.inline_label && self.has_inline_label(resource))⟧", "false"),
    ("query", JUDGE, "of_type && ⟦search.criteria().iter().all(|criterion| criterion.matches(resource, &self.ehr()))⟧", "true"),
    ("every criterion of a query", JUDGE, "of_type && ⟦search.criteria().iter().all(|criterion| criterion.matches(resource, &self.ehr()))⟧",
     "search.criteria().iter().any(|criterion| criterion.matches(resource, &self.ehr()))"),
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
    ("contained", JUDGE, "⟦contained.is_none_or(|contained| self.permits_contained(contained))⟧", "true"),
    ("contained: patient", JUDGE, "⟦owned && plain && unlabelled && self.check_constraints(rule, resource).is_ok()⟧",
     "plain && unlabelled && self.check_constraints(rule, resource).is_ok()"),
    ("contained: contained", JUDGE, "⟦owned && plain && unlabelled && self.check_constraints(rule, resource).is_ok()⟧",
     "owned && unlabelled && self.check_constraints(rule, resource).is_ok()"),
    ("contained: label", JUDGE, "⟦owned && plain && unlabelled && self.check_constraints(rule, resource).is_ok()⟧",
     "owned && plain && self.check_constraints(rule, resource).is_ok()"),
    ("contained: constraint", JUDGE, "⟦owned && plain && unlabelled && self.check_constraints(rule, resource).is_ok()⟧",
     "owned && plain && unlabelled"),
    ("contained: subject", JUDGE, "Subject::Unprovable => ⟦false⟧,", "true"),
    ("the resource that was asked for", "src/filter.rs",
     "if ⟦identity != (Reference { resource_type: asked.resource_type(), id: asked.id().clone() })⟧", "false"),
    # redact.rs: what of it?
    ("elements inside that are not listed", REDACT, "Kept::No => ⟦false⟧,", "self.clean(value, out)"),
    ("narrative and elements that are not listed", REDACT, "|| ⟦(kept == Kept::No && own.is_none())⟧ {", "false"),
    ("narrative and elements that are not listed", REDACT, "None => ⟦self.kept(kept, member.value, out)⟧,", "self.clean(member.value, out)"),
    ("what else is said where the patient is named", REDACT, "_ => ⟦self.kept(below(name), member, out)⟧,", "self.clean(member, out)"),
    ("extensions of primitives", REDACT, "object.members().filter(|member| ⟦!member.name.starts_with('_')⟧)", "!member.name.is_empty()"),
    ("extensions, where a look over all found none", JUDGE, "Some(\"extension\") => ⟦outline.verbatim = false⟧,", "{}"),
    ("extensions of primitives, where a look over all found none", JUDGE, "Some(name) if name.starts_with('_') => ⟦outline.verbatim = false⟧,", "{}"),
    ("extensions", REDACT, "⟦name != \"extension\" && !dangling && self.clean(member, out)⟧", "!dangling && self.clean(member, out)"),
    ("references to what was contained", REDACT, "⟦name != \"extension\" && !dangling && self.clean(member, out)⟧",
     "name != \"extension\" && self.clean(member, out)"),
    ("contained that may not leave", REDACT, "(\"contained\", _) if ⟦self.drops_contained⟧ => false,", "false"),
    ("elements of what is contained in what leaves whole", REDACT, "&& ⟦!release.redacts_contained⟧;", "true"),
    ("contained that is not listed", REDACT, "(\"contained\", _) => ⟦kept == Kept::Whole && self.contained(member.value, out)⟧,",
     "self.contained(member.value, out)"),
    ("elements of what is contained", REDACT, "Elements::Only(_) => ⟦self.resource(resource_type, resource, elements, &[], out)⟧,", "self.copy(resource, out)"),
    ("meta", REDACT, "if ⟦member.name != \"tag\" && (whole || META.contains(&member.name))⟧", "member.name != \"tag\""),
    ("tags", REDACT, ".filter(|_| ⟦whole⟧)", "true"),
    ("the tag of what is incomplete", REDACT, "⟦out.extend_from_slice(SUBSETTED.as_bytes())⟧;", "out.extend_from_slice(b\"{}\")"),
    ("elements not asked for", REDACT, "if ⟦!wanted⟧ ||", "false"),
    ("the record system's address", REDACT, "if ⟦!self.rewrites⟧ {", "true"),
    ("the record system's address, written with escapes", JUDGE,
     "⟦resource.is_veiled() || self.ehr.find(resource.raw().as_bytes()).is_some()⟧", "self.ehr.find(resource.raw().as_bytes()).is_some()"),
    # bundle.rs: what is said of the whole?
    ("a bundle that is no searchset", BUNDLE, "\"type\" if ⟦!is(\"searchset\")⟧ =>", "false"),
    ("links to elsewhere", BUNDLE, ".filter(|rest| ⟦rest.starts_with(['/', '?']) && !rest.contains('#') && !leaves_base(rest)⟧);", "true"),
    ("links that leave the base by dots", BUNDLE, ".filter(|rest| ⟦rest.starts_with(['/', '?']) && !rest.contains('#') && !leaves_base(rest)⟧);",
     "rest.starts_with(['/', '?']) && !rest.contains('#')"),
    ("members written twice", BUNDLE, "if ⟦self.seen.contains(&name)⟧ {", "false"),
    ("a total of what was not seen", BUNDLE, "let states_total = ⟦first_page && next.is_none() && !self.continues && shape.total != TotalWanted::None⟧;", "true"),
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
    command = ["cargo", "test", "--no-run", "--message-format=json", "--lib", "--test", "it"]
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
    """None where the tests pass, else how they ended."""
    environment = {**os.environ, "MUTANT": str(mutant), "RUST_BACKTRACE": "0"}
    try:
        done = subprocess.run([program, name], cwd=SCRATCH, env=environment, capture_output=True, text=True, timeout=SECONDS,
                              stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return "no end"
    assert "running 0 tests" not in done.stdout, f"there are no tests {name}"
    return None if done.returncode == 0 else f"exit {done.returncode}"


def tried(programs, mutant):
    """The first of the tests that fails, or None."""
    return next((name.removesuffix("::") for kind, name in TESTS if fails(programs[kind], name, mutant)), None)


def main():
    cases, began = Cases(), time.monotonic()
    shutil.rmtree(SCRATCH, ignore_errors=True)
    shutil.copytree(ROOT, SCRATCH, ignore=shutil.ignore_patterns("target", ".git", ".ci", "__pycache__"))
    try:
        if mutated(cases):
            programs = compiled()
            print(f"compiled after {time.monotonic() - began:.0f} s", flush=True)
            unmutated = tried(programs, 0)
            cases.case("without a mutation the tests pass", unmutated and f"{unmutated} fails")
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                runs = pool.map(lambda number: tried(programs, number), range(1, len(NAMES) + 1))
                for name, seen in zip(NAMES, runs):
                    cases.case(f"without: {name}", None if seen else "no test fails", f"{seen} fails")
    except AssertionError as error:
        cases.case("the mutated copy can be tried", str(error))
    finally:
        shutil.rmtree(SCRATCH, ignore_errors=True)
    print(f"{time.monotonic() - began:.0f} s")
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main())
