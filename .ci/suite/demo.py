#!/usr/bin/env python3
"""demo.py : the demo's one JSON object, read as somebody would who does not believe it.

What the payer got must be part of what the record system has; every resource is either released or withheld with a reason;
nothing that was withheld, and no element that was removed, is to be found in what was released. Of two results one is
withheld because nobody answers for it, and one because a byte of it was changed after it was signed; both are looked at here.
"""

import json
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from gateway import PROGRAM, Cases, parse  # noqa: E402

FIELDS = {"upstream": dict, "released": dict, "withheld": list, "request": str, "upstream_request": str, "decision_id": str}
LIMIT = 60  # seconds
ANSWERED = {"asserted-by-hie", "asserted-by-source", "verified"}


def name_of(resource):
    return f"{resource['resourceType']}/{resource['id']}"


def entries(bundle):
    return {name_of(entry["resource"]): entry["resource"] for entry in bundle.get("entry", [])}


def is_part(part, whole):
    """Whether everything in `part` is in `whole`, in its place."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and is_part(value, whole[name]) for name, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        rest = iter(whole)
        return all(any(is_part(item, other) for other in rest) for item in part)
    return part == whole


def main():
    cases, began = Cases(), time.monotonic()
    done = subprocess.run([PROGRAM, "demo", "--once", "--json"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LIMIT)
    cases.case("it ends with 0", done.returncode and f"exit {done.returncode}: {done.stderr[-600:]}", f"after {time.monotonic() - began:.1f} s")
    try:
        shown = parse(done.stdout)
    except json.JSONDecodeError as error:
        cases.case("it prints one JSON object", f"{error}: {done.stdout[:300]}")
        return cases.finish()
    wrong = {name: type(shown.get(name)).__name__ for name, kind in FIELDS.items() if not isinstance(shown.get(name), kind)}
    cases.case("every field is there", wrong and str(wrong), ", ".join(FIELDS))
    if wrong:
        return cases.finish()
    had, got = entries(shown["upstream"]), entries(shown["released"])
    cases.case("something is released and something withheld", not (got and shown["withheld"]) and f"{len(got)} of {len(had)}", f"{len(got)} of {len(had)}")
    bare = [one for one in shown["withheld"] if not (isinstance(one.get("what"), str) and one["what"] and isinstance(one.get("reason"), str) and one["reason"])]
    cases.case("everything withheld has a what and a reason", bare[:2])
    told = " ".join(one["what"] for one in shown["withheld"])
    unexplained = [name for name in had if name not in got and name not in told]
    cases.case("whatever is missing is explained", unexplained)
    invented = []
    for name, resource in got.items():
        stripped = {key: value for key, value in resource.items() if key != "meta"}
        if name not in had or not is_part(stripped, had[name]):
            invented.append(name)
    cases.case("what is released is part of what there is, to the last decimal", invented)
    other = {
        (resource.get("subject") or resource.get("patient") or {}).get("reference", name if name.startswith("Patient/") else "")
        for name, resource in got.items()
    } - {""}
    cases.case("it is about one patient", len(other) > 1 and str(other), ", ".join(other))
    labelled = [name for name, resource in got.items() if resource.get("meta", {}).get("security")]
    cases.case("nothing released carries a label", labelled)
    unanswered = {one["what"]: one["reason"] for one in shown["withheld"] if one["reason"].startswith("authorship: ")}
    missing = [name for name, reason in unanswered.items() if "author-stated" in reason]
    cases.case("one is withheld for want of an author", len(missing) != 1 and str(unanswered), ", ".join(missing))
    named = [name for name in missing if had[name].get("performer") or name in got]
    cases.case("which it does not have", named)
    broken = [name for name, reason in unanswered.items() if "signature-holds" in reason]
    cases.case("one is withheld for a broken signature", len(broken) != 1 and str(unanswered), ", ".join(broken))
    cases.case("and nothing of it is released", [name for name in broken if name in got or name.split("/")[1] in json.dumps(shown["released"])])
    unmarked = [name for name, resource in got.items() if not ANSWERED & {tag.get("code") for tag in resource["meta"].get("tag", [])}]
    cases.case("for whatever is released somebody answers", unmarked)
    narrative = [name for name, resource in got.items() if "text" in resource or "contained" in resource]
    cases.case("nothing released has narrative", narrative)
    cases.case("the record system was asked more narrowly", shown["request"] == shown["upstream_request"] and "as the client asked", shown["upstream_request"])
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main())
