"""The ways of HAPI that need an earlier search: result lists that are reused, and page links that outlive what they list.

Every record that is moved from one patient to another is the suite's own.
"""

import base64
import contextlib
import copy
import datetime
import itertools
import time
import urllib.parse

from ehr import matches, name_of
from forwarder import ask, page_tokens
from staged import FIXTURE, NO_CACHE, OTHER, Ways, get, subjects, tell

FOREIGN = "http://other-ehr.example/fhir/Patient/p1"
NOWHERE = "http://nowhere.example/Patient/p1"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"

CONDITION = {
    "resourceType": "Condition", "id": "suite-wide-condition", "recordedDate": "2024-05-02", "code": {"text": "moving"},
    "clinicalStatus": {"coding": [{"system": CLINICAL, "code": "active"}]},
}
OBSERVATIONS = [{
    "resourceType": "Observation", "id": f"suite-wide-{number}", "status": "final", "code": {"text": f"number {number}"},
    "category": [{"coding": [{"system": CATEGORY, "code": "laboratory"}]}], "effectiveDateTime": f"2024-05-{number:02}",
    "valueQuantity": {"value": number},
} for number in range(10, 22)]


def of(patient, resource):
    return {**copy.deepcopy(resource), "subject": {"reference": f"Patient/{patient}"}}


class Live(Ways):
    """`moments`: makes each question another one, so that no list of an earlier question, or run, is reused for it."""

    moments = itertools.count(int(time.time()) - 20 * 365 * 86400)

    def since(self):
        """A bound that all records are beyond, and that nobody used before."""
        return f"_lastUpdated=ge{datetime.datetime.fromtimestamp(next(self.moments), datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"

    @contextlib.contextmanager
    def held(self, *resources):
        """Records of the fixture patient's that are there for a while."""
        try:
            for resource in resources:
                self.hapi.put(of(FIXTURE, resource))
            yield
        finally:
            for resource in resources:
                self.hapi.remove(resource)

    def d7(self):
        def question():
            return f"Condition?patient={FIXTURE}&{self.since()}"

        def seen():
            asked = question()
            with self.held(CONDITION):
                first = self.hapi.ask(asked)
                self.hapi.put(of(OTHER, CONDITION))
                second = self.hapi.ask(asked)
            tell(subjects(first) == {f"Patient/{FIXTURE}"} and second.is_reused and f"Patient/{OTHER}" in subjects(second), subjects(second))
            tell(second.json["total"] == len(first.resources()), "the total is a new one")

        def asked(stage):
            """Nothing is changed on the way: HAPI is told to search anew, whatever the payer says."""
            asked = question()
            for wish in ("max-stale=3600", "only-if-cached", "max-age=3600"):
                with self.held(CONDITION):
                    for patient in (FIXTURE, OTHER):
                        self.hapi.put(of(patient, CONDITION))
                        mark = len(stage.forwarder.exchanges)
                        answer = stage.client.get(asked, headers={"Cache-Control": wish})
                        found = name_of(CONDITION) in map(name_of, matches([answer.json]))
                        tell(found == (patient == FIXTURE), f"{wish}: the record of {patient}: {found}")
                        behind = stage.forwarder.since(mark, "Condition")
                        tell(behind and not any(exchange.given.is_reused for exchange in behind), "an earlier list was reused")

        def wide(stage):
            asked = question()
            with self.held(CONDITION), stage.reusing("Condition"):
                first, _ = stage.answer(asked)
                tell(name_of(CONDITION) in map(name_of, matches([first[0].json])), "the record is not released in the first place")
                self.hapi.put(of(OTHER, CONDITION))
                pages, behind = stage.answer(asked)
                tell(all(exchange.given.is_reused for exchange in behind), "the list was not reused")
                return stage.judge(asked, pages, behind, whole=True)

        self.seen("D7", "a list that is reused holds a record that is another patient's by now", seen)
        for stage in self.stages:
            self.cases.run(f"D7 asked, {stage.name}: with the payer's Cache-Control", asked, stage)
            self.cases.run(f"D7 wide, {stage.name}: a record is moved while its list is reused", wide, stage)

    def d8(self):
        question = f"Observation?patient={FIXTURE}&date=ge2024-05-10&date=le2024-05-21&_count=5"
        moved = OBSERVATIONS[5:8]  # of the second page; HAPI searches anew for what is far down a list

        def move():
            for resource in moved:
                self.hapi.put(of(OTHER, resource))

        def seen():
            with self.held(*OBSERVATIONS):
                page = self.hapi.ask(question, NO_CACHE)
                move()
                found = set()
                while page.next():
                    page = self.hapi.ask(page.next(), NO_CACHE)
                    found |= subjects(page)
            tell(found == {f"Patient/{FIXTURE}", f"Patient/{OTHER}"}, found)

        def asked(stage):
            """As the gateway stands: a link is followed after records of its list were moved, and once more."""
            with self.held(*OBSERVATIONS):
                mark = len(stage.forwarder.exchanges)
                first = stage.client.get(question)
                move()
                rest = list(stage.rest(first))
                tell(rest, "there is one page only")
                note = stage.judge(question, [first, *rest], stage.forwarder.since(mark, "Observation"), whole=True)
                again = list(stage.rest(first))
                tell([page.json.get("entry") for page in again] == [page.json.get("entry") for page in rest], "another answer to the same link")
                return note

        self.seen("D8", "a page holds a record that is another patient's by now", seen)
        for stage in self.stages:
            self.cases.run(f"D8 asked, {stage.name}: records are moved before their page is fetched", asked, stage)

    def d9(self):
        def seen():
            for first, second, own in ((FOREIGN, f"Patient/{FIXTURE}", False), (f"Patient/{FIXTURE}", NOWHERE, True)):
                since = self.since()
                self.hapi.ask(f"Observation?subject={first}&{since}")
                reused = self.hapi.ask(f"Observation?subject={second}&{since}")
                anew = self.hapi.ask(f"Observation?subject={second}&{since}", NO_CACHE)
                tell(reused.is_reused and (f"Patient/{FIXTURE}" in subjects(reused)) == own, subjects(reused))
                tell(len(reused.resources()) != len(anew.resources()), "the list is the right one")

        def seeded(stage):
            def change(sent):
                """HAPI takes two lists for one where they name Patient/x; the gateway names x, which is safe by chance."""
                tell(f"patient={FIXTURE}" in sent.target, sent.target)
                foreign, own = (sent.target.replace(f"patient={FIXTURE}", f"patient={urllib.parse.quote(of, safe=':/')}")
                                for of in (FOREIGN, f"Patient/{FIXTURE}"))
                plain = sent.with_fields(cache_control=None)
                ask(self.hapi.address, plain.to(foreign))
                return plain.to(own)

            asked = f"Observation?patient={FIXTURE}&{self.since()}"
            with stage.wide("Observation", change):
                pages, behind = stage.answer(asked)
            tell(all(exchange.given.is_reused for exchange in behind), "the list was not reused")
            return stage.judge(asked, pages, behind)

        def spelt(stage):
            """Other spellings of the payer's question after a foreign one: the same as the plain one."""
            plain = stage.client.get(f"Observation?patient={FIXTURE}")
            for spelling in (f"subject=Patient/{FIXTURE}", f"subject={stage.gateway.base}/Patient/{FIXTURE}", f"patient:Patient={FIXTURE}"):
                self.hapi.ask(f"Observation?subject={FOREIGN}")
                answer = stage.client.get(f"Observation?{spelling}")
                tell(answer.status == 200 and answer.json.get("entry") == plain.json.get("entry"), f"{spelling}: {answer.status} {answer.text[:300]}")

        self.seen("D9", "a list is reused for a patient of the same id elsewhere", seen)
        self.asked("D9", "a patient elsewhere", [
            get(f"{kind}?{name}={base}/Patient/{FIXTURE}")
            for kind, name in (("Observation", "subject"), ("Observation", "patient"), ("Condition", "patient"), ("Coverage", "beneficiary"))
            for base in ("http://other-ehr.example/fhir", "http://nowhere.example", self.hapi.ehr.base, "https://127.0.0.1/fhir", "urn:x:")])
        self.cases.run("D9 asked: other spellings of the patient", spelt, self.everything)
        for stage in self.stages:
            self.cases.run(f"D9 wide, {stage.name}: the list of a patient of the same id elsewhere", seeded, stage)

    def d12(self):
        def others():
            """A live page link of another patient's search: path and query."""
            given = self.hapi.ask(f"Observation?patient={OTHER}&_count=1", NO_CACHE)
            return given.next()

        def seen():
            for more in ("", f"&patient={FIXTURE}"):
                tell(subjects(self.hapi.ask(others() + more)) == {f"Patient/{OTHER}"}, "the link is bound to something")

        def own(stage, question=f"Observation?patient={FIXTURE}&_count=2"):
            """The payer's link to the second page, without the origin."""
            links = {link["relation"]: link["url"] for link in stage.client.get(question).json["link"]}
            return links["next"].removeprefix(stage.gateway.origin)

        def bearer():
            """A link is good for its client and purpose alone, and as it is."""
            stage = self.everything
            link, mark = own(stage), len(stage.forwarder.exchanges)
            flipped = link[:-9] + ("A" if link[-9] != "A" else "B") + link[-8:]
            strangers = [stage.gateway.client("payer-b", purpose="HPAYMT"), stage.gateway.client("payer-a", purpose="HOPERAT")]
            answers = [stranger.get(link) for stranger in strangers]
            answers += [stage.client.get(one) for one in (flipped, link + "?patient=p1", link + "?_count=1", link + "?_getpagesoffset=0")]
            tell([answer.status // 100 for answer in answers] == [4] * len(answers), [answer.status for answer in answers])
            tell(len(stage.forwarder.exchanges) == mark, "HAPI was asked")
            tell(stage.client.get(link).status == 200, "the link is not good for its own client")

        def sealed(stage):
            """HAPI's token is not to be found in what the payer gets."""
            mark = len(stage.forwarder.exchanges)
            answer = stage.client.get(f"Observation?patient={FIXTURE}&_count=2")
            tokens = set().union(*(page_tokens(exchange.given) for exchange in stage.forwarder.since(mark, "Observation")))
            tell(tokens, "HAPI gave no page")
            link = next(link["url"] for link in answer.json["link"] if link["relation"] == "next").rsplit("/", 1)[1]
            inside = base64.urlsafe_b64decode(link + "=" * (-len(link) % 4))
            for token in tokens:
                tell(token not in answer.text + str(answer.headers) and token.encode() not in inside, "HAPI's token is in the answer")

        def wide(stage, more):
            asked = f"Observation?patient={FIXTURE}&_count=2"
            first = stage.client.get(asked)
            mark, changed = len(stage.forwarder.exchanges), []

            def change(sent):
                changed.append(sent.to(others() + more))
                return changed[-1] if len(changed) == 1 else sent

            stage.forwarder.widen = change
            try:
                pages = list(stage.rest(first))
            finally:
                stage.forwarder.widen = None
            tell(changed, "the gateway did not ask for a page")
            return stage.judge(asked, pages, stage.forwarder.since(mark, "Observation"))

        self.seen("D12", "a page link gives another patient's rows to anybody", seen)
        token = urllib.parse.parse_qs(others().partition("?")[2])["_getpages"][0]
        page = f"_getpages={token}&_getpagesoffset=0&_count=20&_bundletype=searchset"
        self.asked("D12", "HAPI's own page links", [
            get(f"?{page}", 400, 404), get(f"/fhir?{page}", 400, 404), get(f"Observation?{page}"), get(f"Observation?patient=p1&{page}"),
            get(f"Observation?patient=p1&_getpages={token}"), get(f"_page/{token}", 404), get(f"_page/{token}?{page}", 400, 404)])
        self.cases.run("D12 asked: another client's link, another purpose's, an altered one", bearer)
        for stage in self.stages:
            self.cases.run(f"D12 asked, {stage.name}: HAPI's token stays inside", sealed, stage)
            for more in ("", f"&patient={FIXTURE}"):
                self.cases.run(f"D12 wide, {stage.name}: another patient's page{more and ', ' + more[1:]}", wide, stage, more)
