#!/usr/bin/env python3
"""wide.py EHR : twelve ways in which HAPI answers wider than it was asked, and a payer that never sees the difference.

EHR is the FHIR base of a HAPI that ehr.sh has loaded. Of each way three things are shown:

seen    asked directly, this HAPI does it; where it no longer does, that case fails, because the others prove nothing then
asked   a payer who asks so gets a refusal or what it may have, and nothing of it reaches HAPI
wide    the gateway's own question is made wide on its way to HAPI: of what HAPI then gives, the payer gets what answers
        its question, resource by resource, and nothing else; under a policy that releases all of a patient and under the
        starter contract

In the end every request of the gateways is held against what a gateway may write, and the store against what it was
before: records that were moved from one patient to another (refiled.py) are the suite's own, and gone.
"""

import contextlib
import gzip
import json
import pathlib
import re
import sys
import tempfile
import types
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from gateway import Cases, Gateway  # noqa: E402

from direct_query import KINDS, Contract, Everything, Patient, adapted_contract, roster  # noqa: E402
from ehr import Ehr, matches, name_of  # noqa: E402
from forwarder import FORM, Forwarder, composed, page_tokens  # noqa: E402
from questions import QUESTIONS  # noqa: E402
from refiled import OBSERVATIONS, Live, of  # noqa: E402
from staged import FIXTURE, NO_CACHE, OTHER, Hapi, Stage, Ways, get, post, subjects, tell  # noqa: E402

PADDING = b"&x=" + b"x" * 3_000_000
GRAPHQL = "{id ConditionList(_reference:patient){id code{text} note{text}}}"
UNINSURED, INSURED = "suite-wide-uninsured", "suite-wide-insured"


class Questions(Ways):
    """Questions that are wide by how they are written."""

    def d1(self):
        def seen():
            for name in ("patient", "_id"):
                given = self.hapi.ask(f"Observation?{name}=&_count=200&_total=accurate", NO_CACHE)
                tell(given.json["total"] > 2000, f"{name}=: {given.json['total']}")

        self.seen("D1", "an empty value asks for everything", seen)
        self.asked("D1", "an empty value", [
            get("Observation?patient="), get("Observation?_id="), get("Observation?patient=p1&code="), get("Observation?patient="),
            get("Observation?patient=,"), get("Patient?_id="), get("Observation?patient=p1&category:not="),
            post("Observation/_search", "patient=", {"Content-Type": FORM}, 400)])
        empty = lambda sent: sent.to(sent.target.replace(f"patient={FIXTURE}", "patient="))  # noqa: E731
        self.wide("D1", "the patient left empty", f"Observation?patient={FIXTURE}", "Observation", empty)
        self.wide("D1", "the patient left empty, one more parameter", f"Observation?patient={FIXTURE}&category=laboratory", "Observation", empty)

    def d2(self):
        def seen():
            strict = ("Prefer", "handling=strict")
            given = self.hapi.ask("Observation?patient=p1&_foo=bar", NO_CACHE, strict)
            tell(subjects(given) == {"Patient/p1"}, subjects(given))
            given = self.hapi.ask("Patient?_ID=p1", NO_CACHE, strict)
            tell(len(subjects(given)) > 10, subjects(given))

        self.seen("D2", "an unknown name that begins with _ is ignored", seen)
        self.asked("D2", "an unknown name", [
            get("Observation?patient=p1&_foo=bar"), get("Patient?_ID=p1"), get("Patient?_Id=p1"), get("Patient?%5Fid%20=p1"),
            get("Observation?patient=p1&_security:foo=x"), get("Observation?patient=p1&_=1"), get("Patient?_id=p1&_FORMAT=json")])
        other = lambda name: lambda sent: sent.to(sent.target.replace(f"{name}=", f"_{name.strip('_').upper()}="))  # noqa: E731
        self.wide("D2", "_id in capitals", f"Patient?_id={FIXTURE}", "Patient", other("_id"))
        self.wide("D2", "the patient by an unknown name", f"Observation?patient={FIXTURE}&category=laboratory", "Observation", other("patient"))
        self.wide("D2", "a code by an unknown name", f"Observation?patient={FIXTURE}&code=2345-7", "Observation", other("code"), whole=False)

    def d3(self):
        def seen():
            for media in ("text/plain", "application/json"):
                given = self.hapi.ask("Observation/_search", NO_CACHE, ("Content-Type", media), method="POST", body=b"patient=p1")
                tell("Patient/p1" not in subjects(given) and subjects(given), subjects(given))

        self.seen("D3", "a form of another media type is not read", seen)
        self.asked("D3", "a form of another media type", [
            post("Observation/_search", "patient=p1", {"Content-Type": media}, 400, 415)
            for media in ("text/plain", "application/json", "application/fhir+json", "multipart/form-data; boundary=x", None)])
        self.forms("D3", "of another media type", lambda sent: sent.with_fields(content_type="text/plain"))

    def d4(self):
        def seen():
            fields = (NO_CACHE, ("Content-Type", FORM), ("Content-Encoding", "gzip"))
            given = self.hapi.ask("Observation/_search", *fields, method="POST", body=gzip.compress(b"patient=p1"))
            tell("Patient/p1" not in subjects(given) and subjects(given), subjects(given))

        self.seen("D4", "a form in another coding is not read", seen)
        self.asked("D4", "a form in another coding", [
            post("Observation/_search", gzip.compress(b"patient=p1"), {"Content-Type": FORM, "Content-Encoding": coding}, 415)
            for coding in ("gzip", "x-gzip", "identity, gzip")])
        zipped = lambda sent: sent.to(sent.target, body=gzip.compress(sent.body)).with_fields(content_encoding="gzip")  # noqa: E731
        self.forms("D4", "in another coding", zipped)

    def d5(self):
        def seen():
            fields = (NO_CACHE, ("Content-Type", FORM))
            given = self.hapi.ask("Patient/_search", *fields, method="POST", body=b"_id=p1" + PADDING)
            tell(len(subjects(given)) > 10, subjects(given))

        self.seen("D5", "parameters beyond 2 MB are lost", seen)
        self.asked("D5", "a form beyond what is read", [
            post("Patient/_search", body, {"Content-Type": FORM}, 400, 413)
            for body in (b"_id=p1" + PADDING, b"_id=p1&identifier=" + b"x" * 300_000, b"_id=p1&gender=" + b",".join([b"male"] * 50_000))])
        self.forms("D5", "that is too long", lambda sent: sent.to(sent.target, body=sent.body + PADDING))

    def forms(self, way, what, change):
        """A question so long that the gateway sends a form, which is changed on the way."""
        genders = ["female", "male", "other", "unknown"] * 60
        question = f"Patient?_id={FIXTURE}" + "".join(f"&gender={','.join(genders[start:])}" for start in range(4))

        def changed(sent):
            tell(sent.method == "POST", sent.target[:200])
            return change(sent)

        for form in (False, True):
            self.wide(way, f"a form {what}, asked {'by POST' if form else 'by GET'}", question, "Patient", changed, form=form)

    def d6(self):
        def seen():
            given = self.hapi.ask("Observation/$lastn?patient=p1", NO_CACHE)
            tell(subjects(given) and "Patient/p1" not in subjects(given), subjects(given))

        self.seen("D6", "$lastn gives another patient's", seen)
        self.asked("D6", "$lastn", [
            get("Observation/$lastn?patient=p1"), get("Observation/%24lastn?patient=p1"), get("Observation/$lastn?patient=p1&max=1"),
            post("Observation/$lastn", "patient=p1", {"Content-Type": FORM}, 400)])
        last = lambda sent: sent.to("/fhir/Observation/$lastn?_count=200&patient=p1")  # noqa: E731
        self.wide("D6", "$lastn in place of a search", f"Observation?patient={FIXTURE}", "Observation", last)

    def d10(self):
        def seen():
            given = [self.hapi.ask(f"Patient/p1/$everything?_count=200{more}", NO_CACHE)
                     for more in ("", "&_type=Observation", "&_since=2030-01-01")]
            names = [{name_of(resource) for resource in one.resources()} for one in given]
            tell("Patient/p2" in names[0] and "Observation/o-p2-perf-p1" in names[0], names[0])
            tell(any(not name.startswith("Observation/") for name in names[1]) and names[2] == names[0], "_type and _since are obeyed")

        self.seen("D10", "$everything holds another patient's", seen)
        self.asked("D10", "$everything", [
            get("Patient/$everything?_id=p1"), get("Patient/p1/%24everything"), get("Patient/p1/$everything?_count=200"),
            post("Patient/p1/$everything", "{}", {"Content-Type": "application/fhir+json"}, 400)])

        def own():
            answer = self.everything.client.get("Patient/p1/$everything")
            tell(answer.status == 200 and answer.json["entry"], f"{answer.status} {answer.body[:300]}")
            strangers = re.findall(rb'"(?:Patient/(?!p1")[^"]*|p2)"', answer.body)
            tell(not strangers, strangers[:3])

        self.cases.run("D10 $everything of the gateway's own names nobody else", own)
        everything = lambda sent: sent.to("/fhir/Patient/p1/$everything?_count=200")  # noqa: E731
        for question in (f"Patient?_id={FIXTURE}", f"Observation?patient={FIXTURE}", f"Condition?patient={FIXTURE}",
                         f"Observation?patient={FIXTURE}&category=laboratory", f"Coverage?patient={FIXTURE}"):
            self.wide("D10", f"$everything in place of {question}", question, question.partition("?")[0], everything)

    def d11(self):
        query = f"Patient/p1/$graphql?query={urllib.parse.quote(GRAPHQL)}"

        def texts():
            given = self.hapi.ask(query, NO_CACHE)
            return [found for found in re.findall(r'"text"\s*:\s*"([^"]+)"', given.body.decode())]

        def seen():
            given = self.hapi.ask(query, NO_CACHE)
            tell("resourceType" not in given.json and len(texts()) > 2, given.body[:300])
            labelled = [one for one in self.hapi.fresh(f"Condition?patient={FIXTURE}").values() if one["meta"].get("security")]
            tell(any(one["code"]["text"] in texts() for one in labelled), "no labelled condition is in it")

        self.seen("D11", "$graphql gives what is no resource", seen)
        self.asked("D11", "$graphql", [
            get(query), get(query.replace("$", "%24")), get(f"$graphql?query={urllib.parse.quote('{PatientList{id}}')}", 400, 404),
            post("Patient/p1/$graphql", json.dumps({"query": GRAPHQL}), {"Content-Type": "application/json"}, 400)])

        def broken(stage, asked, kind):
            with stage.wide(kind, lambda sent: sent.to("/fhir/" + query)) as changed:
                answer = stage.client.get(asked)
            tell(changed and answer.status == 502 and answer.json["resourceType"] == "OperationOutcome", f"{answer.status} {answer.text[:300]}")
            tell(not [text for text in texts() if text in answer.text], answer.text)
            return answer.json["issue"][0]["code"]

        for stage in self.stages:
            for asked in (f"Patient/{FIXTURE}", f"Condition?patient={FIXTURE}", "Condition/cond-p1"):
                self.cases.run(f"D11 wide, {stage.name}: $graphql in place of {asked}", broken, stage, asked, asked.partition("/")[0].partition("?")[0])


class Facts(Ways):
    """What the gateway asks for itself, of patients that it has not asked about before."""

    def records(self):
        coverage = next(iter(self.hapi.fresh(f"Coverage?patient={FIXTURE}&payor=Organization/payer-a-org").values()))
        for patient in (UNINSURED, INSURED):
            yield {"resourceType": "Patient", "id": patient, "name": [{"family": patient}], "gender": "other"}
            yield {**of(patient, OBSERVATIONS[0]), "id": f"{patient}-laboratory"}
        yield {**coverage, "id": f"{INSURED}-coverage", "beneficiary": {"reference": f"Patient/{INSURED}"}, "meta": {}}

    def d1(self):
        stage = self.stages[-1]

        def wide(patient, count):
            empty = lambda sent: sent.to(sent.target.replace(f"patient={patient}", "patient="))  # noqa: E731
            with stage.wide("(Coverage|Consent)", empty) as changed:
                answer = stage.client.get(f"Observation?patient={patient}")
            given = stage.forwarder.exchanges[-len(changed) - 1:]
            tell(len(changed) == 2 and any(len(subjects(one.given)) > 5 for one in given), f"{len(changed)} facts were asked for")
            found = [name_of(resource) for resource in matches([answer.json])] if answer.status == 200 else []
            tell(found == [f"Observation/{patient}-laboratory"] * count, f"{answer.status}: {found}")
            return f"{answer.status}, {len(found)} released"

        records = list(self.records())
        try:
            for resource in records:
                self.hapi.put(resource)
            self.cases.run("D1 wide, contract: everybody's coverage is nobody else's", wide, UNINSURED, 0)
            self.cases.run("D1 wide, contract: everybody's consents leave a member's own coverage", wide, INSURED, 1)
        finally:
            for resource in reversed(records):
                self.hapi.remove(resource)


def what_was_written(stage):
    """Everything that went to HAPI, held against what a gateway may write."""
    for _, question in QUESTIONS:
        stage.client.get(stage.patient.ask(question))
    issued, forms = set(), 0
    for exchange in stage.forwarder.exchanges:
        problem = composed(exchange, issued)
        tell(problem is None, f"{exchange.sent.method} {exchange.sent.target[:200]}: {problem}")
        forms += exchange.sent.method == "POST"
        issued |= page_tokens(exchange.given)
    tell(forms and issued, "no form and no page")
    return f"{len(stage.forwarder.exchanges)} requests, {forms} forms"


def misshapen(stage):
    """Whether `composed` would see each of the twelve: what was passed on in their place is not what a gateway may write."""
    changed = [one for one in stage.forwarder.exchanges if one.sent != one.passed]
    missed = [one.passed.target[:200] for one in changed if composed(one._replace(sent=one.passed), set()) is None]
    tell(changed and not missed, missed[:3])
    return f"{len(changed)} requests"


def state(hapi):
    """The records of both fixture patients, and how many there are of each kind."""
    held = {f"{kind} of {patient}": hapi.fresh(f"{kind}?{'_id' if kind == 'Patient' else 'patient'}={patient}")
            for kind in KINDS for patient in (FIXTURE, OTHER)}
    return held, {kind: hapi.ask(f"{kind}?_summary=count", NO_CACHE).json["total"] for kind in KINDS}


def main(base):
    cases, ehr = Cases(), Ehr(base)
    hapi, patient = Hapi(ehr), Patient(ehr, FIXTURE)
    before = state(hapi)
    with tempfile.TemporaryDirectory(prefix="wide-") as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        policies = adapted_contract(folder)
        data = policies / "data/contracts.json"
        data.write_text(re.sub(r'"cache_seconds": *\d+', '"cache_seconds": 0', data.read_text()))  # HAPI is asked each time
        members = [patient, *(types.SimpleNamespace(id=id) for id in (UNINSURED, INSURED))]

        def stage(name, suite, policies, facts, **more):
            forwarder = Forwarder(base)
            stack.callback(forwarder.close)
            rows = roster(folder / f"{name}.csv", "everyone" if suite is Everything else "payer-a", members)
            gateway = stack.enter_context(Gateway(forwarder.base, policies, roster=rows, facts=facts, **more))
            return Stage(name, suite, forwarder, gateway, hapi, patient)

        strangers = {"clients": ("payer-a", "payer-b"), "purposes": ("HPAYMT", "HOPERAT")}
        stages = [
            stage("everything", Everything, HERE / "policies/everything", ["roster"], **strangers),
            stage("contract", Contract, policies, ["coverage", "consent", "roster"]),
        ]
        questions, live = Questions(cases, hapi, stages), Live(cases, hapi, stages)
        for way in (questions.d1, questions.d2, questions.d3, questions.d4, questions.d5, questions.d6, live.d7, live.d8, live.d9,
                    questions.d10, questions.d11, live.d12, Facts(cases, hapi, stages).d1):
            way()
        for one in stages:
            cases.run(f"{one.name}: what the gateway wrote is what a gateway may write", what_was_written, one)
            cases.run(f"{one.name}: and none of what HAPI was asked instead is", misshapen, one)
    ehr.mapped = None
    after = state(hapi)
    changed = [kind for part in (0, 1) for kind in before[part] if before[part][kind] != after[part][kind]]
    cases.case("the store is as it was", changed and str(changed), f"{sum(before[1].values())} records counted")
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
