"""The record system asked directly: what the gateway's answers are held against."""

import http.client
import json
import re
import urllib.parse

from gateway import parse

HEADERS = {"Accept": "application/fhir+json", "Cache-Control": "no-cache", "Content-Type": "application/fhir+json"}


class Ehr:
    """`base`: its FHIR base. What it says is read with `mapped` in place of its own base. A search is asked once."""

    def __init__(self, base, mapped=None):
        self.base, self.mapped, self.known = base.rstrip("/"), mapped, {}
        self.url = urllib.parse.urlsplit(self.base)
        self.connection = http.client.HTTPConnection(self.url.netloc, timeout=120)

    def call(self, method, target, body=None):
        """Status and text of one request; `target` is below the base, or absolute as in links."""
        below = f"{self.url.path}/{target}"
        path = target.removeprefix(f"{self.url.scheme}://{self.url.netloc}") if target.startswith("http") else below
        for last_try in (False, True):
            try:
                self.connection.request(method, path, body and json.dumps(body), HEADERS)
                answer = self.connection.getresponse()
                return answer.status, answer.read().decode()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.connection.close()
                if last_try:
                    raise

    def get(self, target):
        status, text = self.call("GET", target)
        assert status == 200, f"the record system answers {status} to {target}: {text[:400]}"
        return text

    def put(self, resource):
        name = f"{resource['resourceType']}/{resource['id']}"
        status, text = self.call("PUT", name, resource)
        assert status in (200, 201), f"PUT {name}: {status} {text[:400]}"

    def read(self, text):
        return parse(text.replace(self.base, self.mapped) if self.mapped else text)

    def pages(self, query):
        """Every page of a search, as text."""
        if "_count=" not in query:
            query += "&_count=200"
        if query not in self.known:
            texts = [self.get(query)]
            while following := [link["url"] for link in json.loads(texts[-1]).get("link", []) if link["relation"] == "next"]:
                texts.append(self.get(following[0]))
            self.known[query] = texts
        return self.known[query]

    def search(self, query):
        """Every page of a search, as Bundles."""
        return [self.read(text) for text in self.pages(query)]

    def texts(self, query):
        """What a search finds and what comes along: the texts of the resources, by name."""
        found = {}
        for page in self.pages(query):
            marked = json.loads(page, parse_float="\0{}\0".format, parse_int="\0{}\0".format)
            for entry in marked.get("entry", []):
                text = json.dumps(entry["resource"], ensure_ascii=False)
                found[name_of(entry["resource"])] = re.sub(r'"\\u0000([^"]*)\\u0000"', r"\1", text)
        return found


def name_of(resource):
    return f"{resource['resourceType']}/{resource['id']}"


def matches(pages):
    """The matches of a search in their order."""
    return [e["resource"] for page in pages for e in page.get("entry", []) if e["search"]["mode"] == "match"]


def includes(pages):
    """What came along, by name."""
    found = [e["resource"] for page in pages for e in page.get("entry", []) if e["search"]["mode"] == "include"]
    return {name_of(resource): resource for resource in found}
