"""Between gateway and record system: passes every request on, keeps what went through, and can make it wider on the way.

`composed` says what is wrong with a request as the gateway wrote it, held against all that a gateway may write.
"""

import collections
import dataclasses
import http.client
import json
import re
import urllib.parse

from upstream import Handler, Server

OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding"}
FORM = "application/x-www-form-urlencoded"
FORM_LIMIT = 512 * 1024  # the gateway reads forms of half that size; HAPI loses what is beyond 2 MB

PATH = re.compile(r"/fhir(/metadata|/[A-Z][A-Za-z]+(/_search|/[A-Za-z0-9.-]{1,64})?)?")
UNDERSCORED = {"_id", "_lastUpdated", "_profile", "_tag", "_include", "_revinclude", "_sort", "_count"}
OF_A_PAGE = {"_getpages", "_getpagesoffset", "_count", "_pretty", "_bundletype", "_include", "_revinclude"}
REFERENCES = {"patient", "subject", "individual", "beneficiary", "performer", "encounter", "focus", "author", "target"}


@dataclasses.dataclass(frozen=True)
class Sent:
    method: str
    target: str
    headers: tuple
    body: bytes

    def field(self, name):
        return ", ".join(value for have, value in self.headers if have.lower() == name)

    def with_fields(self, **fields):
        """The same with other header fields; None takes one out. An underscore stands for a hyphen."""
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        kept = [(name, value) for name, value in self.headers if name.lower() not in named]
        return dataclasses.replace(self, headers=(*kept, *((name, value) for name, value in named.items() if value is not None)))

    def to(self, target, **more):
        return dataclasses.replace(self, target=target, **more)


@dataclasses.dataclass(frozen=True)
class Given:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def is_reused(self):
        """Whether HAPI says that it gave an earlier search's list."""
        return (self.headers["X-Cache"] or "").startswith("HIT")

    def next(self):
        """Path and query of the link to a further page."""
        links = [link["url"] for link in self.json.get("link", []) if link["relation"] == "next"]
        return "/" + links[0].split("/", 3)[3] if links else None

    def resources(self):
        return [entry["resource"] for entry in self.json.get("entry", [])] if self.body[:1] == b"{" else []


Exchange = collections.namedtuple("Exchange", "sent passed given")


def ask(address, sent):
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(address, timeout=120)
    try:
        connection.putrequest(sent.method, sent.target, skip_host=True, skip_accept_encoding=True)
        if not sent.field("host"):
            connection.putheader("Host", address)
        for name, value in sent.headers:
            if name.lower() not in OF_A_CONNECTION | {"content-length"}:
                connection.putheader(name, value)
        if sent.body or sent.method == "POST":
            connection.putheader("Content-Length", str(len(sent.body)))
        connection.endheaders(sent.body or None)
        answer = connection.getresponse()
        return Given(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


class Forwarder:
    """`base`: the record system as the gateway sees it. `widen`: makes another request of the one that was sent."""

    def __init__(self, ehr_base):
        self.address = urllib.parse.urlsplit(ehr_base).netloc
        self.exchanges, self.widen = [], None
        self.server = Server(Forward, self).in_a_thread()
        self.base = self.server.base

    def since(self, mark, kind=None):
        """What went through since; of one resource type and the pages of searches, or all."""
        def is_of(target):
            path = target.partition("?")[0]
            return kind is None or path == "/fhir" or path.split("/")[2:3] == [kind]

        return [exchange for exchange in self.exchanges[mark:] if is_of(exchange.sent.target)]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Forward(Handler):
    def do_GET(self):
        of = self.server.of
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sent = Sent(self.command, self.path, tuple(self.headers.items()), body)
        passed = of.widen(sent) if of.widen else sent
        given = ask(of.address, passed)
        of.exchanges.append(Exchange(sent, passed, given))
        self.answer(given.body, given.status, given.headers["Content-Type"] or "application/octet-stream")

    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do_GET


def composed(exchange, issued):
    """What is wrong with a request of the gateway, or None; `issued` are the pages that HAPI named to it before."""
    sent = exchange.sent
    path, _, query = sent.target.partition("?")
    if not PATH.fullmatch(path):
        return "this path is not asked for"
    if sent.field("cache-control") != "no-cache":
        return "an earlier result may be reused"
    if sent.field("content-encoding") or sent.field("transfer-encoding"):
        return "the body is encoded"
    is_form = path.endswith("/_search")
    if (sent.method, sent.field("content-type")) != (("POST", FORM) if is_form else ("GET", "")):
        return "neither a GET nor a form"
    if is_form and query or bool(sent.body) != is_form or len(sent.body) > FORM_LIMIT:
        return "not one question of a bounded size"
    pairs = urllib.parse.parse_qsl(sent.body.decode() if is_form else query, keep_blank_values=True)
    known = OF_A_PAGE if path == "/fhir" else UNDERSCORED
    for name, value in pairs:
        plain = name.partition(":")[0].partition(".")[0]
        if not value:
            return f"{name} is empty"
        if plain.startswith("_") and plain not in known:
            return f"HAPI ignores {name}"
        if plain in REFERENCES and "//" in value:
            return f"{name} names another server's resource"
    if path == "/fhir" and dict(pairs).get("_getpages") not in issued:
        return "nobody gave this page to the gateway"
    return None


def page_tokens(given):
    """The tokens of page links in an answer."""
    return set(re.findall(r"_getpages=([0-9a-f-]+)", given.body.decode(errors="replace")))
