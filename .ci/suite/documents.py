#!/usr/bin/env python3
"""documents.py SHARED : who answers for C-CDA documents, by `portcullis provenance`, on the documents of SHARED/data/patients/ccda.

Each document stands in the attachment of a DocumentReference, with its size and SHA-1. Its header is read, here by Python: where
the author or the author's organisation has an identifier, its source answers for it. Of a size or a digest that is another, the
record is contradicted; by a header that is not whole, or declares entities, nobody answers for it.
"""

import base64
import hashlib
import json
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from gateway import PROGRAM, Cases  # noqa: E402

V3 = "{urn:hl7-org:v3}"
AUTHOR = f"{V3}author/{V3}assignedAuthor"


def judged(data, **stated):
    """The verdict on a document, and the findings by their codes."""
    attachment = {"contentType": "text/xml", "data": base64.b64encode(data).decode(), "size": len(data),
                  "hash": base64.b64encode(hashlib.sha1(data).digest()).decode(), **stated}
    record = {"resourceType": "DocumentReference", "id": "d", "status": "current", "content": [{"attachment": attachment}]}
    done = subprocess.run([PROGRAM, "provenance", "-", "--json"], input=json.dumps(record).encode(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    line, = json.loads(done.stdout)["resources"]
    return line["verdict"], {finding["code"]: finding["answer"] for finding in line["findings"]}


def is_identified(data):
    """Whether an author or the organisation behind one has an identifier."""
    root = ElementTree.fromstring(data)
    everywhere = root.findall(f"{AUTHOR}/{V3}id") + root.findall(f"{AUTHOR}/{V3}representedOrganization/{V3}id")
    return any(one.get("root") and not one.get("nullFlavor") for one in everywhere)


def is_answered_for(data):
    verdict, findings = judged(data)
    assert (findings["attachment-size"], findings["attachment-hash"]) == ("match", "match"), findings
    assert findings["document-readable"] == "match", findings
    mismatches = sorted(code for code, answer in findings.items() if answer == "mismatch")
    wanted = "asserted-by-source" if is_identified(data) and not mismatches else "unknown"
    assert verdict == wanted, f"{verdict}, not {wanted}: {findings}"
    return " ".join([verdict, *mismatches])


def is_not_once_changed(data):
    wrong = base64.b64encode(hashlib.sha1(data + b" ").digest()).decode()
    header = data.split(b"?>", 1)[1]
    for stated, changed, wanted, code in [
        ({"size": len(data) + 1}, data, "contradicted", "attachment-size"),
        ({"hash": wrong}, data, "contradicted", "attachment-hash"),
        ({}, data[: len(data) // 2], "unknown", "document-readable"),
        ({}, b'<!DOCTYPE a [<!ENTITY b "c">]>' + header, "unknown", "document-readable"),
    ]:
        verdict, findings = judged(changed, **stated)
        assert (verdict, findings[code]) == (wanted, "mismatch"), f"{code}: {verdict} {findings}"


def main():
    cases = Cases()
    for path in sorted(pathlib.Path(sys.argv[1], "data/patients/ccda").glob("*.xml")):
        cases.run(path.name, is_answered_for, path.read_bytes())
        cases.run(f"{path.name}, changed", is_not_once_changed, path.read_bytes())
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main())
