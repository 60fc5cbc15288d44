"""A record system with one invented patient, every record of which is valid FHIR, and a bad behaviour for each fault."""

import json
import time
import urllib.parse

from ehr import name_of
from upstream import Handler

NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Invented.</div>'}
SUBJECT = {"subject": {"reference": "Patient/p1"}}


def coded(system, code, **more):
    return {"coding": [{"system": system, "code": code}], **more}


def observation(number):
    return {
        "resourceType": "Observation", "id": f"o{number}", "meta": {"versionId": "1", "lastUpdated": "2026-01-05T10:00:00Z"},
        "text": NARRATIVE, "status": "final", **SUBJECT, "effectiveDateTime": f"2026-01-{number + 1:02}",
        "category": [coded("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory")],
        "code": coded("http://loinc.org", "4548-4"), "performer": [{"reference": "Practitioner/dr"}],
        "valueQuantity": {"value": 6.3, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"},
    }


RECORDS = [
    {"resourceType": "Patient", "id": "p1", "text": NARRATIVE, "active": True, "gender": "female", "birthDate": "1980-02-03",
     "name": [{"family": "Invented", "given": ["Ida"]}]},
    {"resourceType": "Practitioner", "id": "dr", "text": NARRATIVE, "name": [{"family": "Made-Up"}]},
    *map(observation, range(1, 6)),
    {"resourceType": "Condition", "id": "c1", "text": NARRATIVE, **SUBJECT, "onsetDateTime": "2025-05-06",
     "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
     "verificationStatus": coded("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"),
     "category": [coded("http://terminology.hl7.org/CodeSystem/condition-category", "encounter-diagnosis")],
     "code": coded("http://snomed.info/sct", "44054006", text="Diabetes"), "note": [{"text": "Not for payers."}]},
    {"resourceType": "Provenance", "id": "v1", "text": NARRATIVE, "target": [{"reference": "Observation/o1"}],
     "recorded": "2026-01-02T08:00:00Z", "agent": [{"who": {"reference": "Practitioner/dr"}}]},
    {"resourceType": "Flag", "id": "f1", "text": NARRATIVE, **SUBJECT, "status": "active", "code": {"text": "Invented"}},
]

# What a signed answer cannot hold: more than its bound, and a number with more digits than a double has.
BULK = [{**observation(1), "id": f"bulk-{at}", "code": coded("http://example.org", "bulk"), "note": [{"text": "x" * 120_000}]} for at in range(60)]
DIGITS = {**observation(1), "id": "digits", "code": coded("http://example.org", "digits"), "valueQuantity": {"value": 1234567890123456789012345}}

STATEMENT = {
    "resourceType": "CapabilityStatement", "status": "active", "date": "2026-01-01", "kind": "instance", "fhirVersion": "4.0.1",
    "format": ["json"], "implementation": {"description": "Invented"},
    "rest": [{"mode": "server", "resource": [
        {"type": kind, "interaction": [{"code": "read"}, {"code": "search-type"}, {"code": "create"}],
         "searchParam": [{"name": "_id", "type": "token"}, {"name": "patient", "type": "reference"}, {"name": "odd", "type": "token"}],
         "searchRevInclude": ["Provenance:target", "*"]}
        for kind in ("Condition", "Observation", "Patient", "Binary")
    ]}],
}


class Invented(Handler):
    """Behaves badly where the id says so: Observation/hangs, /breaks, /drops, /html, /broken-json, /another, /fails."""

    by_name = {name_of(record): record for record in RECORDS}

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path.removeprefix("/fhir/"))
        behaviour = getattr(self, "record_" + url.path.partition("/")[2].replace("-", "_"), None)
        if behaviour:
            behaviour()
        elif url.path == "metadata":
            self.send(STATEMENT)
        elif "/" in url.path:
            self.send(self.by_name.get(url.path))
        else:
            self.search(url.path, dict(urllib.parse.parse_qsl(url.query)))

    def search(self, kind, asked):
        """Knows the type, `code`, and pages by `_count` and `at`; whatever comes along is always there."""
        found = [record for record in RECORDS if record["resourceType"] == kind and asked.get("code") != "nothing"]
        found = {"bulk": BULK, "digits": [DIGITS]}.get(asked.get("code", ""), found)
        at, count = int(asked.get("at", 0)), int(asked["_count"])
        along = [record for record in RECORDS if record["resourceType"] in ("Practitioner", "Provenance")]
        shown = [(record, "match") for record in found[at : at + count]] + [(record, "include") for record in along]
        bundle = {
            "resourceType": "Bundle", "type": "searchset", "total": len(found), "link": [],
            "entry": [{"fullUrl": f"{self.server.base}/{name_of(r)}", "resource": r, "search": {"mode": mode}} for r, mode in shown],
        }
        if at + count < len(found):
            following = urllib.parse.urlencode({**asked, "at": at + count})
            bundle["link"].append({"relation": "next", "url": f"{self.server.base}/{kind}?{following}"})
        self.send(bundle)

    def send(self, resource):
        self.answer(resource and json.dumps(resource).encode())

    def record_hangs(self):
        self.server.waiting += 1
        time.sleep(20)

    def record_breaks(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: 900\r\n\r\n{")
        self.close_connection = True

    def record_drops(self):
        self.close_connection = True

    def record_html(self):
        self.answer(b"<p>Please sign in</p>", media="text/html")

    def record_broken_json(self):
        self.answer(b'{"resourceType":"Observation",')

    def record_another(self):
        self.send(self.by_name["Observation/o1"])

    def record_fails(self):
        self.answer(b"out of order", status=500)
