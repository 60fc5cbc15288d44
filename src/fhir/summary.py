#!/usr/bin/env python3
"""Writes summary.tsv from HL7's R4 profiles-resources.json (FHIR 4.0.1): what `_summary=true` shows of each resource type.

    python3 summary.py profiles-resources.json ../search/definitions.tsv > summary.tsv

One line per concrete resource type: the elements whose definition has isSummary, as paths; where only a part of what an
element has below itself is marked, the parts. `id`, `meta` and `resourceType` always stay and are not listed. Within data
types all is marked but the `data` of Attachment, SampledData and Signature.
"""
import json
import sys


def marked(element):
    return element.get("isSummary", False)


def parts(path, below):
    """The marked paths below `path`; None where all of it is marked."""
    own = [e for e in below.get(path, []) if e["path"].split(".")[-1] not in ("id", "extension", "modifierExtension")]
    whole, found = True, []
    for element in own:
        if not marked(element):
            whole = False
            continue
        inner = parts(element["path"], below)
        if inner is None:
            found.append(element["path"])
        else:
            whole = False
            found += inner
    return None if whole else found


def main():
    known = open(sys.argv[2]).readline().removeprefix("@\t").strip().split(",")
    rows = {}
    for entry in json.load(open(sys.argv[1]))["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] != "StructureDefinition" or resource.get("derivation") != "specialization":
            continue
        name = resource["name"]
        if name not in known:
            continue
        below = {}
        for element in resource["snapshot"]["element"][1:]:
            below.setdefault(element["path"].rpartition(".")[0], []).append(element)
        found = []
        for element in below[name]:
            path = element["path"]
            if marked(element) and path.split(".")[-1] not in ("id", "meta"):
                inner = parts(path, below) if path in below else None
                found += [path] if inner is None else inner
        rows[name] = [path.partition(".")[2] for path in found]
    missing = sorted(set(known) - set(rows))
    assert not missing, missing
    print("# R4 (4.0.1) elements of a summary: type, paths. Written by summary.py.")
    for name in known:
        print(name + "\t" + ";".join(rows[name]))


main()
