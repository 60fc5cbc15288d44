#!/usr/bin/env python3
"""clients.py EHR : three off-the-shelf FHIR clients through the gateway, each with tokens of an issuer apart from it.

EHR is the FHIR base of a HAPI that ehr.sh has loaded. The gateway fetches the issuer's keys by URL; clients reach it by
TLS with a development authority. Each client finds the token endpoint by itself, signs its assertion with RS384 and with
ES384, reads a Patient and follows every page of its searches. What it counts must be what the record system holds.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CLIENTS = HERE.parent / "clients"
sys.path.insert(0, str(HERE.parent))

from gateway import ORGANIZATION, Cases, Gateway, free_port  # noqa: E402

from ehr import Ehr, matches  # noqa: E402

PATIENTS = {"p1": "3", "948e608d-e408-4788-8cf2-8157c49c2940": "40"}  # and how many matches a page is to have
# what smart-fetch asks of Observation by itself
CATEGORIES = "activity,exam,imaging,laboratory,procedure,sdoh,social-history,survey,therapy,vital-signs"


def run(client, environment):
    """The one line of JSON that a client prints."""
    done = subprocess.run([CLIENTS / f"{client}.sh"], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0 and lines, f"exit {done.returncode}: {done.stdout[-600:]}{done.stderr[-600:]}"
    return json.loads(lines[-1])


def expected_of(client, held):
    laboratory, conditions, observations = held
    steps = {"observation_entries": laboratory, "condition_entries": conditions, "post_search_entries": laboratory, "patient_read": 1}
    return {
        "kit": steps,
        "hapi": {f"{mode}_{name}": count for mode in ("xml_first", "json") for name, count in steps.items()},
        "smart-fetch": {"patient_entries": 1, "condition_entries": conditions, "observation_entries": observations, "errors": 0},
    }[client]


def main(base):
    cases, ehr, port = Cases(), Ehr(base), free_port()
    issuer = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="clients-") as name:
        folder = pathlib.Path(name)
        roster = folder / "roster.csv"
        roster.write_text("\n".join(["patient,roster,member_id,start,end", *(f"{p},everyone,{p},," for p in PATIENTS), ""]))
        gateway = Gateway(
            base, HERE / "policies/everything", roster=roster, facts=["roster"], clients=("payer-rs384", "payer-es384"), issuer_name=issuer,
            issuer=f'jwks_url = "{issuer}/jwks"\nalgorithms = ["RS384", "ES384"]\ntoken_endpoint = "{issuer}/token"\n'
            'scopes_supported = ["system/Patient.rs", "system/Observation.rs", "system/Condition.rs"]',
        )
        environment = {
            **os.environ, "ISSUER_PORT": str(port), "ISSUER_DIR": str(folder / "issuer"), "GATEWAY_AUD": gateway.base,
            "ISSUER": issuer, "FHIR_BASE": gateway.base, "CA": str(gateway.folder / "certs/ca.pem"),
            "ISSUER_CLAIMS": json.dumps({"purpose_of_use": ["urn:oid:2.16.840.1.113883.5.8#HPAYMT"], "organization_id": ORGANIZATION}),
        }
        subprocess.run([CLIENTS / "issuer.sh", "start"], env=environment, check=True, stdout=subprocess.DEVNULL)
        try:
            with gateway:
                for patient, count in PATIENTS.items():
                    held = [
                        about(ehr, patient, query)
                        for query in (f"Observation?patient={patient}&category=laboratory", f"Condition?patient={patient}",
                                      f"Observation?patient={patient}&category={CATEGORIES}")
                    ]
                    for algorithm in ("rs384", "es384"):
                        id = f"payer-{algorithm}"
                        told = {"CLIENT_ID": id, "KEY": str(folder / f"issuer/{id}.jwks"), "PATIENT": patient, "COUNT": count}
                        for client in ("kit", "hapi", "smart-fetch"):
                            cases.run(f"{client} with {algorithm} about {patient}", compare, client, {**environment, **told}, held)
                cases.run("a stranger's token is refused", strange_token, gateway)
                cases.case("every client was recorded by its name", not_recorded(gateway))
        finally:
            subprocess.run([CLIENTS / "issuer.sh", "stop"], env=environment, check=False)
    return cases.finish()


def about(ehr, patient, query):
    """How many records there are that are all the patient's: an Observation whose focus is somebody else is not, nor is one
    whose subject has an identifier beside its reference."""
    found = [one for one in matches(ehr.search(query)) if "identifier" not in one.get("subject", {})]
    foci = [[focus["reference"] for focus in one.get("focus", [])] for one in found]
    return sum(all(focus == f"Patient/{patient}" for focus in one) for one in foci)


def compare(client, environment, held):
    seen, expected = run(client, environment), expected_of(client, held)
    wrong = {name: f"{seen.get(name)} instead of {count}" for name, count in expected.items() if seen.get(name) != count}
    assert not wrong, f"{wrong} in {seen}"
    return ", ".join(f"{name} {count}" for name, count in expected.items())


def strange_token(gateway):
    answer = gateway.stranger().get("Patient/p1", headers={"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."})
    assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer"), f"{answer.status} {answer.headers}"


def not_recorded(gateway):
    names = {record.get("client") for record in gateway.records()}
    return None if {"payer-rs384", "payer-es384"} <= names else str(names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
