#!/usr/bin/env python3
"""compare.py: the gateway, nginx and Envoy in front of the same EHR, and how they compare.

    compare.py                    everything, about seven minutes
    compare.py --quick            fewer and shorter rounds, about ninety seconds
    compare.py --only 4k          one part: 4k, 300k or memory
    compare.py --skip-gateway     the forwarders alone, to see whether the machine can measure
    compare.py --json FILE        the figures as JSON as well

What is compared. nginx and Envoy forward bytes; so does `hyper`, the same HTTP stack as the gateway's with nothing in between
(benches/forwarder.rs): what it costs is what no change to the gateway can save. The gateway checks a token, decides by the policies of this repository,
rewrites the search, filters every entry, redacts it, and answers when the audit record is on disk; its answer cache is
off, so that every request reaches the EHR. All run with one thread on core 0. wrk with 64 connections and the EHR
(nginx with static files) run on core 1. Rounds go from server to server in turn; ratios are taken within a round, and
the median of the rounds counts. A round is judged by the processor time of the server's whole process tree per request
(/proc/*/task/*/schedstat), because it holds where the load, not the server, is the bottleneck. Times are not compared
between runs: on a shared machine the same server may need twice as long tomorrow.

Goals (processor time of the peer per request, divided by that of the gateway):
    4 KB searchset, one Observation               at least 0.40 of nginx and 1.5 of Envoy
    300 KB searchset, half of it redacted         at least 0.25 of nginx
    memory for each of 64 answers in flight       at most 400 KiB, for bodies of 300 KB, 5 MB and 200 MB

Needs: two cores, nginx, wrk, openssl, Envoy (.ci/install.sh brings all), and release builds (cargo build --release, the same
with --example forwarder).
The audit log is written below --work, which must be on a disk.

Status: 0 all goals met, 1 a goal missed, 2 nothing could be measured.
"""

import argparse
import base64
import contextlib
import json
import os
import pathlib
import re
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("PORTCULLIS_CI_WORK") or pathlib.Path.home() / ".cache/portcullis-ci")
SERVER_CORE, LOAD_CORE = 0, 1
CONNECTIONS = 64
PATIENT = "p1"
SEARCH = f"Observation?patient={PATIENT}&category=laboratory"
MEMORY_BODIES = {"300k": "300 KB", "5m": "5 MB", "200m": "200 MB"}
MEMORY_GOAL = 400 * 1024
GOALS = {("4k", "nginx"): 0.40, ("4k", "envoy"): 1.50, ("300k", "nginx"): 0.25}
TITLES = {"4k": "4 KB searchset, one Observation", "300k": "300 KB searchset, 100 Observations"}


class CannotMeasure(Exception):
    pass


def say(text=""):
    print(text, flush=True)


# ---- what the EHR serves


def observation(number, base, note):
    """One entry, from the template that the micro-benchmarks fill as well (benches/data/searchset.rs)."""
    values = {
        "base": base,
        "id": f"lab-{number:06}",
        "number": f"{40_000_000 + number * 7:08}",
        "mm": f"{number % 60:02}",
        "value": f"{3 + number % 2}.{number * 37 % 100:02}",
        "patient": PATIENT,
        "note": note,
    }
    return re.sub(r"\{(\w+)\}", lambda name: values[name[1]], compact_template())


def compact_template():
    if not hasattr(compact_template, "text"):
        lines = (ROOT / "benches/data/observation.json").read_text(encoding="utf-8").splitlines()
        compact_template.text = "".join(line.strip().replace('": ', '":', 1) for line in lines)
    return compact_template.text


def note(length):
    """So many bytes of a laboratory's comment; not ending inside an escape."""
    text = (ROOT / "benches/data/note.txt").read_text(encoding="ascii").strip()
    cut = (text + " " + text)[:length]
    return cut[:-1] + "." if cut.endswith("\\") else cut


def envelope(base):
    head = (
        '{"resourceType":"Bundle","id":"6b1f5c0a-2f0e-4a35-9f5e-1d7c2b0f9a11","type":"searchset",'
        f'"link":[{{"relation":"self","url":"{base}/Observation?category=laboratory&patient={PATIENT}"}}],"entry":['
    )
    return head, "]}"


def write_searchset(path, base, size):
    """A searchset of almost exactly `size` bytes."""
    head, foot = envelope(base)
    room = size - len(head) - len(foot)
    bare = len(observation(0, base, "").encode())
    count = max(1, round(room / 3_060))
    text = note(room // count - bare - 1)
    with open(path, "wb") as out:
        out.write(head.encode())
        for number in range(count):
            out.write(((b"," if number else b"") + observation(number, base, text).encode()))
        out.write(foot.encode())
    return count


def coverage(contract):
    entry = {
        "fullUrl": "urn:uuid:0b1c2d3e-0000-4000-8000-000000000001",
        "resource": {
            "resourceType": "Coverage",
            "id": "c1",
            "status": "active",
            "beneficiary": {"reference": f"Patient/{PATIENT}"},
            "period": {"start": "2024-01-01"},
            "payor": [{"reference": contract["payor_references"][0]}],
        },
        "search": {"mode": "match"},
    }
    return {"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": [entry]}


class Ehr:
    """Static files behind nginx on the core of the load. Each size has its own base URL."""

    SIZES = {"4k": 4_096, "300k": 307_200, "5m": 5_242_880, "200m": 209_715_200}

    def __init__(self, work, sizes, contract):
        self.port = free_port()
        self.root = work / "ehr"
        self.entries = {}
        for name in sizes:
            folder = self.root / name / "fhir"
            folder.mkdir(parents=True)
            self.entries[name] = write_searchset(folder / "Observation", self.base(name), self.SIZES[name])
            (folder / "Coverage").write_text(json.dumps(coverage(contract)))
            (folder / "Consent").write_text(json.dumps({"resourceType": "Bundle", "type": "searchset", "total": 0}))
        # Small files leave quickest by sendfile, large ones through one buffer (measured over loopback).
        http = f"""
            default_type application/fhir+json; root {self.root};
            open_file_cache max=64 inactive=1h; open_file_cache_valid 1h; output_buffers 1 512k;
            server {{ listen 127.0.0.1:{self.port} backlog=1024; location / {{ }} location /4k/ {{ sendfile on; }} }}"""
        self.server = Nginx("ehr", work, http, LOAD_CORE, [self.port])

    def base(self, size):
        return f"http://127.0.0.1:{self.port}/{size}/fhir"

    def file(self, size):
        return self.root / size / "fhir/Observation"


# ---- servers


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pin(core):
    return lambda: os.sched_setaffinity(0, {core})


class Server:
    """A process with what it started, on one core."""

    def __init__(self, name, work, command, core, ports):
        self.name = name
        self.log = work / f"{name}.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=pin(core), start_new_session=True
            )
        for port in ports:
            self.wait_for(port)

    def wait_for(self, port):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
        self.stop()
        tail = self.log.read_text(errors="replace")[-2_000:]
        raise CannotMeasure(f"{self.name} does not listen on port {port}; it says:\n{tail}")

    def tree(self):
        """The process and everything below it."""
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    stat = pathlib.Path("/proc", entry, "stat").read_text()
                    parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
        found, grown = {self.process.pid}, True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in found} - found
            found |= more
            grown = bool(more)
        return found

    def cpu(self):
        """Seconds of processor time so far."""
        total = 0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    with contextlib.suppress(OSError):
                        total += int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
        return total / 1e9

    def memory(self):
        """Bytes of resident memory, shared pages counted in proportion (PSS)."""
        total = 0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1]) * 1024
        return total

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


class Nginx(Server):
    def __init__(self, name, work, http, core, ports):
        program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if not program:
            raise CannotMeasure("nginx is missing (.ci/install.sh)")
        scratch = work / f"{name}-nginx"
        scratch.mkdir()
        paths = "".join(
            f"{kind}_temp_path {scratch}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root root;" if os.geteuid() == 0 else ""
        config = scratch / "nginx.conf"
        config.write_text(
            f"daemon off; {user} worker_processes 1; pid {scratch}/pid; error_log stderr error;\n"
            "events { worker_connections 4096; }\n"
            "http { access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;\n"
            f"{paths}\n{http}\n}}\n"
        )
        super().__init__(name, work, [program, "-e", "stderr", "-c", str(config)], core, ports)


class Proxies:
    """nginx as it comes but for keep-alive to the EHR and no log; the same with buffers as large as the gateway's."""

    def __init__(self, work, ehr):
        self.port, self.large_port = free_port(), free_port()
        forward = "location / { proxy_pass http://ehr; }"
        large = "proxy_buffer_size 64k; proxy_buffers 4 64k; proxy_busy_buffers_size 128k; proxy_buffering off;"
        http = f"""
            upstream ehr {{ server 127.0.0.1:{ehr.port}; keepalive 256; keepalive_requests 1000000000; }}
            proxy_http_version 1.1; proxy_set_header Connection "";
            server {{ listen 127.0.0.1:{self.port} backlog=1024; {forward} }}
            server {{ listen 127.0.0.1:{self.large_port} backlog=1024; {large} {forward} }}"""
        self.server = Nginx("nginx", work, http, SERVER_CORE, [self.port, self.large_port])


class Envoy(Server):
    def __init__(self, work, ehr, program):
        self.port = free_port()
        here = "type.googleapis.com/envoy.extensions"
        address = lambda port: {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        router = {"name": "router", "typed_config": {"@type": f"{here}.filters.http.router.v3.Router"}}
        manager = {
            "@type": f"{here}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "in",
            "http_filters": [router],
            "route_config": {
                "virtual_hosts": [
                    {
                        "name": "all",
                        "domains": ["*"],
                        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "ehr", "timeout": "0s"}}],
                    }
                ]
            },
        }
        listener = {
            "name": "in",
            "address": address(self.port),
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        }
        endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(ehr.port)}}]}]
        cluster = {
            "name": "ehr",
            "type": "STATIC",
            "load_assignment": {"cluster_name": "ehr", "endpoints": endpoints},
        }
        config = work / "envoy.json"
        config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
        command = [str(program), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
        super().__init__("envoy", work, command, SERVER_CORE, [self.port])


class Hyper(Server):
    """The gateway's own HTTP stack, with nothing between its server and its client."""

    def __init__(self, work, ehr, program):
        self.port = free_port()
        super().__init__("hyper", work, [str(program), f"127.0.0.1:{self.port}", f"127.0.0.1:{ehr.port}"], SERVER_CORE, [self.port])


class Gateway(Server):
    """`portcullis serve`: token, policies, filter, audit on disk; no answer cache."""

    def __init__(self, work, ehr, size, identity, options):
        self.port = free_port()
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"gateway-{size}-", dir=work))
        contract = identity.contract
        self.base = f"http://127.0.0.1:{self.port}/fhir"
        self.token = identity.token(self.base)
        (folder / "keys.json").write_text(json.dumps(identity.key_set))
        roster = f"patient,roster,member_id,start,end\n{PATIENT},{contract['roster']},M1,2024-01-01,\n"
        (folder / "roster.csv").write_text(roster)
        # Without a largest page: the EHR here sends bodies of any size as one, and its records have no author to be asked for.
        policies = shutil.copytree(options.policies, folder / "policies")
        contracts = policies / "data/contracts.json"
        attributed = json.loads(contracts.read_text())
        attributed["contracts"][0]["attributed"] = False
        contracts.write_text(json.dumps(attributed))
        release = policies / "portcullis/release.rego"
        release.write_text(release.read_text().replace('\t"page_cap": contract.page_cap,\n', ""))
        config = folder / "portcullis.toml"
        text = json.dumps  # a JSON text is a TOML text
        config.write_text(
            f"""[listen]
address = "127.0.0.1:{self.port}"
base_url = {text(self.base)}
threads = 1

[admin]
address = "127.0.0.1:{free_port()}"

[upstream]
base_url = {text(ehr.base(size))}

[cache]
bytes = 0
seconds = 0

[policy]
path = {text(str(policies))}
facts = ["roster", "coverage", "consent"]
roster = "roster.csv"

[audit]
directory = "audit"

[log]
level = "error"

[[issuer]]
issuer = {text(identity.ISSUER)}
jwks_file = "keys.json"
algorithms = ["RS384"]

[[client]]
id = "payer-a"
organization = {text(contract["organization"])}
issuer = {text(identity.ISSUER)}
purposes = ["{contract["purposes"][0]}"]
scopes = ["system/Observation.rs"]
"""
        )
        command = [str(options.gateway), "serve", "--config", str(config)]
        super().__init__(f"portcullis-{size}", work, command, SERVER_CORE, [self.port])


class Identity:
    """A payer's key, made by openssl, and its tokens (RFC 9068)."""

    ISSUER = "http://127.0.0.1:1/bench"

    def __init__(self, work, contract):
        self.contract = contract
        self.key = work / "issuer.pem"
        openssl("genrsa", "-out", str(self.key), "2048")
        modulus = openssl("rsa", "-in", str(self.key), "-noout", "-modulus").decode().strip().partition("=")[2]
        public = {"kty": "RSA", "n": base64url(bytes.fromhex(modulus)), "e": "AQAB"}
        self.key_set = {"keys": [public | {"kid": "bench", "use": "sig", "alg": "RS384"}]}

    def token(self, audience):
        now = int(time.time())
        header = {"alg": "RS384", "typ": "at+jwt", "kid": "bench"}
        claims = {
            "iss": self.ISSUER,
            "sub": "payer-a",
            "client_id": "payer-a",
            "aud": audience,
            "iat": now - 5,
            "exp": now + 3_000,
            "jti": os.urandom(16).hex(),
            "scope": "system/Observation.rs",
        }
        signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
        return signed + "." + base64url(openssl("dgst", "-sha384", "-sign", str(self.key), stdin=signed.encode()))


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, stdin=None):
    return subprocess.run(["openssl", *arguments], input=stdin, check=True, capture_output=True).stdout


class Target:
    """A server and the request it is asked."""

    def __init__(self, name, server, url, headers=()):
        self.name, self.server, self.url, self.headers = name, server, url, tuple(headers)

    def answer(self):
        request = urllib.request.Request(self.url, headers=dict(self.headers))
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            raise CannotMeasure(f"{self.name} answers {error.code}: {error.read(500).decode(errors='replace')}") from None
        except OSError as error:
            raise CannotMeasure(f"{self.name} does not answer: {error}") from None


# ---- processor time


def wrk(target, seconds):
    """(requests, requests per second, p50 and p99 in microseconds)"""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"]
    for name, value in target.headers:
        command += ["-H", f"{name}: {value}"]
    out = subprocess.run([*command, target.url], capture_output=True, text=True, preexec_fn=pin(LOAD_CORE)).stdout
    if bad := re.search(r"Non-2xx.*", out):
        raise CannotMeasure(f"{target.name}: {bad[0]}")
    requests, rate = re.search(r"(\d+) requests in", out), re.search(r"Requests/sec:\s+([\d.]+)", out)
    if not requests or not int(requests[1]):
        raise CannotMeasure(f"wrk got nothing from {target.name}:\n{out}")
    unit = {"us": 1, "ms": 1e3, "s": 1e6}
    quantile = lambda name: next((float(n) * unit[u] for n, u in re.findall(rf"{name}%\s+([\d.]+)(us|ms|s)", out)), 0.0)
    return int(requests[1]), float(rate[1]), quantile(50), quantile(99)


def one_round(target, seconds):
    cpu, clock = target.server.cpu(), time.monotonic()
    requests, rate, p50, p99 = wrk(target, seconds)
    cpu, clock = target.server.cpu() - cpu, time.monotonic() - clock
    return {"cpu_us": cpu / requests * 1e6, "rate": rate, "p50_us": p50, "p99_us": p99, "busy": cpu / clock}


def measure(targets, rounds, seconds):
    for target in targets:
        wrk(target, 1)
    taken = {target.name: [] for target in targets}
    for number in range(rounds):
        for target in targets[number % len(targets) :] + targets[: number % len(targets)]:
            taken[target.name].append(one_round(target, seconds))
    return taken


def ratios(taken, peer, own):
    """How much cheaper a request is for `own`: `peer` over `own`, round by round."""
    return [a["cpu_us"] / b["cpu_us"] for a, b in zip(taken[peer], taken[own], strict=True)]


def check_answers(targets, size, ehr):
    """Forwarders give the EHR's bytes; the gateway gives every entry, without what the policy withholds."""
    original = ehr.file(size).read_bytes()
    share = None
    for target in targets:
        answer = target.answer()
        if target.name != "portcullis":
            if answer != original:
                raise CannotMeasure(f"{target.name} does not forward what the EHR sends")
            continue
        entries = json.loads(answer).get("entry", [])
        if len(entries) != ehr.entries[size]:
            raise CannotMeasure(f"the gateway releases {len(entries)} of {ehr.entries[size]} entries")
        if any("note" in entry["resource"] or "valueQuantity" not in entry["resource"] for entry in entries):
            raise CannotMeasure("the gateway does not redact as the contract says")
        share = len(answer) / len(original)
    return share


def compare(size, ehr, targets, options):
    share = check_answers(targets, size, ehr)
    taken = measure(targets, options.rounds, options.seconds)
    say(f"\n{TITLES[size]}, {CONNECTIONS} connections, {options.rounds} rounds of {options.seconds} s")
    if share is not None:
        say(f"the gateway's answer has {share:.0%} of the EHR's bytes")
    say(f"  {'':<14}{'CPU us/req':>12}{'requests/s':>12}{'p50 us':>10}{'p99 us':>10}{'core busy':>11}{'to nginx':>18}")
    for target in targets:
        middle = {key: statistics.median(one[key] for one in taken[target.name]) for key in taken[target.name][0]}
        to_nginx = ratios(taken, "nginx", target.name)
        spread = f"{statistics.median(to_nginx):.2f} ({min(to_nginx):.2f}-{max(to_nginx):.2f})"
        say(
            f"  {target.name:<14}{middle['cpu_us']:>12.1f}{middle['rate']:>12.0f}{middle['p50_us']:>10.0f}"
            f"{middle['p99_us']:>10.0f}{middle['busy']:>11.0%}{spread:>18}"
        )
    verdicts = []
    if any(target.name == "portcullis" for target in targets):
        for (of, peer), least in GOALS.items():
            if of == size:
                ratio = statistics.median(ratios(taken, peer, "portcullis"))
                verdicts.append(verdict(f"{size} of {peer}", ratio, least, ratio >= least * (1 - options.tolerance)))
    return {"rounds": taken, "share_of_bytes": share}, verdicts


def verdict(what, value, goal, met, unit=""):
    bound = "at most" if unit else "at least"
    say(f"  {'PASS' if met else 'FAIL'}  {what}: {value:.2f}{unit}, {bound} {goal:.2f}{unit}")
    return {"what": what, "value": value, "goal": goal, "met": met}


# ---- memory


class Reader:
    """One client that has asked and does not read until it is told to."""

    def __init__(self, target, patient=True):
        host, _, rest = target.url.removeprefix("http://").partition("/")
        name, _, port = host.partition(":")
        self.socket = socket.socket()
        if patient:  # what waits, waits in the server
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        self.socket.connect((name, int(port)))
        fields = "".join(f"{name}: {value}\r\n" for name, value in target.headers)
        self.socket.sendall(f"GET /{rest} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n".encode())
        self.received, self.head, self.tail = 0, b"", b""

    def step(self):
        """Reads a piece; false at the end."""
        piece = self.socket.recv(1 << 20)
        if b"\r\n\r\n" not in self.head:
            self.head += piece[:8192]
        self.tail = (self.tail + piece[-5:])[-5:]
        self.received += len(piece)
        return bool(piece)

    def fault(self):
        """What is wrong with an answer that was read to its end; None for a complete one."""
        head, end, _ = self.head.partition(b"\r\n\r\n")
        if not end or b" 200 " not in head:
            return f"answers {head[:100]!r}"
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        if length and self.received != len(head) + 4 + int(length[1]):
            return f"sends {self.received} bytes where {length[1].decode()} and a head were announced"
        if not length and self.tail != b"0\r\n\r\n":
            return "ends an answer in the middle"
        return None


def in_flight(target, drain_all):
    """Growth of the server's memory with the answers in flight, at its highest, divided by their number."""
    first_ever = Reader(target, patient=False)  # what is allocated once is not counted
    while first_ever.received < 1 << 20 and first_ever.step():
        pass
    first_ever.socket.close()
    time.sleep(0.2)
    server, before = target.server, target.server.memory()
    readers = [Reader(target, patient=number > 0) for number in range(CONNECTIONS)]
    peak, deadline = server.memory(), time.monotonic() + 3
    while time.monotonic() < deadline:  # everybody waits for data, nobody takes any
        peak = max(peak, server.memory())
        time.sleep(0.02)
    first, others = readers[0], readers[1:]
    selector = selectors.DefaultSelector()
    selector.register(first.socket, selectors.EVENT_READ, first)
    sampled = 0.0
    while selector.get_map():
        ready = selector.select(10)
        if not ready:
            raise CannotMeasure(f"{target.name} sends nothing for 10 s")
        for key, _ in ready:
            if not key.data.step():
                selector.unregister(key.fileobj)
                if key.data is first and drain_all:
                    for other in others:
                        selector.register(other.socket, selectors.EVENT_READ, other)
        if time.monotonic() - sampled > 0.02:
            peak, sampled = max(peak, server.memory()), time.monotonic()
    for reader in readers:
        reader.socket.close()
    finished = readers if drain_all else [first]
    if faults := [fault for fault in map(Reader.fault, finished) if fault]:
        raise CannotMeasure(f"{target.name} {faults[0]}")
    return (peak - before) / CONNECTIONS, first.received


def compare_memory(targets_for, options):
    say(f"\nmemory for each of {CONNECTIONS} answers in flight: growth of PSS at its highest, KiB")
    say("all stand still for 3 s, then one is read to its end; at 300 KB and 5 MB the others follow")
    figures, verdicts = {}, []
    for size, title in MEMORY_BODIES.items():
        if options.quick and size == "5m":
            continue
        with targets_for(size) as targets:
            for target in targets:
                grown, received = in_flight(target, drain_all=size != "200m")
                figures[f"{target.name} {size}"] = grown
                say(f"  {title:>7}  {target.name:<14}{grown / 1024:>8.0f}   (answer of {received / 1e6:.1f} MB)")
                if target.name == "portcullis":
                    met = grown <= MEMORY_GOAL * (1 + options.tolerance)
                    verdicts.append(verdict(f"memory at {title}", grown / 1024, MEMORY_GOAL / 1024, met, " KiB"))
    return figures, verdicts


# ---- the whole


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 2 s, without the 5 MB body")
    parser.add_argument("--only", choices=["4k", "300k", "memory"], action="append", help="may be given twice")
    parser.add_argument("--skip-gateway", action="store_true", help="the forwarders alone; no goals")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all rounds there")
    parser.add_argument("--rounds", type=int, help="rounds per server (default 7, quick 3)")
    parser.add_argument("--seconds", type=int, help="length of a round (default 6, quick 2)")
    parser.add_argument("--tolerance", type=float, default=0.0, help="share by which a goal may be missed, such as 0.15")
    parser.add_argument("--gateway", type=pathlib.Path, default=target / "release/portcullis", metavar="PROGRAM")
    parser.add_argument("--forwarder", type=pathlib.Path, default=target / "release/examples/forwarder", metavar="PROGRAM")
    parser.add_argument("--policies", type=pathlib.Path, default=ROOT / "policies", metavar="FOLDER")
    parser.add_argument("--envoy", type=pathlib.Path, default=CACHE / "venv/bin/envoy", metavar="PROGRAM")
    parser.add_argument("--work", type=pathlib.Path, default=CACHE, metavar="FOLDER", help="where state and audit log lie")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (2 if options.quick else 6)
    options.parts = options.only or ["4k", "300k", "memory"]
    return options


def check_machine(options):
    if not {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        raise CannotMeasure("two cores are needed: one for the server, one for load and EHR")
    for program in ("wrk", "openssl"):
        if not shutil.which(program):
            raise CannotMeasure(f"{program} is missing (.ci/install.sh)")
    if not options.envoy.exists():
        raise CannotMeasure(f"there is no Envoy at {options.envoy} (.ci/install.sh)")
    if not options.skip_gateway and not options.gateway.exists():
        raise CannotMeasure(f"there is no gateway at {options.gateway}: cargo build --release, or --skip-gateway")
    if not options.forwarder.exists():
        raise CannotMeasure(f"there is no forwarder at {options.forwarder}: cargo build --release --example forwarder")
    options.work.mkdir(parents=True, exist_ok=True)
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(options.work)], capture_output=True, text=True).stdout.strip()
    if kind == "tmpfs":
        raise CannotMeasure(f"{options.work} is in memory; the audit log must be on a disk (--work)")
    load = os.getloadavg()[0]
    if load > 0.5:
        say(f"the machine is not idle (load {load:.1f}): the ratios will scatter")


def contract_of(options):
    """The first contract of the policies' data: the payer whom the gateway will serve."""
    if options.skip_gateway:
        return {"payor_references": ["Organization/none"]}
    path = options.policies / "data/contracts.json"
    if not path.exists():
        raise CannotMeasure(f"there is no contract at {path}")
    return json.loads(path.read_text())["contracts"][0]


def run(options, work, cleanup):
    contract = contract_of(options)
    sizes = {"4k", "300k"} & set(options.parts)
    if "memory" in options.parts:
        sizes |= set(MEMORY_BODIES) - ({"5m"} if options.quick else set())
    ehr = Ehr(work, sorted(sizes), contract)
    cleanup.callback(ehr.server.stop)
    identity = None if options.skip_gateway else Identity(work, contract)

    @contextlib.contextmanager
    def targets_for(size):
        """Fresh servers for one size: nobody's memory has grown before."""
        part = pathlib.Path(tempfile.mkdtemp(prefix=f"{size}-", dir=work))
        with contextlib.ExitStack() as servers:
            nginx = Proxies(part, ehr)
            servers.callback(nginx.server.stop)
            envoy = Envoy(part, ehr, options.envoy)
            servers.callback(envoy.stop)
            forwarded = lambda port: f"http://127.0.0.1:{port}/{size}/fhir/{SEARCH}"
            targets = [Target("nginx", nginx.server, forwarded(nginx.port))]
            if not options.quick:
                targets.append(Target("nginx 64k", nginx.server, forwarded(nginx.large_port)))
            targets.append(Target("envoy", envoy, forwarded(envoy.port)))
            hyper = Hyper(part, ehr, options.forwarder)
            servers.callback(hyper.stop)
            if size != "200m":  # it holds what it forwards
                targets.append(Target("hyper", hyper, forwarded(hyper.port)))
            if identity:
                gateway = Gateway(part, ehr, size, identity, options)
                servers.callback(gateway.stop)
                bearer = [("Authorization", f"Bearer {gateway.token}"), ("Accept", "application/fhir+json")]
                targets.append(Target("portcullis", gateway, f"{gateway.base}/{SEARCH}", bearer))
            yield targets

    figures, verdicts = {}, []
    for size in ("4k", "300k"):
        if size in options.parts:
            with targets_for(size) as targets:
                figures[size], found = compare(size, ehr, targets, options)
                verdicts += found
    if "memory" in options.parts:
        figures["memory"], found = compare_memory(targets_for, options)
        verdicts += found
    return figures, verdicts


def main():
    options = arguments()
    try:
        check_machine(options)
        with contextlib.ExitStack() as cleanup:
            work = pathlib.Path(tempfile.mkdtemp(prefix="compare-", dir=options.work))
            cleanup.callback(shutil.rmtree, work, ignore_errors=True)
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
            os.sched_setaffinity(0, {LOAD_CORE})
            figures, verdicts = run(options, work, cleanup)
    except CannotMeasure as reason:
        print(f"compare.py: {reason}", file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "verdicts": verdicts}, indent=1) + "\n")
    missed = [one["what"] for one in verdicts if not one["met"]]
    say()
    say("nothing was to be judged" if not verdicts else f"missed: {', '.join(missed)}" if missed else "all goals met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
