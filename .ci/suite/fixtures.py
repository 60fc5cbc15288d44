#!/usr/bin/env python3
"""fixtures.py EHR : the attack fixtures as HAPI holds them, in the shape that the attack cases need.

Each of the 66 is read and held against its file, numbers as they were written; so is each earlier version, in the
history, and the record that was deleted. Left aside is what a server must add (version, time, the tag that HAPI puts on
a Subscription) and the order of labels, which HAPI does not keep and no case depends on.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from gateway import ROOT, Cases, parse  # noqa: E402

from direct_query import first_difference  # noqa: E402
from ehr import Ehr, name_of  # noqa: E402

DATA = ROOT / "tests/hostile/data"
HAPI_TAG = "http://hapifhir.io/fhir/StructureDefinition/subscription-matching-strategy"


def plain(resource):
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in ("versionId", "lastUpdated")}
    tags = [tag for tag in meta.pop("tag", []) if tag.get("system") != HAPI_TAG]
    labels = sorted(meta.pop("security", []), key=str)
    meta |= {name: value for name, value in (("tag", tags), ("security", labels)) if value}
    return {**{name: value for name, value in resource.items() if name != "meta"}, **({"meta": meta} if meta else {})}


def fixtures(name):
    return [entry["resource"] for entry in parse((DATA / name).read_text())["entry"]]


def difference(text, resource):
    held, written = plain(parse(text)), plain(resource)
    return None if held == written else first_difference(held, written)


def main(base):
    cases, ehr = Cases(), Ehr(base)
    for resource in fixtures("attack-fixtures.json"):
        status, text = ehr.call("GET", name_of(resource))
        cases.case(name_of(resource), difference(text, resource) if status == 200 else f"{status}: {text[:200]}")
    for resource in fixtures("attack-fixtures-v1.json"):
        status, text = ehr.call("GET", f"{name_of(resource)}/_history")
        versions = [entry["resource"] for entry in json.loads(text).get("entry", []) if "resource" in entry]
        found = any(difference(json.dumps(version), resource) is None for version in versions)
        cases.case(f"{name_of(resource)}, an earlier version", not found and f"{status}, {len(versions)} versions and not this one")
    status, _ = ehr.call("GET", "Observation/o-p2-deleted")
    cases.case("Observation/o-p2-deleted is deleted", status != 410 and f"{status}")
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
