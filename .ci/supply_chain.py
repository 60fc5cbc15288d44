#!/usr/bin/env python3
"""Judges the crates we build from: known vulnerabilities, licences, banned names, origin.

    supply_chain.py ADVISORIES               ADVISORIES: a checkout of the RustSec database
    supply_chain.py --self-test ADVISORIES   shows that planted faults are found

Rules come from deny.toml. Prints warnings and failures; status 1 if there is a failure. Needs cargo, no network once the
crates are fetched, and nothing else: it stands in for cargo-deny where that cannot be built.

Not seen by it: yanked releases, and advisories published after the copy of the database was made.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"  # its name in every Cargo.lock


# ---- versions

VERSION = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
LOWEST = ((0, 0, ""),)  # the pre-release "0": below every other pre-release
RELEASE = ((2, 0, ""),)  # no pre-release: above all of them


def precedence(prerelease):
    """A sortable form of a pre-release: numbers below words, fewer parts below more (SemVer 2.0, clause 11)."""
    if prerelease is None:
        return RELEASE
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in prerelease.split("."))


def parse_version(text):
    """(sortable version, how many of its three numbers are written)"""
    match = VERSION.fullmatch(text.strip())
    if not match:
        raise ValueError(f"not a version: {text!r}")
    numbers = [part for part in match.groups()[:3] if part is not None]
    filled = [int(part) for part in numbers] + [0] * (3 - len(numbers))
    return (*filled, precedence(match.group(4))), len(numbers)


def after(version, position):
    """The lowest version that differs from `version` upwards at `position` (0 major, 1 minor, 2 patch)."""
    numbers = list(version[:3])
    numbers[position] += 1
    numbers[position + 1 :] = [0] * (2 - position)
    return (*numbers, LOWEST)


def bounds(comparator):
    """[low, high) of one comparator; None is unbounded."""
    match = re.fullmatch(r"\s*(>=|<=|>|<|=|\^|~)?\s*(\S+)\s*", comparator)
    if not match:
        raise ValueError(f"not a version range: {comparator!r}")
    operator, text = match.group(1) or "^", match.group(2)
    if text == "*":
        return None, None
    version, written = parse_version(text)
    exact = written == 3
    if exact:
        beyond = (*version[:3], (*version[3], (-1, 0, "")))  # directly after this very version
    else:
        beyond = after(version, written - 1)
    if operator == ">=":
        return version, None
    if operator == ">":
        return beyond, None
    if operator == "<":
        return None, version
    if operator == "<=":
        return None, beyond
    if operator == "=":
        return version, beyond
    if operator == "~":
        return version, after(version, min(written - 1, 1))
    leading = next((place for place in range(written) if version[place]), written - 1)
    return version, after(version, leading)


def within(version, requirement):
    """Plain order of versions, pre-releases included, as RustSec means it: 1.0.0-rc.1 is older than the fix in 1.0.0."""
    for low, high in map(bounds, requirement.split(",")):
        if low is not None and version < low or high is not None and version >= high:
            return False
    return True


# ---- licences


def licence_allowed(expression, allowed):
    """Whether what is allowed satisfies an SPDX expression. '/' is the old spelling of OR."""
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def peek():
        return tokens[position] if position < len(tokens) else None

    def take():
        nonlocal position
        token = peek()
        if token is None:
            raise ValueError("it ends early")
        position += 1
        return token

    def any_of():
        result = all_of()
        while peek() == "OR":
            take()
            result = all_of() or result
        return result

    def all_of():
        result = single()
        while peek() == "AND":
            take()
            result = single() and result
        return result

    def single():
        token = take()
        if token == "(":
            result = any_of()
            if take() != ")":
                raise ValueError("a bracket is not closed")
            return result
        if token in (")", "AND", "OR", "WITH"):
            raise ValueError(f"unexpected {token}")
        if peek() == "WITH":
            take()
            token = f"{token} WITH {take()}"
        return token in allowed

    try:
        result = any_of()
        if peek() is not None:
            raise ValueError(f"unexpected {peek()}")
    except ValueError as error:
        raise ValueError(f"licence expression {expression!r}: {error}") from None
    return result


# ---- rules


def advisories_for(database, name):
    for path in sorted((database / "crates" / name).glob("RUSTSEC-*.md")):
        matter = re.match(r"```toml\n(.*?)\n```", path.read_text(encoding="utf-8"), re.DOTALL)
        if not matter:
            raise ValueError(f"{path}: no front matter")
        content = tomllib.loads(matter.group(1))
        yield content["advisory"], content.get("versions", {})


def check_advisories(locked, database, ignored):
    failures, warnings, used = [], [], set()
    for package in locked:
        if package.get("source") != CRATES_IO:
            continue
        version, _ = parse_version(package["version"])
        for advisory, versions in advisories_for(database, package["name"]):
            safe = versions.get("patched", []) + versions.get("unaffected", [])
            if "withdrawn" in advisory or any(within(version, requirement) for requirement in safe):
                continue
            kind = advisory.get("informational", "vulnerability").strip()
            line = f"{advisory['id']}: {package['name']} {package['version']} ({kind})"
            if advisory["id"] in ignored:
                used.add(advisory["id"])
                warnings.append(f"{line}, ignored by deny.toml")
            elif kind in ("unmaintained", "notice"):
                warnings.append(line)
            else:
                failures.append(line)
    warnings += [f"{name}: ignored by deny.toml for nothing" for name in sorted(ignored - used)]
    return failures, warnings


def check_licences(packages, rules):
    failures = []
    exceptions = {}
    for entry in rules.get("exceptions", []):
        exceptions.setdefault(entry.get("crate") or entry["name"], set()).update(entry["allow"])
    for package in packages:
        allowed = set(rules["allow"]) | exceptions.get(package["name"], set())
        label = f"{package['name']} {package['version']}"
        if not package.get("license"):
            failures.append(f"{label}: states no licence")
            continue
        try:
            if not licence_allowed(package["license"], allowed):
                failures.append(f"{label}: licence {package['license']} is not allowed")
        except ValueError as error:
            failures.append(f"{label}: {error}")
    return failures


def check_origin(locked, packages, members):
    failures = []
    for package in locked:
        label, source = f"{package['name']} {package['version']}", package.get("source")
        if source is None:
            continue  # a path; judged below
        if source != CRATES_IO:
            failures.append(f"{label}: comes from {source}")
        elif not re.fullmatch("[0-9a-f]{64}", package.get("checksum", "")):
            failures.append(f"{label}: has no checksum")
    for package in packages:
        if package.get("source") is None and package["id"] not in members:
            failures.append(f"{package['name']} {package['version']}: is a path outside the workspace")
    return failures


def check_bans(locked, rules):
    banned = {entry if isinstance(entry, str) else entry.get("crate") or entry["name"] for entry in rules.get("deny", [])}
    return [f"{package['name']} {package['version']}: banned" for package in locked if package["name"] in banned]


def cargo_metadata(manifest):
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--all-features", "--manifest-path", str(manifest)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def judge(lock, metadata, deny, database):
    if not (database / "crates").is_dir():
        raise SystemExit(f"supply_chain.py: no advisories below {database}")
    rules = tomllib.loads(deny.read_text(encoding="utf-8"))
    locked = tomllib.loads(lock.read_text(encoding="utf-8"))["package"]
    packages, members = metadata["packages"], set(metadata["workspace_members"])
    entries = rules["advisories"].get("ignore", [])
    ignored = {entry if isinstance(entry, str) else entry["id"] for entry in entries}

    failures, warnings = check_advisories(locked, database, ignored)
    failures += check_licences(packages, rules["licenses"])
    failures += check_origin(locked, packages, members)
    failures += check_bans(locked, rules["bans"])
    for line in warnings:
        print(f"warning: {line}")
    for line in failures:
        print(f"FAILED: {line}")
    print(f"supply_chain.py: {len(locked)} crates, {len(failures)} failures, {len(warnings)} warnings")
    return 1 if failures else 0


# ---- self-test

RANGES = [  # version, requirement, expected
    ("0.3.17", "^0.3.26", False),
    ("0.3.26", "^0.3.26", True),
    ("0.4.0", "^0.3.26", False),
    ("0.4.0-alpha.1", "^0.3.26", False),
    ("1.10.0", ">= 1.9.0", True),
    ("1.0.0-rc.1", ">= 1.0.0", False),
    ("1.0.0-rc.10", ">= 1.0.0-rc.9", True),
    ("1.0.0-alpha", "< 1.0.0-alpha.1", True),
    ("1.0.0-1", "< 1.0.0-alpha", True),
    ("1.2.3+build.7", "= 1.2.3", True),
    ("1.2.3-rc.1", "=1.2.3", False),
    ("1.2.4", "<= 1.2.3", False),
    ("1.2.3", "> 1.2.3", False),
    ("1.2.4-rc.1", "> 1.2.3", True),
    ("1.2.9", "> 1.2", False),
    ("1.2.9", "<= 1.2", True),
    ("1.2.9", "~1.2.3", True),
    ("1.3.0", "~1.2.3", False),
    ("0.0.4", "^0.0.3", False),
    ("0.9.9", "^0", True),
    ("0.7.9", "0.7.3", True),
    ("2.4.1", ">= 2.0.0, < 2.4.2", True),
    ("2.4.2", ">= 2.0.0, < 2.4.2", False),
]

LICENCES = [  # expression, expected with Apache-2.0 and MIT allowed
    ("MIT", True),
    ("GPL-3.0-only", False),
    ("GPL-3.0-only OR MIT", True),
    ("GPL-3.0-only AND MIT", False),
    ("MIT/Apache-2.0", True),
    ("Zlib OR MIT AND GPL-2.0-only", False),
    ("(Zlib OR MIT) AND Apache-2.0", True),
    ("Apache-2.0 WITH LLVM-exception", False),
    ("Apache-2.0 WITH LLVM-exception OR Apache-2.0", True),
]

ELSEWHERE = "git+https://git.example/elsewhere#0123"

FAULTY = [  # name, version, licence, source
    ("h2", "0.3.17", "GPL-3.0-only", CRATES_IO),
    ("openssl", "99.0.0", None, CRATES_IO),
    ("elsewhere", "1.0.0", "MIT OR", ELSEWHERE),
    ("copied", "1.0.0", "MIT", None),
]
FAULTS = [
    "RUSTSEC-2024-0332: h2 0.3.17",
    "h2 0.3.17: licence GPL-3.0-only is not allowed",
    "openssl 99.0.0: states no licence",
    "openssl 99.0.0: banned",
    "elsewhere 1.0.0: comes from git+",
    "elsewhere 1.0.0: licence expression 'MIT OR': it ends early",
    "copied 1.0.0: is a path outside the workspace",
]
SOUND = [
    ("h2", "99.0.0", "MIT", CRATES_IO),
    ("paste", "1.0.15", "MIT OR Apache-2.0", CRATES_IO),  # unmaintained: a warning
    ("dirs", "2.0.2", "MIT OR Apache-2.0", CRATES_IO),  # its advisory was withdrawn
]


def lock_of(crates):
    text = "version = 4\n"
    for name, version, _, source in crates:
        text += f'\n[[package]]\nname = "{name}"\nversion = "{version}"\n'
        text += f'source = "{source}"\n' if source else ""
        text += f'checksum = "{"0" * 64}"\n' if source == CRATES_IO else ""
    return text


def metadata_of(crates):
    keys = ("name", "version", "license", "source")
    packages = [{"id": f"{crate[0]}@{crate[1]}", **dict(zip(keys, crate))} for crate in crates]
    return json.dumps({"packages": packages, "workspace_members": []})


def self_test(deny, database):
    wrong = []
    for version, requirement, expected in RANGES:
        if within(parse_version(version)[0], requirement) != expected:
            wrong.append(f"{version} in {requirement} should be {expected}")
    for expression, expected in LICENCES:
        if licence_allowed(expression, {"MIT", "Apache-2.0"}) != expected:
            wrong.append(f"{expression} should be {expected}")

    with tempfile.TemporaryDirectory() as folder:
        lock, metadata = pathlib.Path(folder) / "Cargo.lock", pathlib.Path(folder) / "metadata.json"

        def run(crates):
            lock.write_text(lock_of(crates))
            metadata.write_text(metadata_of(crates))
            command = [sys.executable, __file__, str(database), "--deny", str(deny)]
            command += ["--lock", str(lock), "--metadata", str(metadata)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            return ended.returncode, ended.stdout + ended.stderr

        status, output = run(FAULTY)
        wrong += [f"not found: {words}" for words in FAULTS if status != 1 or f"FAILED: {words}" not in output]
        status, output = run(SOUND)
        if status != 0 or "warning: RUSTSEC-2024-0436: paste" not in output or " 1 warnings" not in output:
            wrong.append(f"sound input: {output}")

    for line in wrong:
        print(f"FAILED: {line}")
    print(f"supply_chain.py: self-test, {len(wrong)} failures")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("advisories", type=pathlib.Path)
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--deny", type=pathlib.Path, default=ROOT / "deny.toml")
    parser.add_argument("--lock", type=pathlib.Path, default=ROOT / "Cargo.lock")
    parser.add_argument("--manifest-path", type=pathlib.Path, default=ROOT / "Cargo.toml")
    parser.add_argument("--metadata", type=pathlib.Path, help="output of cargo metadata; without it cargo is asked")
    options = parser.parse_args()
    if options.self_test:
        return self_test(options.deny, options.advisories)
    metadata = json.loads(options.metadata.read_text()) if options.metadata else cargo_metadata(options.manifest_path)
    return judge(options.lock, metadata, options.deny, options.advisories)


if __name__ == "__main__":
    sys.exit(main())
