"""The built program in front of a record system: started, asked, stopped, and its audit log checked.

    with Gateway(ehr="http://127.0.0.1:18080/fhir", policies=folder) as gateway:
        answer = gateway.client().get("Observation?patient=p1")

Everything it needs lies in a temporary folder: certificates and issuer from `portcullis certs`, a configuration, the
audit log. Leaving the block ends the gateway with SIGTERM; it must then exit with 0, its log must be sound, and every
answer that was read must be in it. PORTCULLIS names the program (target/release/portcullis).
"""

import dataclasses
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAM = os.environ.get("PORTCULLIS", str(ROOT / "target/release/portcullis"))
ORGANIZATION = "https://payer-a.example.org"
ISSUER = "https://issuer.example.org"


class Cases:
    """One line for each case, and a count at the end."""

    def __init__(self):
        self.passed = self.failed = 0

    def case(self, name, problem=None, note=""):
        """Reports one case: `problem` is what is wrong with it, if anything is."""
        if problem:
            self.failed += 1
            print(f"FAIL {name}: {problem}", flush=True)
        else:
            self.passed += 1
            print(f"ok   {name}{note and ': ' + note}", flush=True)

    def run(self, name, function, *arguments):
        """A case that is a function: what it raises is the problem, what it gives is the note."""
        try:
            self.case(name, note=function(*arguments) or "")
        except AssertionError as error:
            self.case(name, str(error) or "".join(traceback.format_exception(error)))
        except Exception as error:  # a suite goes on after a case that broke
            self.case(name, "".join(traceback.format_exception(error)))

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0


def number(text):
    """A number as it was written, which no string is equal to."""
    return ("number", text)


def parse(text):
    """JSON with every number as text: 6.30 is not 6.3."""
    return json.loads(text, parse_float=number, parse_int=number)


@dataclasses.dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def id(self):
        return self.headers["X-Request-Id"]

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return parse(self.body)


class Client:
    """One payer's connection. It is kept open, and opened again when the other side has closed it."""

    def __init__(self, gateway, token):
        self.gateway, self.token, self.connection = gateway, token, None

    def request(self, method, path, body=None, headers=None, seconds=60):
        if self.connection is None:
            self.connection = self.gateway.connect(seconds)
        sent = {"Accept": "application/fhir+json", **(headers or {})}
        if self.token and "Authorization" not in sent:
            sent["Authorization"] = f"Bearer {self.token}"
        sent = {name: value for name, value in sent.items() if value is not None}
        target = path if path.startswith("/") else f"/fhir/{path}"
        for last_try in (False, True):
            try:
                self.connection.request(method, target, body, sent)
                response = self.connection.getresponse()
                answer = Answer(response.status, response.headers, response.read())
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                self.close()
                if last_try or method != "GET":
                    raise
                self.connection = self.gateway.connect(seconds)
        if response.will_close:
            self.close()
        self.gateway.read_answers.append(answer.id)
        return answer

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def search(self, path):
        """Every page of a search: a list of Bundles."""
        pages = [self.get(path)]
        while True:
            assert pages[-1].status == 200, f"{path}, page {len(pages)}: {pages[-1].status} {pages[-1].text[:400]}"
            links = {link["relation"]: link["url"] for link in pages[-1].json.get("link", [])}
            if "next" not in links:
                return [page.json for page in pages]
            assert links["next"].startswith(self.gateway.base + "/"), links["next"]
            pages.append(self.get(links["next"].removeprefix(self.gateway.origin)))
            assert len(pages) < 1000, f"{path}: pages without end"

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def toml(value):
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(str(value) if isinstance(value, pathlib.Path) else value)


class Gateway:
    """`issuer`: another issuer in place of our own, as the lines of its section. `upstream` and `policy`: further lines of these
    sections. `more`: further sections."""

    def __init__(self, ehr, policies, *, facts=(), roster=None, scopes=("system/*.rs",), purposes=("HPAYMT",),
                 clients=("payer-a",), issuer=None, issuer_name=ISSUER, upstream="", policy="", more="", threads=2):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="portcullis-"))
        self.audit, self.log = self.folder / "audit", self.folder / "log"
        self.port, self.admin = free_port(), free_port()
        self.origin = f"https://127.0.0.1:{self.port}"
        self.base = f"{self.origin}/fhir"
        self.process, self.read_answers, self.tokens = None, [], {}
        self.program("certs", "--out", self.folder / "certs")
        self.tls = ssl.create_default_context(cafile=str(self.folder / "certs/ca.pem"))
        issuer = issuer or 'jwks_file = "certs/issuer.jwks.json"\nalgorithms = ["ES384"]'
        lines = [
            f'[listen]\naddress = "127.0.0.1:{self.port}"\nbase_url = "{self.base}"\nthreads = {threads}',
            '[listen.tls]\ncertificate = "certs/server.pem"\nkey = "certs/server.key"',
            f'[admin]\naddress = "127.0.0.1:{self.admin}"',
            f'[upstream]\nbase_url = "{ehr}"\n{upstream}',
            f"[policy]\npath = {toml(policies)}\nfacts = {toml(facts)}",
            f"roster = {toml(roster)}" if roster else "",
            policy,
            '[audit]\ndirectory = "audit"',
            f'[[issuer]]\nissuer = "{issuer_name}"\n{issuer}',
        ]
        for client in clients:
            lines.append(f'[[client]]\nid = "{client}"\norganization = "{ORGANIZATION}"\nissuer = "{issuer_name}"')
            lines.append(f"purposes = {toml(purposes)}\nscopes = {toml(scopes)}")
        self.config = self.folder / "portcullis.toml"
        self.config.write_text("\n".join([*lines, more, ""]))

    def program(self, *arguments, check=True):
        """Runs the program; gives what it prints."""
        done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise AssertionError(f"portcullis {arguments[0]}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self, **popen):
        with self.log.open("ab") as log:
            command = [PROGRAM, "serve", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **popen)
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.admin), 1).close()
                return self
            except OSError:
                assert self.process.poll() is None, f"the gateway ended at once:\n{self.tail()}"
                assert time.monotonic() < until, f"the gateway does not start:\n{self.tail()}"
                time.sleep(0.005)

    def connect(self, seconds=60):
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=seconds, context=self.tls)

    def token(self, client="payer-a", **wish):
        """A development token; `wish` are options of `portcullis token`."""
        key = (client, *sorted(wish.items()))
        if key not in self.tokens:
            options = [part for name, value in {"minutes": 60, **wish}.items() for part in (f"--{name}", value)]
            self.tokens[key] = self.program("token", "--config", self.config, "--client", client, *options).strip()
        return self.tokens[key]

    def client(self, client="payer-a", **wish):
        return Client(self, self.token(client, **wish))

    def stranger(self):
        return Client(self, None)

    def records(self):
        """The audit log, record by record."""
        return [json.loads(line)["entry"] for line in self.program("audit", "show", self.audit).splitlines()]

    def tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def stop(self):
        """Ends it in good order and checks what it leaves behind."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(40)
        assert status == 0, f"the gateway ended with {status}:\n{self.tail()}"
        assert "panicked" not in self.log.read_text(errors="replace"), f"a panic:\n{self.tail()}"
        self.program("audit", "verify", self.audit)
        recorded = {record.get("exchange") for record in self.records()}
        unrecorded = [answer for answer in self.read_answers if answer not in recorded]
        assert not unrecorded, f"{len(unrecorded)} of {len(self.read_answers)} answers have no record: {unrecorded[:3]}"

    def remove(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.stop()
            else:
                print(f"the gateway's log:\n{self.tail()}", file=sys.stderr)
        finally:
            self.remove()
