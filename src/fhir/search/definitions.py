#!/usr/bin/env python3
"""Writes definitions.tsv from HL7's R4 search-parameters.json (FHIR 4.0.1).

    python3 definitions.py search-parameters.json compartmentdefinition-patient.json > definitions.tsv

The first line names every concrete resource type (R4's Patient compartment lists them all but Parameters).

One line per (resource type, search parameter) that the gateway can evaluate by itself:
type, name, kind, reference targets (or -), element paths joined by ';'. Left out, and so refused by
name at run time: composite and special parameters, and expressions that need more than a path
(indexes, 'exists'), and 'phonetic', whose matching R4 leaves open. A path step 'telecom[system=phone]' keeps the repetitions whose 'system' is 'phone'.
"""
import json
import re
import sys

# References by canonical URL, as the types of these elements say (R4); in types that hold data of patients.
CANONICAL = {"instantiatesCanonical", "QuestionnaireResponse.questionnaire", "MeasureReport.measure"}

SUFFIX = {"dateTime": "DateTime", "date": "Date", "string": "String", "uri": "Uri", "boolean": "Boolean", "canonical": "Canonical"}


def step_path(expression, base):
    """The path below `base`, a target type when `resolve()` narrows it, or None when it is more than a path."""
    text = expression.strip()
    cast = re.fullmatch(r"\((.+) as (\w+)\)(?:\.(\w+))?", text)
    if cast:
        text = cast[1] + SUFFIX.get(cast[2], cast[2]) + ("." + cast[3] if cast[3] else "")
    text = re.sub(r"\.as\((\w+)\)", lambda m: SUFFIX.get(m[1], m[1]), text)
    target = None
    narrowed = re.fullmatch(r"(.+)\.where\(resolve\(\) is (\w+)\)", text)
    if narrowed:
        text, target = narrowed[1], narrowed[2]
    text = re.sub(r"\.where\((\w+)='([\w-]+)'\)", r"[\1=\2]", text)
    if not text.startswith(base + "."):
        return None
    path = text[len(base) + 1:]
    if not re.fullmatch(r"[A-Za-z]+(\[\w+=[\w-]+\])?(\.[A-Za-z]+(\[\w+=[\w-]+\])?)*", path):
        return None
    return path, target


def main():
    rows = {}
    types = set()
    for entry in json.load(open(sys.argv[1]))["entry"]:
        parameter = entry["resource"]
        if parameter["type"] in ("composite", "special") or "expression" not in parameter:
            continue
        for base in parameter["base"]:
            types.add(base)
            parts = [p for p in parameter["expression"].split("|") if re.match(r"\s*\(?" + base + r"\.", p)]
            found = [step_path(p, base) for p in parts]
            if not found or None in found or parameter["code"] == "phonetic":
                continue
            narrowed = [t for _, t in found if t]
            targets = narrowed or parameter.get("target", [])
            paths = list(dict.fromkeys(p for p, _ in found))
            canonical = any(p in CANONICAL or f"{base}.{p}" in CANONICAL for p in paths)
            kind = "canonical" if canonical else parameter["type"]
            targets = sorted(targets) if kind == "reference" else []
            if kind == "reference" and len(targets) > 100:
                targets = ["Resource"]
            rows[base, parameter["code"]] = (kind, ",".join(targets) or "-", ";".join(paths))
    listed = json.load(open(sys.argv[2]))["resource"]
    names = sorted({"Parameters", *(r["code"] for r in listed), *types} - {"Resource", "DomainResource"})
    out = ["@\t" + ",".join(names)]
    out += ["# R4 (4.0.1) search parameters: type, name, kind, targets, paths. Written by definitions.py."]
    out += ["\t".join((*key, *row)) for key, row in sorted(rows.items())]
    print("\n".join(out))


main()
