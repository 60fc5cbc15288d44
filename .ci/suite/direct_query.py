#!/usr/bin/env python3
"""direct_query.py EHR : Direct Query through the gateway, held against the record system's own answers.

EHR is the FHIR base of a HAPI that ehr.sh has loaded. Three gateways are asked the same questions (questions.py):

everything  a policy that releases all of a patient: every resource that the record system gives to the same question
            comes through, equal to the last decimal and extension, on pages of any size, in its order
contract    the starter contract: exactly what contract.py, which states it a second time, makes of the same answers
careless    both once more in front of a record system that ignores every parameter: the same answers
PATIENTS: how many of the ten patients (5), beside the fixture patient p1.
"""

import contextlib
import json
import os
import pathlib
import shutil
import sys
import tempfile
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from gateway import ORGANIZATION, ROOT, Cases, Gateway  # noqa: E402

import contract  # noqa: E402
from careless import Careless  # noqa: E402
from ehr import Ehr, includes, matches, name_of  # noqa: E402
from questions import QUESTIONS, REFUSED, UNOWNED  # noqa: E402
from references import cut, is_about, without  # noqa: E402

SYNTHEA_PAYER = "Organization/da7596d2-071d-5aae-aa7e-f7867d840e81"
MEMBER_NUMBERS = "http://example.org/cdex/payer/member-ids"
LOOKUP = "Patient?identifier={member}"  # a member by the payer's number: the id and nothing else
PRIVACY = "http://terminology.hl7.org/CodeSystem/consentscope"

# The ten patients, the most telling first.
LAPSED = "6daf3d7c-1620-4d79-9396-990469306470"  # two coverages with a gap between them (see `prepare`)
OBJECTS = "ebb1f0e2-4fa6-4889-a43b-9cda3c737078"  # a Consent denies the payer everything (see `prepare`)
STRANGER = "13a00221-8417-4973-961e-e21b32ece95a"  # covered, and not on the payer's roster
OTHERS = [
    "948e608d-e408-4788-8cf2-8157c49c2940",
    "8f65af92-c3c9-4316-bb7f-862c248788dd",
    "ec6a274e-5090-45c9-b153-e40418f6fa3d",
    "0e61c3ad-d11e-4080-a6aa-cac89cae4e37",
    "1ac8947d-038f-4cc7-81fa-a32e694187e8",
    "d00b766a-f5fa-4730-a64d-e8574994f460",
    "8f437924-8cad-441b-88d2-ff38c9363bde",
]
FIXTURE = "p1"
COVERAGES = {
    LAPSED: [("2015-01-01", "2016-12-31"), ("2019-01-01", "2020-06-30")],
    FIXTURE: [("2024-01-01", "2024-12-31")],
    OBJECTS: [],
    STRANGER: [],
}
OPEN = [("2015-01-01", None)]


def prepare(ehr):
    """Brings the cases into the store that its data do not have. Done before, nothing changes."""
    payor = [{"reference": SYNTHEA_PAYER}]
    mine = json.loads(ehr.get(f"Coverage?beneficiary=Patient/{LAPSED}"))["entry"]
    coverage = next(e["resource"] for e in mine if e["resource"]["id"] != "suite-second")
    first, second = COVERAGES[LAPSED]
    ehr.put({**coverage, "period": {"start": first[0], "end": first[1]}})
    ehr.put({
        **coverage, "id": "suite-second", "period": {"start": second[0], "end": second[1]}, "payor": payor,
        "meta": {"source": "http://ehr-internal.example/second"},
    })
    ehr.put({
        "resourceType": "Coverage", "id": "suite-other", "status": "active", "payor": [{"reference": "Organization/payer-b-org"}],
        "beneficiary": {"reference": f"Patient/{LAPSED}"}, "period": {"start": "2017-01-01", "end": "2018-12-31"},
    })
    ehr.put({
        "resourceType": "Consent", "id": "suite-objection", "status": "active",
        "scope": {"coding": [{"system": PRIVACY, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{OBJECTS}"}, "dateTime": "2024-01-01",
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]},
        "provision": {"type": "deny", "actor": [{
            "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "PRCP"}]},
            "reference": {"reference": SYNTHEA_PAYER},
        }]},
    })
    for resource in rare_records({"reference": f"Patient/{LAPSED}"}):
        ehr.put({**resource, "id": f"suite-{resource['id']}"})


def rare_records(patient):
    """Of each kind that some row of the table asks for and none of the patients has."""
    def coded(code, system="http://loinc.org"):
        return {"coding": [{"system": system, "code": code}]}

    def of(kind, id, **members):
        return {"resourceType": kind, "id": id, "subject": patient, **members}

    us_core, observation = "http://hl7.org/fhir/us/core/CodeSystem/", contract.CATEGORY
    saturation = {"status": "final", "category": [coded("vital-signs", observation)], "effectiveDateTime": "2019-04-02T08:00:00Z"}
    active = {"clinicalStatus": coded("active", "http://terminology.hl7.org/CodeSystem/condition-clinical"), "recordedDate": "2019-04-02"}
    note = {"status": "current", "category": [coded("clinical-note", us_core + "us-core-documentreference-category")],
            "content": [{"attachment": {"contentType": "text/plain", "data": "bm90ZQ=="}}]}
    report = {"status": "final", "code": coded("24323-8"), "effectiveDateTime": "2019-04-02"}
    conditions = "http://terminology.hl7.org/CodeSystem/condition-category"
    return [
        of("Observation", "oxygen", **saturation, code=coded("59408-5"), valueQuantity={"value": 94}),
        of("Observation", "oxygen-2", **saturation, code=coded("2708-6"), valueQuantity={"value": 93.50}),
        of("Condition", "problem", **active, code=coded("59621000", "http://snomed.info/sct"), category=[coded("problem-list-item", conditions)]),
        of("Condition", "concern", **active, code={"text": "stairs"}, category=[coded("health-concern", us_core + "condition-category")]),
        of("DeviceRequest", "device", status="active", intent="order", codeCodeableConcept={"text": "oxygen"}),
        of("ServiceRequest", "service", status="active", intent="order", authoredOn="2019-04-02", category=[coded("108252007", "http://snomed.info/sct")]),
        of("CarePlan", "plan", status="active", intent="plan", category=[coded("assess-plan", us_core + "careplan-category")]),
        of("Encounter", "claim", status="finished", period={"start": "2022-06-13T09:00:00Z", "end": "2022-06-13T10:00:00Z"},
           **{"class": {"system": contract.ACT_CODE, "code": "AMB"}}),
        of("Encounter", "later", status="finished", period={"start": "2025-03-03", "end": "2025-03-05"},
           **{"class": {"system": contract.ACT_CODE, "code": "IMP"}}),
        of("DocumentReference", "discharge", **note, type=coded("18842-5"), date="2019-04-02T08:00:00Z",
           context={"period": {"start": "2019-04-01", "end": "2019-04-02"}}),
        of("DocumentReference", "summary", **note, type=coded("34133-9"), date="2019-05-02T08:00:00Z"),
        *(of("DiagnosticReport", part.lower(), **report, category=[coded(part)]) for part in ("LP29684-5", "LP29708-2", "LP7839-6")),
        of("MedicationRequest", "prescription", status="active", intent="order", medicationReference={"reference": "Medication/suite-medication"}),
        {"resourceType": "Medication", "id": "medication", "code": coded("860975", "http://www.nlm.nih.gov/research/umls/rxnorm")},
        of("QuestionnaireResponse", "intake", status="completed", questionnaire="http://hospital.example/forms/intake"),
        of("Goal", "goal", lifecycleStatus="active", description={"text": "climb stairs"}),
    ]


class Patient:
    def __init__(self, ehr, id):
        self.id, self.coverages = id, COVERAGES.get(id, OPEN)
        resource = json.loads(ehr.get(f"Patient/{id}"))
        numbers = {i["system"]: i["value"] for i in resource["identifier"] if i.get("system")}
        system = MEMBER_NUMBERS if MEMBER_NUMBERS in numbers else next(iter(numbers))
        self.words = {
            "p": id,
            "member": urllib.parse.quote(f"{system}|{numbers[system]}", safe=":/"),
            "birthdate": resource["birthDate"],
            "family": urllib.parse.quote(resource["name"][0]["family"]),
            "gender": resource["gender"],
        }

    def ask(self, question):
        return question.format(**self.words)


def comes_along(resource, pages):
    """Whether an include comes along with the matches of some page: it is referred to, or is a Provenance of them alone."""
    if resource["resourceType"] != "Provenance":
        return any(f'"{name_of(resource)}"' in json.dumps(match) for match in matches(pages))
    targets = {target.get("reference") for target in resource.get("target", [])}
    return any(targets <= {name_of(match) for match in matches([page])} for page in pages)


def sort_keys(question, resources):
    """What the resources were sorted by, in their order."""
    name = dict(urllib.parse.parse_qsl(question.partition("?")[2]))["_sort"].removeprefix("-")
    if name == "period":
        return [resource.get("context", {}).get("period") for resource in resources]
    return [resource.get("date") or resource.get("effectiveDateTime") or resource.get("effectivePeriod") for resource in resources]


def differences(name, got, expected):
    """What is wrong with the released resources, each by name, or None."""
    lost, added = expected.keys() - got.keys(), got.keys() - expected.keys()
    changed = [one for one in expected.keys() & got.keys() if expected[one] != got[one]]
    problems = [f"{len(group)} {what}: {sorted(group)[:3]}" for what, group in
                (("lost", lost), ("too many", added), ("changed", changed)) if group]
    if changed:
        problems.append(first_difference(got[changed[0]], expected[changed[0]]))
    return f"{name}: {'; '.join(problems)}" if problems else None


def first_difference(got, expected, path=""):
    if isinstance(got, dict) and isinstance(expected, dict):
        for key in sorted(got.keys() | expected.keys()):
            if got.get(key) != expected.get(key):
                return first_difference(got.get(key), expected.get(key), f"{path}.{key}")
    if isinstance(got, list) and isinstance(expected, list) and len(got) == len(expected):
        for at, (one, other) in enumerate(zip(got, expected)):
            if one != other:
                return first_difference(one, other, f"{path}[{at}]")
    return f"{path.lstrip('.')} is {str(got)[:200]} and should be {str(expected)[:200]}"


class Suite:
    """One policy in front of one record system; `sorts` where that does as it is told."""

    sorts = True

    def __init__(self, cases, name, gateway, ehr, patients):
        self.cases, self.name, self.gateway, self.ehr, self.patients = cases, name, gateway, ehr, patients
        self.client, self.base, self.withheld = gateway.client(), ehr.base, {}

    def judged(self, resource, patient):
        """The resource as the payer may see it, or None."""
        raise NotImplementedError

    def refuses(self, question, patient):
        """The status of a refusal, or None."""
        raise NotImplementedError

    def expected(self, question, patient, got):
        """Matches in order and includes, of the record system's own answer; `got` are the pages that are judged."""
        self.ehr.mapped = self.gateway.base
        pages = self.ehr.search(patient.ask(question))
        found = {name_of(one): self.judged(one, patient) for one in matches(pages)}
        found = {name: resource for name, resource in found.items() if resource is not None}
        along = {name: self.judged(one, patient) for name, one in includes(pages).items() if comes_along(one, got)}
        return found, {name: resource for name, resource in along.items() if resource is not None}

    def differences(self, name, patient, got, expected):
        """What is wrong with the released resources, or None; a reference to what is withheld may stay or be gone."""
        if patient.id not in self.withheld:
            found = self.everything(patient, KINDS)
            self.withheld[patient.id] = {name_of(one) for one in found if self.judged(one, patient) is None}
        sides = ({one: without(resource, self.withheld[patient.id], self.gateway.base) for one, resource in side.items()}
                 for side in (got, expected))
        return differences(name, *sides)

    def compare(self, question, patient):
        """None, or what is wrong; and how many resources came."""
        asked = patient.ask(question)
        status = self.refuses(question, patient)
        if status:
            answer = self.client.get(asked)
            return (None if answer.status == status else f"{asked}: {answer.status}, expected {status}"), 0
        pages = self.client.search(asked)
        found, along = self.expected(question, patient, pages)
        got = {name_of(resource): resource for resource in matches(pages)}
        problem = self.differences(asked, patient, got, found) or self.differences(asked + " (along)", patient, includes(pages), along)
        if not problem and "_sort" in question and self.sorts and sort_keys(asked, got.values()) != sort_keys(asked, found.values()):
            problem = f"{asked}: in another order"
        total = pages[0].get("total")
        if not problem and total is not None and total != ("number", str(len(found))):
            problem = f"{asked}: total is {total[1]} of {len(found)}"
        if not problem and len(pages) == 1 and total is None:
            problem = f"{asked}: every match is here and no total is"
        return problem, len(got) + len(along)

    def may_be_empty(self, question):
        """Whether a question may find nothing with all patients."""
        raise NotImplementedError

    def questions(self):
        for row, question in QUESTIONS:
            problems, count = [], 0
            for patient in self.patients:
                try:
                    problem, found = self.compare(question, patient)
                except AssertionError as error:
                    problem, found = str(error), 0
                problems += [problem] if problem else []
                count += found
            if not (count or problems or self.may_be_empty(question)):
                problems = ["nobody has such a record"]
            self.cases.case(f"{self.name}: {row}: {question}", "; ".join(problems), f"{count} resources")

    def posted(self):
        """Every question as a form, for the fixture patient: the same answer as by GET, page by page."""
        patient = self.patients[0]
        for _, question in QUESTIONS:
            kind, _, query = patient.ask(question).partition("?")
            by_get = self.client.get(f"{kind}?{query}")
            by_post = self.client.request("POST", f"{kind}/_search", query, {"Content-Type": "application/x-www-form-urlencoded"})
            same = by_get.status == by_post.status
            if same and by_get.status == 200:
                same = by_get.json.get("entry") == by_post.json.get("entry") and by_get.json.get("total") == by_post.json.get("total")
            if not same:
                return f"{question}: GET {by_get.status}, POST {by_post.status}, and not the same"
        return None

    def compartments(self):
        """What is in a patient's compartment, which HAPI cannot be asked: the same as by the patient's parameter."""
        patient = self.patients[0]
        for kind in ("Observation", "Condition", "Coverage"):
            answers = [self.client.get(asked) for asked in (f"{kind}?patient={patient.id}", f"Patient/{patient.id}/{kind}")]
            entries = [answer.json.get("entry") for answer in answers]
            if not entries[0] or entries[0] != entries[1]:
                return f"{kind}: {answers[0].status}, {answers[1].status}, and not the same"
        return None

    def refused(self):
        patient = self.patients[0]
        for method, question, status, reason in REFUSED:
            asked = patient.ask(question).replace(" ", "%20")
            form = {"Content-Type": "application/fhir+json"} if method == "POST" else {}
            answer = self.client.request(method, asked, "{}" if method == "POST" else None, form)
            is_outcome = answer.headers["Content-Type"] == "application/fhir+json" and answer.json["resourceType"] == "OperationOutcome"
            problem = None if answer.status == status and is_outcome else f"{answer.status}: {answer.text[:300]}"
            self.cases.case(f"{self.name}: refused: {method} {question}", problem, reason)

    def reads(self, patients, kinds):
        """Each resource of a patient by its id."""
        for patient in patients:
            problems, shown, hidden = [], 0, 0
            for resource in self.everything(patient, kinds):
                name = name_of(resource)
                answer = self.client.get(name)
                expected = self.judged(resource, patient)
                if expected is None:
                    hidden += 1
                    status = self.refuses(name, patient) or 404
                    wrong = answer.status != status and f"{name}: {answer.status}, expected {status}"
                else:
                    shown += 1
                    wrong = f"{name}: {answer.status}" if answer.status != 200 else self.differences(name, patient, {name: answer.json}, {name: expected})
                problems += [wrong] if wrong else []
            note = f"{shown} released, {hidden} not"
            self.cases.case(f"{self.name}: reads of {patient.id}", "; ".join(problems[:3]), note)

    def everything(self, patient, kinds):
        self.ehr.mapped = self.gateway.base
        for kind in kinds:
            name = "_id" if kind == "Patient" else "patient"
            yield from matches(self.ehr.search(f"{kind}?{name}={patient.id}"))


class Everything(Suite):
    def may_be_empty(self, question):
        return "=Active" in question or "4548-5" in question  # as published

    def judged(self, resource, patient):
        return cut(resource, patient.id, self.gateway.base) if is_about(patient.id, resource) else None

    def refuses(self, question, patient):
        return None


class Contract(Suite):
    def may_be_empty(self, question):
        return True

    def expected(self, question, patient, got):
        if question != LOOKUP:
            return super().expected(question, patient, got)
        self.ehr.mapped = self.gateway.base
        found = {name_of(one): contract.found(one) for one in matches(self.ehr.search(patient.ask(question)))}
        return {name: resource for name, resource in found.items() if patient.id != STRANGER}, {}

    def judged(self, resource, patient):
        if not patient.coverages or not is_about(patient.id, resource):
            return None
        left = contract.released(resource, patient.coverages)
        return left and cut(left, patient.id, self.gateway.base)

    def refuses(self, question, patient):
        kind, _, query = question.partition("?")
        kind = kind.split("/")[0]
        names = {name for name, _ in urllib.parse.parse_qsl(query)}
        if question == LOOKUP:
            return None if patient.words["member"].startswith(MEMBER_NUMBERS) else 403
        if kind not in contract.OF_A_MEMBER:
            return 403
        wanted = {value for name, value in urllib.parse.parse_qsl(query) if name == "_include"}
        if wanted - {"Observation:performer"}:
            return 403 if patient.coverages else None
        if any((kind, name) in contract.TELLING for name in names):
            return 403
        return None


KINDS = [
    "Patient", "AllergyIntolerance", "CarePlan", "Claim", "Condition", "Coverage", "DiagnosticReport", "DocumentReference",
    "DeviceRequest", "Encounter", "Goal", "ImagingStudy", "Immunization", "MedicationRequest", "Observation", "Procedure",
    "QuestionnaireResponse", "RelatedPerson", "ServiceRequest",
]


def adapted_contract(folder):
    """The starter policies with this store's payer, and who is on its roster.

    Not attributed: the attack fixtures have no author, and would be withheld for that before anything else could be seen
    of how they are judged. Who answers for a record is the matter of authorship.py.
    """
    policies = folder / "contract"
    shutil.copytree(ROOT / "policies", policies)
    path = policies / "data/contracts.json"
    data = json.loads(path.read_text())
    data["contracts"][0].update(organization=ORGANIZATION, payor_references=sorted(contract.PAYER))
    data["contracts"][0].update(member_id_system=MEMBER_NUMBERS, attributed=False)
    path.write_text(json.dumps(data))
    return policies


def roster(path, name, patients):
    rows = [f"{patient.id},{name},{number},," for number, patient in enumerate(patients, 1)]
    path.write_text("\n".join(["patient,roster,member_id,start,end", *rows, ""]))
    return path


def main(base):
    cases, honest = Cases(), Ehr(base)
    prepare(honest)
    count = int(os.environ.get("PATIENTS", "5"))
    ids = [FIXTURE, LAPSED, OBJECTS, STRANGER, *OTHERS][: count + 1]
    patients = [Patient(honest, id) for id in ids]
    with tempfile.TemporaryDirectory(prefix="direct-query-") as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        policies = adapted_contract(folder)
        everyone = roster(folder / "everyone.csv", "everyone", patients)
        members = roster(folder / "members.csv", "payer-a", [patient for patient in patients if patient.id != STRANGER])

        def everything_at(ehr):
            return Gateway(ehr, HERE / "policies/everything", roster=everyone, facts=["roster"])

        def contract_at(ehr):
            return Gateway(ehr, policies, roster=members, facts=["coverage", "consent", "roster"])

        with everything_at(base) as gateway:
            suite = Everything(cases, "everything", gateway, honest, patients)
            suite.questions()
            cases.case("everything: every question as a form", suite.posted())
            cases.case("everything: what is in a patient's compartment", suite.compartments())
            suite.refused()
            suite.reads(patients[:2], KINDS)
            for read in UNOWNED:
                status = suite.client.get(read).status
                cases.case(f"everything: {read} does not prove whose it is", status != 404 and f"{status}")
        with contract_at(base) as gateway:
            suite = Contract(cases, "contract", gateway, honest, patients)
            suite.questions()
            cases.case("contract: every question as a form", suite.posted())
            suite.reads(patients[:4], KINDS)

        careless = Careless(all_of(honest, patients[:4]), honest.base, honest.get("metadata"))
        stack.callback(careless.close)
        Suite.sorts = False
        with everything_at(careless.base) as gateway:
            Everything(cases, "everything, careless", gateway, honest, patients[:4]).questions()
        with contract_at(careless.base) as gateway:
            Contract(cases, "contract, careless", gateway, honest, patients[:4]).questions()
        cases.case("the careless record system was asked", careless.asked < 100 and "hardly", f"{careless.asked} times")
    return cases.finish()


def all_of(ehr, patients):
    """Texts of all resources of some patients, and of those they refer to."""
    found = {}
    for patient in patients:
        for kind in [*KINDS, "Consent"]:
            query = f"{kind}?{'_id' if kind == 'Patient' else 'patient'}={patient.id}&_revinclude=Provenance:target"
            found.update(ehr.texts(query))
    for kind in ("Practitioner", "Organization", "Location"):
        found.update(ehr.texts(f"{kind}?_count=100"))
    return list(found.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
