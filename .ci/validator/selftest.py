#!/usr/bin/env python3
"""selftest.py SHARED : shows that the validator passes what is right and fails what is not.

Right: the resources of data/standards/examples and some written here. Wrong: copies of them, each with one fault, which
must be reported with the expected words. Sent as JSON lines through one process.
"""

import copy
import json
import pathlib
import subprocess
import sys

EXAMPLES = ("AuditEvent", "Bundle", "OperationOutcome")

CAPABILITIES = {
    "resourceType": "CapabilityStatement",
    "status": "active",
    "date": "2026-11-23",
    "kind": "instance",
    "implementation": {"description": "a gateway"},
    "fhirVersion": "4.0.1",
    "format": ["application/fhir+json"],
    "rest": [
        {
            "mode": "server",
            "resource": [{"type": "Observation", "interaction": [{"code": "read"}, {"code": "search-type"}]}],
        }
    ],
}

PAGE = {
    "resourceType": "Bundle",
    "type": "searchset",
    "total": 1,
    "link": [{"relation": "self", "url": "https://gateway.example.org/fhir/Patient?_id=a"}],
    "entry": [
        {
            "fullUrl": "https://gateway.example.org/fhir/Patient/a",
            "resource": {"resourceType": "Patient", "id": "a", "active": True},
            "search": {"mode": "match"},
        }
    ],
}


def drop(*path):
    def change(resource):
        for step in path[:-1]:
            resource = resource[step]
        del resource[path[-1]]

    return change


def put(*path_and_value):
    *path, value = path_and_value

    def change(resource):
        for step in path[:-1]:
            resource = resource[step]
        resource[path[-1]] = value

    return change


# parent, what is done to it, words that one of the errors must contain
BROKEN = [
    ("OperationOutcome-denied", drop("issue"), "OperationOutcome.issue"),
    ("OperationOutcome-denied", put("issue", 0, "code", "denied"), "issue-type"),
    ("OperationOutcome-denied", put("issue", 0, "severity", "err"), "issue-severity"),
    ("CapabilityStatement", drop("status"), "CapabilityStatement.status"),
    ("CapabilityStatement", drop("fhirVersion"), "CapabilityStatement.fhirVersion"),
    ("CapabilityStatement", put("kind", "server"), "capability-statement-kind"),
    ("CapabilityStatement", put("rest", 0, "resource", 0, "type", "Observatory"), "resource-types"),
    ("CapabilityStatement", put("rest", 0, "resource", 0, "interaction", 0, "code", "search"), "restful-interaction"),
    ("page", drop("entry", 0, "fullUrl"), "fullUrl"),
    ("page", put("type", "collection"), "bdl-"),
    ("page", put("entry", 0, "fullUrl", "https://gateway.example.org/fhir/Patient/b"), "Patient/b"),
    ("page", put("entry", 0, "resource", "nickname", "x"), "nickname"),
    ("AuditEvent-read", drop("recorded"), "AuditEvent.recorded"),
    ("AuditEvent-read", put("action", "X"), "audit-event-action"),
    ("AuditEvent-read", put("recorded", "2026-13-01T00:00:00Z"), "2026-13-01"),
    ("AuditEvent-read", put("meta", "profile", 0, "https://gateway.example.org/no-such-profile"), "no-such-profile"),
    ("AuditEvent-read", put("entity", []), "AuditEvent.entity"),
    ("AuditEvent-search", put("agent", []), "AuditEvent.agent"),
    ("AuditEvent-disclosure-source", drop("agent", 0), "AuditEvent.agent"),
]


def main(shared):
    parents = {"CapabilityStatement": CAPABILITIES, "page": PAGE}
    for path in sorted((shared / "data/standards/examples").glob("*.json")):
        if path.name.startswith(EXAMPLES):
            parents[path.stem] = json.loads(path.read_text())

    requests = [{"id": name, "resource": resource} for name, resource in parents.items()]
    for number, (parent, change, words) in enumerate(BROKEN):
        resource = copy.deepcopy(parents[parent])
        change(resource)
        requests.append({"id": f"{number}: {parent} must complain about {words}", "resource": resource})
    twice = '{"resourceType":"Patient","active":true,"active":false}'
    requests.append({"id": "duplicate key must complain about active", "text": twice})

    command = [str(pathlib.Path(__file__).with_name("check.sh")), "--shared", str(shared), "--stdin"]
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    run = subprocess.run(command, input=lines, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode != 1:
        sys.exit(f"selftest.py: status {run.returncode} where 1 was expected")
    first, *answers = map(json.loads, run.stdout.splitlines())

    wrong = [] if first == {"ready": True} and len(answers) == len(requests) else ["answers are missing"]
    for answer in answers:
        words = answer["id"].partition(" must complain about ")[2]
        said = " ".join(issue["location"] + " " + issue["message"] for issue in answer["issues"])
        if answer["ok"] == bool(words) or words not in said:
            wrong.append(f"{answer['id']}: {said or 'passed'}")
    if wrong:
        sys.exit("selftest.py: FAILED\n  " + "\n  ".join(wrong))
    slowest = max(answer["ms"] for answer in answers)
    print(f"selftest.py: {len(parents)} right, {len(requests) - len(parents)} wrong, all judged so; at most {slowest} ms each")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
