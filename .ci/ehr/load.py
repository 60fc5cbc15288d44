#!/usr/bin/env python3
"""load.py FHIR_BASE SHARED : brings the ten patients and the attack fixtures into an empty store, then counts them there.

Every resource keeps the id of its file. Patients go in as one transaction each. The fixtures go in one PUT at a time,
because inside a transaction HAPI makes a local reference out of one to another server's Patient/p1, and that trap would
be gone.
"""

import collections
import http.client
import json
import pathlib
import sys
import urllib.parse

HEADERS = {
    "Content-Type": "application/fhir+json",
    "Accept": "application/fhir+json",
    "Prefer": "return=minimal",
    "Cache-Control": "no-cache",
}


class Store:
    def __init__(self, base):
        url = urllib.parse.urlsplit(base)
        self.root = url.path.rstrip("/")
        self.connection = http.client.HTTPConnection(url.netloc, timeout=900)

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body)
        self.connection.request(method, self.root + path, data, HEADERS)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        if answer.status >= 400:
            sys.exit(f"load.py: {method} {path}: {answer.status}\n{text[:2000]}")
        return json.loads(text) if text else {}


def resources(path):
    return [entry["resource"] for entry in json.loads(path.read_text())["entry"]]


def address(resource):
    return f"{resource['resourceType']}/{resource['id']}"


def transaction(found):
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{**entry, "request": {"method": "PUT", "url": address(entry["resource"])}} for entry in found],
    }


def main(base, shared):
    store = Store(base)
    expected, patients_total = set(), 0

    for path in sorted((shared / "data/patients/synthea-2019-enriched").glob("*.json")):
        entries = json.loads(path.read_text())["entry"]
        store.call("POST", "", transaction(entries))
        expected.update(address(entry["resource"]) for entry in entries)
        patients_total += len(entries)
        print(f"load.py: {path.name}: {len(entries)}", file=sys.stderr, flush=True)

    earlier = resources(shared / "attacks/attack-fixtures-v1.json")
    current = resources(shared / "attacks/attack-fixtures.json")
    for resource in earlier:
        store.call("PUT", "/" + address(resource), resource)
    store.call("DELETE", "/Observation/o-p2-deleted")
    for resource in current:
        store.call("PUT", "/" + address(resource), resource)
    expected.update(map(address, current))
    print(f"load.py: {patients_total} patient resources, {len(current)} fixtures", file=sys.stderr, flush=True)

    wrong = []
    for kind, count in sorted(collections.Counter(name.split("/")[0] for name in expected).items()):
        held = store.call("GET", f"/{kind}?_summary=count")["total"]
        if held != count:
            wrong.append(f"{kind}: {held} held, {count} expected")
    if wrong:
        sys.exit("load.py: " + "; ".join(wrong))
    print(f"load.py: {len(expected)} distinct resources counted in the store", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
