"""What the suites about wide answers stand on: HAPI asked directly, and a gateway with a forwarder between the two."""

import contextlib
import functools
import re

from ehr import includes, matches, name_of
from forwarder import FORM, Sent, ask
from gateway import Cases

from direct_query import FIXTURE

OTHER = "p2"
NO_CACHE = ("Cache-Control", "no-cache")


class Hapi:
    """HAPI asked as anybody could ask it."""

    def __init__(self, ehr):
        self.ehr, self.address = ehr, ehr.url.netloc

    def ask(self, target, *fields, method="GET", body=b""):
        """`target`: below the base, or path and query of a link."""
        target = target if target.startswith("/") else f"/fhir/{target}"
        given = ask(self.address, Sent(method, target, (("Accept", "application/fhir+json"), *fields), body))
        assert given.status == 200, f"{method} {target[:200]}: HAPI answers {given.status}: {given.body[:300]}"
        return given

    def fresh(self, question):
        """Every match of a question, newly searched; not by way of what was asked before."""
        self.ehr.known.clear()
        return {name_of(resource): resource for resource in matches(self.ehr.search(question))}

    def put(self, resource):
        self.ehr.put(resource)

    def remove(self, resource):
        """Takes a resource of the suite's own out, with its history."""
        name = name_of(resource)
        self.ehr.call("DELETE", name)
        wish = [{"name": flag, "valueBoolean": True} for flag in ("expungeDeletedResources", "expungePreviousVersions")]
        status, text = self.ehr.call("POST", f"{name}/$expunge", {"resourceType": "Parameters", "parameter": wish})
        assert status == 200, f"$expunge of {name}: {status} {text[:300]}"


class Stage:
    """One policy, its gateway, and the forwarder behind it."""

    def __init__(self, name, suite, forwarder, gateway, hapi, patient):
        self.name, self.forwarder, self.gateway, self.hapi, self.patient = name, forwarder, gateway, hapi, patient
        self.suite = suite(Cases(), name, gateway, hapi.ehr, [patient])
        self.client = gateway.client(purpose="HPAYMT")

    @contextlib.contextmanager
    def wide(self, kind, change):
        """Questions about `kind` are changed on their way; gives the list of what was changed."""
        changed = []

        def widen(sent):
            if not re.match(rf"/fhir/{kind}([/?]|$)", sent.target):
                return sent
            changed.append(change(sent))
            return changed[-1]

        self.forwarder.widen = widen
        try:
            yield changed
        finally:
            self.forwarder.widen = None

    def reusing(self, kind):
        """Without the gateway's Cache-Control, so that HAPI gives the list of an earlier search."""
        return self.wide(kind, lambda sent: sent.with_fields(cache_control=None))

    def answer(self, question, form=False):
        """All pages as the payer gets them, and the exchanges behind them."""
        mark = len(self.forwarder.exchanges)
        kind, _, query = question.partition("?")
        if form:
            first = self.client.request("POST", f"{kind}/_search", query, {"Content-Type": FORM})
        else:
            first = self.client.get(question)
        pages = [first, *self.rest(first)]
        return pages, self.forwarder.since(mark, kind)

    def rest(self, page):
        """The pages that follow."""
        while True:
            assert page.status == 200, f"{page.status}: {page.text[:300]}"
            following = [link["url"] for link in page.json.get("link", []) if link["relation"] == "next"]
            if not following:
                return
            page = self.client.get(following[0].removeprefix(self.gateway.origin))
            yield page

    def judge(self, question, pages, exchanges, whole=False):
        """What the payer got of what HAPI gave: each resource that answers the question, as it may be seen, and no other.

        HAPI must have given what does not answer the question. `whole`: and everything that the payer may have.
        """
        given = {name_of(resource) for exchange in exchanges for resource in exchange.given.resources()}
        self.hapi.ehr.mapped = self.gateway.base
        honest = self.hapi.fresh(question)
        assert given - honest.keys(), f"HAPI gave {len(given)} resources and none of them was beside the question"
        judged = {name: self.suite.judged(resource, self.patient) for name, resource in honest.items()}
        may_have = {name: resource for name, resource in judged.items() if resource is not None}
        expected = {name: resource for name, resource in may_have.items() if name in given}
        assert not whole or (may_have and may_have == expected), "HAPI did not give all that the payer may have"
        bundles = [page.json for page in pages]
        found = matches(bundles)
        got = {name_of(resource): resource for resource in found}
        problem = self.suite.differences(question[:200], self.patient, got, expected)
        assert not problem, problem
        assert len(got) == len(found) and not includes(bundles), "a resource came twice, or came along"
        total = bundles[0].get("total")
        assert total in (None, ("number", str(len(expected)))), f"total is {total} of {len(expected)}"
        return f"{len(given)} given, {len(got)} released"

    def check(self, question, kind, change, whole=True, form=False):
        with self.wide(kind, change) as changed:
            pages, exchanges = self.answer(question, form)
        assert changed, "the gateway did not ask"
        return self.judge(question, pages, exchanges, whole)

    def refused(self, asked):
        """Each is refused, and nothing reaches HAPI."""
        mark = len(self.forwarder.exchanges)
        for method, path, headers, body, statuses in asked:
            answer = self.client.request(method, path, body, headers)
            assert answer.status in statuses, f"{method} {path[:100]}: {answer.status}: {answer.text[:300]}"
            assert answer.json["resourceType"] == "OperationOutcome", answer.text[:300]
        reached = [exchange.sent.target for exchange in self.forwarder.exchanges[mark:]]
        assert not reached, f"HAPI was asked {reached}"
        return f"{len(asked)} refused, HAPI not asked"


def get(path, *statuses):
    return ("GET", path, None, None, statuses or (400,))


def post(path, body, headers, *statuses):
    return ("POST", path, headers, body, statuses)


def subjects(given):
    """Whose the resources of an answer are."""
    def whose(resource):
        named = resource.get("subject") or resource.get("patient") or resource.get("beneficiary") or {}
        return f"Patient/{resource['id']}" if resource["resourceType"] == "Patient" else named.get("reference")

    return {whose(resource) for resource in given.resources()}


def tell(truth, text):
    assert truth, text


class Ways:
    """Some of the twelve ways, each a method; `everything` is the stage whose payer asks."""

    def __init__(self, cases, hapi, stages):
        self.cases, self.hapi, self.stages, self.everything = cases, hapi, stages, stages[0]

    def seen(self, way, what, function):
        self.cases.run(f"{way} seen: {what}", function)

    def asked(self, way, what, asked):
        self.cases.run(f"{way} asked: {what}", self.everything.refused, asked)

    def wide(self, way, what, *arguments, **more):
        for stage in self.stages:
            self.cases.run(f"{way} wide, {stage.name}: {what}", functools.partial(stage.check, *arguments, **more))
