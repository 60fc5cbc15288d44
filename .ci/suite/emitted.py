#!/usr/bin/env python3
"""emitted.py [EHR [SHARED]] : all FHIR that the gateway says of its own, through HL7's validator.

An invented record system brings out every row of the refusal table (src/respond/refusal.rs), the CapabilityStatement, and
searchsets: full, empty, concealed, paged, with what comes along, redacted, counted, signed; and Provenance of its own, also by the
profiles of US Core and HRex. With EHR, a HAPI that ehr.sh has
loaded, also the statement made of HAPI's. All must be valid, and copies of each with one fault must not be.
SHARED, the shared folder, lets the validator know more code systems.
"""

import base64
import contextlib
import copy
import http.client
import json
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from gateway import ISSUER, ORGANIZATION, ROOT, Answer, Cases, Gateway, free_port, toml  # noqa: E402

from invented import Invented  # noqa: E402
from signed import NPI, NUMBER, World  # noqa: E402
from upstream import Server  # noqa: E402

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
UPSTREAM_CONNECTIONS, IN_FLIGHT = 256, 512  # of one core; the gateway here has one
CLIENT_IN_FLIGHT = 64
CROWD = [f"payer-{number}" for number in range(IN_FLIGHT // CLIENT_IN_FLIGHT)]

# What a client must do for each refusal: name, method, path, options, status, label in the record.
REFUSALS = [
    ("method", "DELETE", "Observation/o1", {}, 405, "http"),
    ("outside the base", "GET", "/elsewhere", {}, 404, "http"),
    ("target too long", "GET", "Observation?code=" + "x" * 9000, {}, 414, "http"),
    ("coded body", "POST", "Observation/_search", {"body": "patient=p1", "headers": {**FORM, "Content-Encoding": "gzip"}}, 415, "http"),
    ("expectation", "GET", "Observation/o1", {"headers": {"Expect": "200-maybe"}}, 417, "http"),
    ("body too large", "POST", "Observation/_search", {"body": "x" * 300_000, "headers": FORM}, 413, "http"),
    ("method override", "GET", "Observation/o1", {"headers": {"X-HTTP-Method-Override": "DELETE"}}, 400, "http"),
    ("another host", "GET", "Observation/o1", {"headers": {"Host": "elsewhere.example"}}, 400, "http"),
    ("no token", "GET", "Observation/o1", {"headers": {"Authorization": None}}, 401, "identity"),
    ("bad token", "GET", "Observation/o1", {"headers": {"Authorization": "Bearer no.such.token"}}, 401, "identity"),
    ("another purpose", "GET", "Observation/o1", {"wish": {"purpose": "TREAT"}}, 403, "identity"),
    ("issuer without keys", "GET", "Observation/o1", {"token": "keyless"}, 503, "identity"),
    ("no json", "GET", "Observation/o1", {"headers": {"Accept": "text/turtle"}}, 406, "request"),
    ("another format", "GET", "Observation/o1?_format=xml", {}, 406, "request"),
    ("operation", "GET", "Patient/$everything", {}, 400, "request"),
    ("creation", "POST", "Observation", {"body": "{}", "headers": {"Content-Type": "application/fhir+json"}}, 400, "request"),
    ("type", "GET", "Observatory", {}, 400, "request"),
    ("logical id", "GET", "Observation/_1", {}, 400, "request"),
    ("path", "GET", "Patient/p1/a/b/c", {}, 400, "request"),
    ("parameter", "GET", "Observation?patient=p1&colour=red", {}, 400, "request"),
    ("modifier", "GET", "Observation?patient=p1&code:like=a", {}, 400, "request"),
    ("value", "GET", "Observation?patient=p1&date=yesterday", {}, 400, "request"),
    ("chain", "GET", "Observation?patient.name=a", {}, 400, "request"),
    ("result parameter", "GET", "Observation?patient=p1&_count=many", {}, 400, "request"),
    ("repetition", "GET", "Observation?patient=p1&_count=1&_count=2", {}, 400, "request"),
    ("encoding", "GET", "Observation?patient=%ff", {}, 400, "request"),
    ("too many parameters", "GET", "Observation?patient=p1" + "&code=a" * 70, {}, 400, "request"),
    ("form of another media type", "POST", "Observation/_search", {"body": "patient=p1", "headers": {"Content-Type": "text/plain"}}, 415, "request"),
    ("page link", "GET", "_page/AAAA", {}, 404, "request"),
    ("policy, two reasons", "GET", "Encounter?patient=p1", {}, 403, "policy"),
    ("policy, concealed", "GET", "Procedure/x1", {}, 404, "absent"),
    ("policy out of order", "GET", "Goal?patient=p1", {}, 403, "policy-error"),
    ("too much to decide", "POST", "Observation/_search", {"body": "&".join(["date=" + "2024," * 255 + "2024"] * 60), "headers": FORM}, 400, "policy-input"),
    ("scope", "GET", "Observation/o1", {"wish": {"scope": "system/Patient.rs"}}, 403, "scope"),
    ("include", "GET", "Observation?patient=p1&_include=Observation:encounter", {}, 403, "policy"),
    ("predicate", "GET", "Condition?patient=p1&code=44054006", {}, 403, "policy"),
    ("another patient's", "GET", "Flag/f1", {}, 404, "absent"),
    ("absent", "GET", "Observation/none", {}, 404, "absent"),
    ("record system fails", "GET", "Observation/fails", {}, 502, "upstream-status"),
    ("record system breaks off", "GET", "Observation/breaks", {}, 502, "upstream-unreachable"),
    ("record system drops", "GET", "Observation/drops", {}, 502, "upstream-unreachable"),
    ("record system says HTML", "GET", "Observation/html", {}, 502, "upstream-invalid"),
    ("record system says no JSON", "GET", "Observation/broken-json", {}, 502, "upstream-invalid"),
    ("record system says something else", "GET", "Observation/another", {}, 502, "upstream-invalid"),
]

SEARCHSETS = [
    ("full", "Observation?patient=p1"),
    ("empty", "Observation?patient=p1&code=nothing"),
    ("concealed", "Procedure?patient=p1"),
    ("first page", "Observation?patient=p1&_count=2&_sort=-date"),
    ("with what comes along", "Observation?patient=p1&_include=Observation:performer&_revinclude=Provenance:target"),
    ("redacted", "Condition?patient=p1"),
    ("redacted, and told so", "Condition?patient=p1&_revinclude=Provenance:target"),
    ("redacted patient", "Patient?_id=p1"),
    ("elements", "Observation?patient=p1&_elements=code,status"),
    ("counted", "Observation?patient=p1&_summary=count"),
    ("summary", "Observation?patient=p1&_summary=true"),
    ("all about one patient", "Patient/p1/$everything"),
]


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


FAULTS = {  # a fault, and words that the complaint must have
    "OperationOutcome": [
        (drop("issue"), "OperationOutcome.issue"),
        (drop("issue", 0, "severity"), "severity"),
        (put("issue", 0, "severity", "bad"), "issue-severity"),
        (put("issue", 0, "code", "denied"), "issue-type"),
        (put("issue", 0, "reason", "none"), "reason"),
    ],
    "CapabilityStatement": [
        (drop("status"), "CapabilityStatement.status"),
        (drop("fhirVersion"), "fhirVersion"),
        (drop("format"), "CapabilityStatement.format"),
        (put("kind", "gateway"), "capability-statement-kind"),
        (put("date", "yesterday"), "yesterday"),
        (put("rest", 0, "mode", "proxy"), "restful-capability-mode"),
        (put("rest", 0, "resource", 0, "type", "Observatory"), "resource-types"),
        (put("rest", 0, "resource", 0, "interaction", 0, "code", "look"), "restful-interaction"),
        (drop("rest", 0, "resource", 0, "searchParam", 0, "type"), "type"),
    ],
    "Bundle": [
        (drop("type"), "Bundle.type"),
        (put("type", "answers"), "bundle-type"),
        (put("total", "many"), "total"),
        (drop("link", 0, "url"), "url"),
        (put("next", "page"), "next"),
    ],
    "Bundle with entries": [
        (put("entry", 0, "search", "mode", "hit"), "search-entry-mode"),
        (put("type", "collection"), "bdl-"),
        (put("entry", 0, "fullUrl", "https://gateway.example.org/fhir/Patient/another"), "another"),
        (drop("entry", 0, "resource", "resourceType"), "resourceType"),
        (put("entry", 0, "resource", "nickname", "x"), "nickname"),
    ],
    "Provenance": [
        (drop("target"), "target"),
        (drop("recorded"), "recorded"),
        (put("occurredDateTime", "today"), "today"),
        (drop("agent", 0, "who"), "who"),
        (put("agent", 0, "who", "reference", "#nobody"), "nobody"),
        (put("entity", 0, "role", "origin"), "provenance-entity-role"),
        (drop("entity", 0, "what"), "what"),
        (put("contained", 1, "nickname", "x"), "nickname"),
    ],
    "Provenance by profile": [
        (put("target", 0, {"display": "a record"}), "target.reference"),
        (drop("agent", 0, "onBehalfOf"), "provenance-1"),
        (drop("contained", 1, "name"), "us-core-organization"),
        (put("contained", 1, "active", None), "us-core-organization"),
    ],
    "other": [
        (put("nickname", "x"), "nickname"),
        (put("meta", "tag", [{"system": 7}]), "system"),
    ],
}


OWN_PROVENANCE = [
    "http://hl7.org/fhir/us/core/StructureDefinition/us-core-provenance",
    "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition/hrex-provenance",
]


class Validator:
    """HL7's validator, started at once and asked in the end."""

    def __init__(self, shared):
        command = [HERE.parent / "validator/check.sh", *(["--shared", shared] if shared else []), "--known-system", "urn:portcullis:denial-reason",
                   "--known-system", "urn:portcullis:change"]
        self.knows_profiles = bool(shared)
        self.process = subprocess.Popen([*command, "--stdin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def verdicts(self, resources):
        """Complaints about each resource, in order; none where it is valid."""
        def line(at, one):
            profiles = {"profiles": OWN_PROVENANCE} if self.knows_profiles and one.get("resourceType") == "Provenance" else {}
            return json.dumps({"id": str(at), "resource": one, **profiles}) + "\n"

        lines = "".join(line(at, one) for at, one in enumerate(resources))
        out, _ = self.process.communicate(lines, timeout=900)
        ready, *answers = map(json.loads, out.splitlines())
        assert ready == {"ready": True} and len(answers) == len(resources), out[-500:]
        said = [" | ".join(f"{i['location']} {i['message']}" for i in a["issues"] if i["severity"] in ("error", "fatal")) for a in answers]
        assert all(bool(text) != a["ok"] for text, a in zip(said, answers)), "a verdict without a reason"
        return said


class Emitted:
    """Collects what is said, and sees to it that each is what was to be provoked."""

    def __init__(self, cases, gateway):
        self.cases, self.gateway, self.said, self.expected = cases, gateway, {}, {}

    def keep(self, name, answer, status, label=None):
        problem = None if answer.status == status else f"{answer.status}: {answer.text[:300]}"
        if answer.headers["Content-Type"] != "application/fhir+json":
            problem = f"{answer.headers['Content-Type']}: {answer.text[:300]}"
        self.cases.case(f"provoked: {name}", problem, f"{status}")
        if not problem:
            self.said[name] = json.loads(answer.body)
            if label:
                self.expected[answer.id] = (name, label)
        return answer

    def check_labels(self):
        """The record of each refusal names the row that was meant."""
        faults = {record.get("exchange"): record["outcome"].get("fault") for record in self.gateway.records() if "outcome" in record}
        wrong = {name: faults.get(id) for id, (name, label) in self.expected.items() if faults.get(id) != label}
        self.cases.case("each refusal was the one that was meant", wrong and str(wrong))


def refusals(emitted, gateway, keyless):
    for name, method, path, options, status, label in REFUSALS:
        client = gateway.client(**options.get("wish", {}))
        headers = dict(options.get("headers", {}))
        if options.get("token"):
            headers["Authorization"] = f"Bearer {keyless}"
        emitted.keep(name, client.request(method, path, options.get("body"), headers), status, label)
        client.close()


def searchsets(emitted, client):
    for name, path in SEARCHSETS:
        emitted.keep(f"searchset, {name}", client.get(path), 200)
    first = emitted.said["searchset, first page"]
    following = next(link["url"] for link in first["link"] if link["relation"] == "next")
    return emitted.keep("searchset, second page", client.get(following.removeprefix(client.gateway.origin)), 200)


def own_provenance(emitted):
    """What is said of what was done, each resource by itself."""
    for entry in emitted.said["searchset, redacted, and told so"]["entry"]:
        if entry["fullUrl"].startswith("urn:uuid:"):
            code = entry["resource"]["activity"]["coding"][0]["code"]
            emitted.said[f"own Provenance, {code}"] = entry["resource"]
    said = [name for name in emitted.said if name.startswith("own Provenance")]
    emitted.cases.case("there is Provenance of the gateway's own", said != ["own Provenance, narrowed", "own Provenance, redacted"] and str(said))


def signed_answers(cases, emitted, upstream, policies, folder):
    """A client with whom signatures were agreed: what it gets, and the refusals that only it gets."""
    world = World(folder)
    more = (
        f'[organization]\nidentifier = "{NPI}|{NUMBER}"\nname = "Clinic"\n'
        f"[signing]\ncertificate = {toml(world.certificate('p256'))}\nkey = {toml(world.key('p256'))}\n"
        f'[[client]]\nid = "payer-s"\norganization = "{ORGANIZATION}"\nissuer = "{ISSUER}"\n'
        'purposes = ["HPAYMT"]\nscopes = ["system/*.rs"]\nsigned_answers = "ci"'
    )
    with Gateway(upstream, policies, threads=1, more=more) as gateway:
        signing = Emitted(cases, gateway)
        client = gateway.client("payer-s")
        signing.keep("searchset, signed", client.get("Condition?patient=p1&_revinclude=Provenance:target"), 200)
        signing.keep("read where signatures were agreed", client.get("Observation/o1"), 400, "unsigned")
        signing.keep("answer too large to be signed", client.get("Observation?patient=p1&code=bulk"), 413, "unsignable")
        signing.keep("number that cannot be signed", client.get("Observation?patient=p1&code=digits"), 502, "unsignable")
        client.close()
        signing.check_labels()
    emitted.said.update(signing.said)


def superseded(emitted, gateway, client, policies):
    """A page link outlived by its decision."""
    first = client.get("Observation?patient=p1&_count=2").json
    link = next(link["url"] for link in first["link"] if link["relation"] == "next").removeprefix(gateway.origin)
    (policies / "data/pages.json").write_text('{"page_cap": 40}')
    gateway.process.send_signal(signal.SIGHUP)
    until = time.monotonic() + 20
    while not any(record["kind"] == "policy-load" for record in gateway.records()):
        assert time.monotonic() < until, "the policies were not loaded anew"
        time.sleep(0.1)
    emitted.keep("page of another decision", client.get(link), 404, "page")


def crowd(emitted, gateway, upstream):
    """As many requests at once as one core takes: the record system's connections run out, then the gateway's own room.
    What waited too long for its record system or its client is refused in the end."""
    opened = []

    def send(head, payer, body=b""):
        # another address of this machine for every 200, because one peer may not have more than 256 connections
        plain = socket.create_connection(("127.0.0.1", gateway.port), 30, (f"127.0.0.{2 + len(opened) // 200}", 0))
        connection = gateway.tls.wrap_socket(plain, server_hostname="127.0.0.1")
        opened.append(connection)
        authorization = f"Authorization: Bearer {gateway.token(payer)}"
        lines = [head, f"Host: 127.0.0.1:{gateway.port}", authorization, "", ""]
        connection.sendall("\r\n".join(lines).encode() + body)
        return connection

    def receive(connection):
        with contextlib.closing(http.client.HTTPResponse(connection)) as response:
            response.begin()
            return Answer(response.status, response.headers, response.read())

    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [connection.close() for connection in opened])
        # one payer may not have more at work than CLIENT_IN_FLIGHT
        asked = "GET /fhir/Observation/hangs HTTP/1.1"
        hanging = [send(asked, CROWD[number // CLIENT_IN_FLIGHT]) for number in range(UPSTREAM_CONNECTIONS)]
        until = time.monotonic() + 10
        while upstream.waiting < UPSTREAM_CONNECTIONS and time.monotonic() < until:
            time.sleep(0.05)
        client = gateway.client()
        emitted.keep("record system's connections all in use", client.get("Observation/o1"), 503, "upstream-busy")
        form = "POST /fhir/Observation/_search HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100"
        crowded = gateway.client(CROWD[0])
        emitted.keep("payer has too much at work", crowded.get("Observation/o1"), 429, "crowded")
        crowded.close()
        unfinished = [
            send(form, CROWD[number // CLIENT_IN_FLIGHT], b"patient=") for number in range(UPSTREAM_CONNECTIONS, IN_FLIGHT)
        ]
        time.sleep(1)
        emitted.keep("gateway has no room", client.get("Observation/o1"), 503)
        client.close()
        emitted.keep("record system hangs", receive(hanging[0]), 504, "upstream-timeout")
        emitted.keep("body does not come", receive(unfinished[0]), 408, "http")


def no_record(cases, emitted, upstream, policies):
    """A log that cannot grow: nothing is answered but that."""
    gateway = Gateway(upstream, policies)
    try:
        gateway.start(restore_signals=False)  # leaves SIGXFSZ ignored: the write fails instead of ending the program
        client = gateway.client()
        assert client.get("Observation/o1").status == 200
        resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (0, 0))
        answer = client.get("Observation/o1")
        emitted.keep("audit log out of order", answer, 503)
        status = gateway.process.wait(30)
        cases.case("a gateway without an audit log ends", status == 0 and "with 0", f"exit {status}")
    finally:
        gateway.remove()


def keyless_token(issuer, audience):
    """Nobody has signed it; but nobody can tell, because the issuer's keys cannot be had."""
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    now = int(time.time())
    claims = {"iss": issuer, "aud": audience, "exp": now + 300, "iat": now, "nbf": now, "client_id": "payer-k", "sub": "payer-k", "scope": "system/*.rs"}
    return f"{part({'alg': 'ES384', 'kid': 'k', 'typ': 'at+jwt'})}.{part(claims)}.{'A' * 128}"


def fixed_texts():
    """What is said where nothing else can be: when a request broke the gateway."""
    source = (ROOT / "src/listen/rim.rs").read_text()
    return {f"fixed text {at}": json.loads(text) for at, text in enumerate(re.findall(r'br#"(\{"resourceType".*?\})"#', source), 1)}


def statement_of(ehr, policies):
    with Gateway(ehr, policies) as gateway:
        return json.loads(gateway.stranger().get("metadata").body)


def judged(cases, validator, said):
    """Each as it is, and each with one fault."""
    names, resources, words = [], [], []
    for name, one in said.items():
        names.append(name)
        resources.append(one)
        words.append(None)
        kind = one["resourceType"] if one["resourceType"] in FAULTS else "other"
        faults = FAULTS[kind] + (FAULTS["Bundle with entries"] if one.get("entry") else [])
        if kind == "Provenance" and validator.knows_profiles:
            faults = faults + FAULTS["Provenance by profile"]
        for change, expected in faults:
            broken = copy.deepcopy(one)
            try:
                change(broken)
            except (KeyError, IndexError):
                continue  # it has no such part
            names.append(name)
            resources.append(broken)
            words.append(expected)
    complaints = validator.verdicts(resources)
    unseen, seen = {}, {}
    for name, complaint, expected in zip(names, complaints, words):
        if expected is None:
            cases.case(f"valid: {name}", complaint[:600])
        else:
            seen[name] = seen.get(name, 0) + 1
            if expected not in complaint:
                unseen.setdefault(name, []).append(f"{expected}: {complaint[:200] or 'passed'}")
    for name in said:
        cases.case(f"broken copies fail: {name}", "; ".join(unseen.get(name, [])) or (not seen.get(name) and "there are none"), f"{seen.get(name)}")


def main(ehr=None, shared=None):
    cases, validator = Cases(), Validator(shared)
    with tempfile.TemporaryDirectory(prefix="emitted-") as folder:
        policies = pathlib.Path(folder) / "policies"
        shutil.copytree(HERE / "policies/mixed", policies)
        upstream = Server(Invented).in_a_thread()
        keyless = f"http://127.0.0.1:{free_port()}"
        more = (
            f'[[issuer]]\nissuer = "{keyless}"\njwks_url = "{keyless}/jwks"\nalgorithms = ["ES384"]\n[[client]]\nid = "payer-k"\n'
            f'organization = "{ORGANIZATION}"\nissuer = "{keyless}"\npurposes = ["HPAYMT"]\nscopes = ["system/*.rs"]'
        )
        with Gateway(upstream.base, policies, threads=1, more=more, clients=("payer-a", *CROWD)) as gateway:
            emitted, client = Emitted(cases, gateway), gateway.client()
            emitted.keep("statement", gateway.stranger().get("metadata"), 200)
            searchsets(emitted, client)
            own_provenance(emitted)
            emitted.keep("read", client.get("Observation/o1"), 200)
            emitted.keep("read, redacted", client.get("Condition/c1"), 200)
            refusals(emitted, gateway, keyless_token(keyless, gateway.base))
            superseded(emitted, gateway, client, policies)
            crowd(emitted, gateway, upstream)
            emitted.check_labels()
        signed_answers(cases, emitted, upstream.base, policies, pathlib.Path(folder))
        no_record(cases, emitted, upstream.base, policies)
        emitted.said.update(fixed_texts())
        if ehr:
            emitted.said["statement made of HAPI's"] = statement_of(ehr, policies)
        judged(cases, validator, emitted.said)
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
