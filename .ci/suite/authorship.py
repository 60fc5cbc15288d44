#!/usr/bin/env python3
"""authorship.py EHR : who answers for a record, judged by the gateway in front of HAPI and by a second statement of the rules.

EHR is the FHIR base of a HAPI that ehr.sh has loaded: patients whose Provenance has authors, organisations and, for every
seventh, an exchange that passed it on; and scenario records of the suite's own for what those do not have, removed in the end.

for each of     an EHR that answers for its own, and an exchange with a registry of sources; Provenance by include and by search
and each of     a payer, who gets what somebody answers for; another provider and an auditor, who get all of it, marked
every record    is released or withheld as answering.py says, one by one, with its verdict as mark; Provenance comes along only
                where all that it is about does; a record is read as it is found, and the audit log has verdict and reason
contract        the starter contract asks for authors of itself
broken copies   the comparison finds what is released without being answered for, and a source that the registry has lost
PATIENTS: how many of the ten patients (3).
"""

import collections
import contextlib
import datetime
import json
import os
import pathlib
import sys
import tempfile
import types

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from gateway import Cases, Gateway  # noqa: E402

import answering  # noqa: E402
import contract  # noqa: E402
from answering import ALLOWED, AUTHORS, EVERY, NPI, Registry, World, verdict  # noqa: E402
from direct_query import OPEN, OTHERS, SYNTHEA_PAYER, adapted_contract, roster  # noqa: E402
from ehr import Ehr, includes, matches, name_of  # noqa: E402
from references import is_about  # noqa: E402

READERS = {"payer": ("HPAYMT", ALLOWED), "provider": ("TREAT", EVERY), "auditor": ("HLEGAL", EVERY)}
PURPOSES = tuple(purpose for purpose, _ in READERS.values())
MARK = "urn:portcullis:authorship"
SCENARIOS = "suite-authored"  # the patient whose records the suite makes
HIE = "1216407266"

DOCTOR, OTHER_DOCTOR, MISTYPED = "suite-doctor", "suite-other-doctor", "suite-mistyped"
CLINIC, STRANGER, EXCHANGE = "suite-clinic", "suite-stranger", "suite-exchange"
ROLE, ORIGINAL = "suite-role", "suite-original"
NUMBERS = {DOCTOR: "1136090283", OTHER_DOCTOR: "1621767916", MISTYPED: "1234567890", CLINIC: "2900000011", STRANGER: "2900000029", EXCHANGE: HIE}
PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
US_CORE_PARTICIPANT = "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type"


def reference(name):
    return {"reference": name}


def directory():
    """The people and organisations of the scenarios."""
    def of(kind, id, **more):
        return {"resourceType": kind, "id": id, "identifier": [{"system": NPI, "value": NUMBERS[id]}], **more}

    yield from (of("Practitioner", id, name=[{"family": id}]) for id in (DOCTOR, OTHER_DOCTOR, MISTYPED))
    yield from (of("Organization", id, name=id, active=True) for id in (CLINIC, STRANGER, EXCHANGE))
    yield {"resourceType": "PractitionerRole", "id": ROLE, "practitioner": reference(f"Practitioner/{DOCTOR}"),
           "organization": reference(f"Organization/{CLINIC}")}
    yield {"resourceType": "Patient", "id": SCENARIOS, "name": [{"family": SCENARIOS}]}
    yield {"resourceType": "Coverage", "id": SCENARIOS, "status": "active", "beneficiary": reference(f"Patient/{SCENARIOS}"),
           "payor": [reference(SYNTHEA_PAYER)], "period": {"start": OPEN[0][0]}}
    yield {"resourceType": "DocumentReference", "id": ORIGINAL, "status": "current", "subject": reference(f"Patient/{SCENARIOS}"),
           "custodian": reference(f"Organization/{CLINIC}"), "content": [{"attachment": {"contentType": "text/plain", "data": "bm90ZQ=="}}]}


def agent(code, who, on_behalf_of=None, system=PARTICIPANT):
    behalf = {"onBehalfOf": reference(on_behalf_of)} if on_behalf_of else {}
    return {"type": {"coding": [{"system": system, "code": code}]}, "who": reference(who), **behalf}


def by(who=f"Practitioner/{DOCTOR}", of=f"Organization/{CLINIC}"):
    return agent("author", who, of)


def sent(who):
    return agent("transmitter", who, system=US_CORE_PARTICIPANT)


def made_of(original):
    entity = [{"role": "source", "what": reference(original)}] if original else []
    return [{"agent": [by(f"Organization/{EXCHANGE}", None)], **({"entity": entity} if entity else {})}]


def rows():
    """Each scenario: its name, the author by the record's own element, and what Provenance says."""
    doctor, other = f"Practitioner/{DOCTOR}", f"Practitioner/{OTHER_DOCTOR}"
    tomorrow = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)).isoformat(timespec="seconds")
    return {
        "missing": (None, []),
        "present": (doctor, []),
        "mistyped": (f"Practitioner/{MISTYPED}", []),
        "role": (f"PractitionerRole/{ROLE}", []),
        "contradicting": (other, [{"agent": [by()]}]),
        "agreeing": (doctor, [{"agent": [by()]}]),
        "organisation": (None, [{"agent": [by(f"Organization/{CLINIC}", None)]}]),
        "redistributed": (None, [{"agent": [by(), sent(f"Organization/{EXCHANGE}")]}]),
        "redistributed-by-stranger": (None, [{"agent": [by(), sent(f"Organization/{STRANGER}")]}]),
        "unknown-source": (doctor, [{"agent": [by(of=f"Organization/{STRANGER}")]}]),
        "transformed": (None, made_of(None)),
        "transformed-of-known": (None, made_of(f"DocumentReference/{ORIGINAL}")),
        "another-version": (None, [{"agent": [by()], "version": "7"}]),
        "tomorrow": (doctor, [{"agent": [by()], "recorded": tomorrow}]),
        "several": (None, [{"agent": [by()], "targets": ["several-too"]}]),
        "several-too": (None, []),
        "beside-hidden": (None, [{"agent": [by()], "targets": ["hidden"]}]),
        "hidden": (doctor, []),
        "beside-contradicted": (None, [{"agent": [by()], "targets": ["contradicted-too"]}]),
        "contradicted-too": (other, []),
    }


MADE = ("Condition", "MedicationRequest", "Observation", "Procedure", "AllergyIntolerance")


def scenarios(kind):
    """The records of a type, one for each row, and the Provenance about them."""
    patient = {"patient" if kind == "AllergyIntolerance" else "subject": reference(f"Patient/{SCENARIOS}")}
    texts = {"medicationCodeableConcept" if kind == "MedicationRequest" else "code": {"text": "suite"}}
    fixed = {
        "Condition": {"recordedDate": "2024-03-03"}, "MedicationRequest": {"status": "active", "intent": "order"}, "Procedure": {"status": "completed"},
        "Observation": {"status": "final", "category": [{"coding": [{"system": contract.CATEGORY, "code": "laboratory"}]}], "effectiveDateTime": "2024-03-03"},
    }
    for row, (author, provenances) in rows().items():
        name = f"suite-{row}"
        record = {"resourceType": kind, "id": name, **patient, **texts, **fixed.get(kind, {})}
        if row == "hidden":
            record["meta"] = {"security": [{"system": "urn:suite", "code": "hidden"}]}
        if author:
            record.update(authored(kind, author))
        yield record
        for number, one in enumerate(provenances):
            version = f"/_history/{one['version']}" if "version" in one else ""
            targets = [f"{kind}/{name}{version}", *(f"{kind}/suite-{other}" for other in one.get("targets", []))]
            yield {"resourceType": "Provenance", "id": f"suite-{kind.lower()}-{row}-{number}", "target": list(map(reference, targets)),
                   "recorded": one.get("recorded", "2026-03-01T10:00:00Z"), "agent": one["agent"], **{k: v for k, v in one.items() if k == "entity"}}


def authored(kind, author):
    element, _, below = AUTHORS[kind][0].partition(".")
    value = {below: reference(author)} if below else reference(author)
    return {element: [value] if element == "performer" else value}


class Store:
    """What HAPI holds of the patients at hand, and whose word is taken for it."""

    def __init__(self, ehr, patients):
        self.ehr, self.records = ehr, {}
        held = [*matches(ehr.search("Provenance?_count=200"))]
        for kind in ("Practitioner", "PractitionerRole", "Organization"):
            held += matches(ehr.search(f"{kind}?_count=200"))
        for patient in patients:
            for kind in AUTHORS:
                self.records[patient, kind] = matches(ehr.search(f"{kind}?patient={patient}"))
                held += self.records[patient, kind]
        self.world = World(held, datetime.datetime.now(datetime.UTC))
        self.registry = Registry(HIE, dict(self.sources()))

    def sources(self):
        """Every organisation that Provenance names as author's, the exchange but one; of the others some are not to be relied on."""
        counted = collections.Counter()
        for name, told in self.world.about.items():
            for _, one in told:
                counted.update(each["onBehalfOf"]["reference"] for each in one["agent"] if "onBehalfOf" in each)
        numbers = [one for name, _ in counted.most_common() for one in self.npis(name) if one not in (HIE, NUMBERS[CLINIC], NUMBERS[STRANGER])]
        for place, number in enumerate(dict.fromkeys(numbers)):
            source = {"speakers": [HIE]}
            if place % 4 == 1:
                source["types"] = ["Condition", "DocumentReference", "Observation"]
            if place % 4 == 2:
                source["validates"] = False
            if place % 4 != 3:  # every fourth nobody registered
                yield number, source
        yield NUMBERS[CLINIC], {"speakers": [HIE], "exchange_asserts": True}

    def npis(self, name):
        return [each.split("|")[1] for each in self.world.party(name).identifiers if each.startswith(NPI)]


def toml_of(registry, without=()):
    lines = [f'[upstream]\nkind = "exchange"\nidentifiers = ["{NPI}|{registry.exchange}"]']
    for number, source in registry.sources.items():
        if number in without:
            continue
        lines.append(f'[[source]]\nidentifiers = ["{NPI}|{number}"]\nname = "{number}"\nagreement = "{number}"\nvalid_from = "2020-01-01"')
        lines.append(f"validates_authorship = {json.dumps(source.get('validates', True))}")
        lines.append("speakers = " + json.dumps([f"{NPI}|{speaker}" for speaker in source["speakers"]]))
        if "types" in source:
            lines.append(f"types = {json.dumps(source['types'])}")
        if source.get("exchange_asserts"):
            lines.append("exchange_asserts = true")
    return "\n".join([*lines, ""])


def marks(resource):
    return [tag["code"] for tag in resource.get("meta", {}).get("tag", []) if tag.get("system") == MARK]


class Stage:
    def __init__(self, name, gateway, store, registry):
        self.name, self.gateway, self.store, self.registry = name, gateway, store, registry
        self.clients = {reader: gateway.client(purpose=purpose) for reader, (purpose, _) in READERS.items()}

    def expected(self, patient, kind):
        """What the records of a type amount to; not those that are kept back for what they are."""
        shown = [one for one in self.store.records[patient, kind] if is_about(patient, one) and not one.get("meta", {}).get("security")]
        return {name_of(one): verdict(one, self.store.world, self.registry) for one in shown}

    def compare(self, reader, patient, kind):
        """Asks for all records of a type; tells what is wrong, and counts what is released and withheld."""
        accepted, of = READERS[reader][1], self.expected(patient, kind)
        pages = self.clients[reader].search(f"{kind}?patient={patient}&_count=100&_revinclude=Provenance:target")
        got = {name_of(one): one for one in matches(pages)}
        leaves = {name for name, each in of.items() if each in accepted}
        problems = [f"{len(group)} {what}: {sorted(group)[:3]}" for what, group in
                    (("lost", leaves - got.keys()), ("too many", got.keys() - leaves)) if group]
        wrong = {name: (marks(one), of.get(name)) for name, one in got.items() if marks(one) != [of.get(name)]}
        if wrong:
            problems.append(f"{len(wrong)} marked wrongly: {dict(list(wrong.items())[:3])}")
        problems += self.along(pages)
        return "; ".join(problems), len(got), len(of) - len(leaves), collections.Counter(of.values())

    def along(self, pages):
        """Whether the Provenance that came is what is about matches of its page and about nothing else."""
        for page in pages:
            here = {name_of(one) for one in matches([page])}
            about = {name_of(one): {target["reference"].partition("/_history/")[0] for target in one["target"]}
                     for name in here for _, one in self.store.world.about.get(name, [])}
            due = {name for name, targets in about.items() if targets <= here}
            came = set(includes([page]))
            if came != due:
                yield f"Provenance: {len(came - due)} too many, {len(due - came)} lost: {sorted(came ^ due)[:3]}"

    def case(self, cases, reader, patients):
        problems, released, withheld, counted = [], 0, 0, collections.Counter()
        for patient in patients:
            for kind in AUTHORS:
                problem, here, there, of = self.compare(reader, patient, kind)
                problems += [f"{kind} of {patient}: {problem}"] if problem else []
                released, withheld, counted = released + here, withheld + there, counted + of
        if reader == "payer" and not withheld or not released:
            problems.append("nothing is withheld, or nothing released")
        note = f"{released} released, {withheld} withheld; {dict(sorted(counted.items()))}"
        cases.case(f"{self.name}: {reader}", "; ".join(problems[:4]), note)

    def reads(self, cases):
        """Each scenario's record by its id, and what the audit log says of it."""
        problems, said = [], {}
        for reader, (_, accepted) in READERS.items():
            for kind in MADE:
                for name, of in self.expected(SCENARIOS, kind).items():
                    answer = self.clients[reader].get(name)
                    leaves = of in accepted
                    if answer.status != (200 if leaves else 404) or (leaves and marks(answer.json) != [of]):
                        problems.append(f"{reader}: {name}, {of}: {answer.status}")
                    said[answer.id] = (name, of, {} if leaves else {"authorship": 1})
        for record in self.gateway.records():
            name, of, withheld = said.pop(record.get("exchange"), (None, None, None))
            counts = record.get("counts", {})
            if name and (counts.get("authorship") != {of: 1} or counts.get("withheld", {}) != withheld):
                problems.append(f"the log says of {name}, {of}: {counts}")
        problems += [f"{len(said)} reads are not in the log"] if said else []
        cases.case(f"{self.name}: reads, and what the log says of them", "; ".join(problems[:4]))


def starter(cases, base, store, folder, patients):
    """The starter contract, as it is shipped: no more than it agrees to, and of that what somebody answers for."""
    policies = adapted_contract(folder)
    path = policies / "data/contracts.json"
    data = json.loads(path.read_text())
    del data["contracts"][0]["attributed"]
    path.write_text(json.dumps(data))
    rows = roster(folder / "members.csv", "payer-a", [types.SimpleNamespace(id=id) for id in patients])
    with Gateway(base, policies, roster=rows, facts=["coverage", "consent", "roster"]) as gateway:
        client, problems, counts = gateway.client(), [], collections.Counter()
        for patient in patients:
            for kind in ("Condition", "Encounter", "Observation"):
                agreed = [one for one in store.records[patient, kind] if is_about(patient, one) and contract.released(one, OPEN)]
                leaves = {name_of(one) for one in agreed if verdict(one, store.world) in ALLOWED}
                got = {name_of(one) for one in matches(client.search(f"{kind}?patient={patient}&_count=100"))}
                counts.update(released=len(got), agreed=len(agreed))
                if got != leaves:
                    problems.append(f"{kind} of {patient}: {len(got - leaves)} too many, {len(leaves - got)} lost: {sorted(got ^ leaves)[:3]}")
        if not counts["released"] < counts["agreed"]:
            problems.append("nothing is withheld")
        cases.case("contract: what is agreed, where somebody answers for it", "; ".join(problems), str(dict(counts)))


def finds(stage, reader, what):
    """The comparison must complain of a gateway that is not as it should be."""
    complaints = [stage.compare(reader, SCENARIOS, kind)[0] for kind in MADE]
    return None if all(what in complaint for complaint in complaints) else f"{complaints}"


def main(base):
    cases, ehr = Cases(), Ehr(base)
    patients = OTHERS[: int(os.environ.get("PATIENTS", "3"))]
    # What Provenance is about comes first: HAPI finds it by nothing that is not there when it comes.
    made = sorted([*directory(), *(one for kind in MADE for one in scenarios(kind))], key=lambda one: one["resourceType"] == "Provenance")
    try:
        for resource in made:
            ehr.put(resource)
        store = Store(ehr, [SCENARIOS, *patients])
        with tempfile.TemporaryDirectory(prefix="authorship-") as name, contextlib.ExitStack() as stack:
            folder = pathlib.Path(name)
            policies = HERE / "policies/authorship"

            def registered(name, without=()):
                path = folder / f"{name}.toml"
                path.write_text(toml_of(store.registry, without))
                return f"sources = {json.dumps(str(path))}"

            for how in ("include", "search"):
                for kind, registry in (("ehr", None), ("exchange", store.registry)):
                    policy = registered(f"{kind}-{how}") if registry else ""
                    with Gateway(base, policies, purposes=PURPOSES, upstream=f'provenance = "{how}"', policy=policy) as gateway:
                        stage = Stage(f"{kind}, by {how}", gateway, store, registry)
                        for reader in READERS:
                            stage.case(cases, reader, [SCENARIOS, *patients])
                        stage.reads(cases)
            starter(cases, base, store, folder, [SCENARIOS, *patients])
            with Gateway(base, HERE / "policies/everything", purposes=PURPOSES) as gateway:
                cases.case("broken copy: nobody is asked for", finds(Stage("open", gateway, store, None), "payer", "too many"))
            lost = registered("lost", {NUMBERS[CLINIC]})
            with Gateway(base, policies, purposes=PURPOSES, policy=lost) as gateway:
                cases.case("broken copy: a registry without one of its sources", finds(Stage("lost", gateway, store, store.registry), "payer", "lost"))
    finally:
        left = remove(ehr, made)
        cases.case("the suite's records are gone", left and f"{len(left)}: {left[:3]}", f"{len(made)} removed")
    return cases.finish()


def remove(ehr, made):
    """Takes the suite's records out, those that refer to others first; gives what is left."""
    names = [name_of(one) for one in made]
    provenance = [name for name in names if name.startswith("Provenance/")]
    rest = [name for name in names[::-1] if not name.startswith("Provenance/")]
    for name in [*provenance, *rest]:
        ehr.call("DELETE", name)
    return [name for name in names if ehr.call("GET", name)[0] != 410]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
