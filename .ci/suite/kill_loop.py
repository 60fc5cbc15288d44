#!/usr/bin/env python3
"""kill_loop.py : kills the gateway again and again under load, and then reads its audit log.

KILLS times (100): the gateway starts on the log that is there, 16 clients ask over connections they keep open (searches
and reads that are released, answers that are streamed, refusals of each kind), and after 20 to 400 ms it is killed with
SIGKILL. In the end the log must be sound, and every answer that a client received to its last byte must have its record;
a streamed one also the record that closes it as sent to the end. SEED repeats a run's moments.
"""

import collections
import http.client
import json
import os
import pathlib
import random
import signal
import ssl
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from gateway import Cases, Gateway  # noqa: E402

from upstream import Handler, Server  # noqa: E402

KILLS = int(os.environ.get("KILLS", "100"))
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
CLIENTS = 16

ASKED = [  # path, whether with a token, status
    ("Observation?patient=p1&category=laboratory", True, 200),
    ("Observation?patient=p1&category=large", True, 200),
    ("Observation/o1", True, 200),
    ("metadata", False, 200),
    ("Observation/nobodys", True, 404),
    ("Observation?patient=p1", False, 401),
    ("Observation?patient=p1&_include=Observation:subject", True, 403),
    ("Observation?patient=p1&colour=red", True, 400),
]
LARGE = ASKED[1][0]  # more than the gateway holds at once, so that it is streamed


def observation(number, category):
    return {
        "resourceType": "Observation", "id": f"o{number}", "status": "final", "subject": {"reference": "Patient/p1"},
        "category": [{"coding": [{"code": category}]}], "code": {"text": f"number {number}"}, "valueString": "x" * 200,
    }


def searchset(category, count):
    entries = [{"resource": observation(number, category), "search": {"mode": "match"}} for number in range(1, count + 1)]
    return json.dumps({"resourceType": "Bundle", "type": "searchset", "entry": entries}).encode()


class RecordSystem(Handler):
    """A few answers, made beforehand."""

    answers = {
        "laboratory": searchset("laboratory", 10),
        "large": searchset("large", 1000),
        "Observation/o1": json.dumps(observation(1, "laboratory")).encode(),
        "metadata": json.dumps({"resourceType": "CapabilityStatement", "rest": [{"mode": "server"}]}).encode(),
    }

    def do_GET(self):
        self.answer(next((body for name, body in self.answers.items() if name in self.path), None))


class Payer(threading.Thread):
    """Asks one thing after another for as long as the suite runs, and remembers what it received in full."""

    def __init__(self, gateway, seed, token):
        super().__init__(daemon=True)
        self.gateway, self.random, self.token = gateway, random.Random(seed), token
        self.received, self.wrong, self.broken, self.over = [], [], 0, False

    def run(self):
        connection = sent = None
        while not self.over:
            path, with_token, status = self.random.choice(ASKED)
            headers = {"Authorization": f"Bearer {self.token}"} if with_token else {}
            try:
                if connection is None:
                    sent = False
                    connection = http.client.HTTPSConnection("127.0.0.1", self.gateway.port, timeout=10, context=self.gateway.tls)
                connection.request("GET", f"/fhir/{path}", headers=headers)
                sent = True
                answer = connection.getresponse()
                body = answer.read()  # raises when the answer is not complete
                streamed = answer.headers["Transfer-Encoding"] == "chunked"
                if answer.status != status or not body.endswith(b"}") or streamed != (path == LARGE):
                    self.wrong.append(f"{path}: {answer.status}, {len(body)} bytes, streamed: {streamed}: {body[:200]}")
                self.received.append((answer.headers["X-Request-Id"], status, streamed))
            except (OSError, ssl.SSLError, http.client.HTTPException):
                self.broken += bool(sent)
                connection = connection and connection.close()
                time.sleep(0.005)


def stand_up_record_system():
    server = Server(RecordSystem)
    print(server.base, flush=True)
    server.serve_forever()


def kill_again_and_again(gateway, moments):
    """Gives the gateway's last start, which is left running."""
    for moment in moments:
        gateway.start()
        time.sleep(moment)
        assert gateway.process.poll() is None, f"the gateway ended by itself:\n{gateway.tail()}"
        gateway.process.send_signal(signal.SIGKILL)
        gateway.process.wait()
    gateway.start()
    time.sleep(0.3)


def main():
    cases, began = Cases(), time.monotonic()
    print(f"seed {SEED}, {KILLS} kills")
    moments = random.Random(SEED)
    system = subprocess.Popen([sys.executable, __file__, "--record-system"], stdout=subprocess.PIPE, text=True)
    gateway = None
    try:
        gateway = Gateway(system.stdout.readline().strip(), HERE / "policies/everything")
        payers = [Payer(gateway, SEED + number, gateway.token()) for number in range(CLIENTS)]
        for payer in payers:
            payer.start()
        kill_again_and_again(gateway, [moments.uniform(0.020, 0.400) for _ in range(KILLS)])
        for payer in payers:
            payer.over = True
        for payer in payers:
            payer.join(15)
        received = [one for payer in payers for one in payer.received]
        wrong = [one for payer in payers for one in payer.wrong]
        broken = sum(payer.broken for payer in payers)
        by_status = collections.Counter(f"{status}{' streamed' if streamed else ''}" for _, status, streamed in received)
        print(f"{len(received)} answers in full {dict(sorted(by_status.items()))}, {broken} requests broken off")
        cases.case("every answer received was the right one", wrong[:3], f"{len(received)}")
        cases.case("every kind of answer was received", len(by_status) < 6 and str(by_status), ", ".join(sorted(by_status)))
        cases.case("the gateway was killed under load", (len(received) < 10 * KILLS or broken < KILLS) and "hardly", f"{broken} requests broken off")
        cases.run("ends in good order, with a sound log", gateway.stop)
        verdict = gateway.program("audit", "verify", gateway.audit).splitlines()[0]
        records = gateway.records()
        kinds = collections.Counter(record["kind"] for record in records)
        note = f"{kinds['start']} starts, {kinds['stop']} stops, {kinds['recovery']} torn ends cut"
        cases.case("each start is on record", kinds["start"] != KILLS + 1 and str(kinds), note)
        exchanges = {record["exchange"]: record for record in records if record["kind"] == "exchange"}
        closings = {record["exchange"]: record for record in records if record["kind"] == "closing"}
        missing = [id for id, *_ in received if id not in exchanges]
        cases.case("every answer received is on record", missing[:3], verdict)
        other = [id for id, status, _ in received if id in exchanges and exchanges[id]["outcome"]["status"] != status]
        cases.case("with the status that was received", other[:3])
        streamed = [id for id, _, streamed in received if streamed]
        unclosed = [id for id in streamed if closings.get(id, {}).get("delivery") != "whole"]
        cases.case("every streamed answer received to its end is closed as such", unclosed[:3], f"{len(streamed)}")
        print(f"{time.monotonic() - began:.0f} s")
    finally:
        if gateway:
            gateway.remove()
        system.kill()
    return cases.finish()


if __name__ == "__main__":
    sys.exit(stand_up_record_system() if sys.argv[1:] == ["--record-system"] else main())
