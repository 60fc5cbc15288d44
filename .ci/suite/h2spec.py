#!/usr/bin/env python3
"""h2spec.py : HTTP/2 over TLS, by h2spec's strict cases.

The built gateway is asked by h2spec 2.2.1 (a Go module, installed once). EXPECTED names the cases that fail and why; any
other failure is one, and so is an expected one that does not fail any more.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from gateway import Cases, Gateway  # noqa: E402

from upstream import Handler, Server  # noqa: E402

MODULE = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"
WORK = pathlib.Path(os.environ.get("PORTCULLIS_CI_WORK", pathlib.Path.home() / ".cache/portcullis-ci"))
AT_LEAST = 140  # of 147; a run that asks less proves less
SECONDS_PER_CASE = 5  # for a busy machine: a case that waits in vain waits as long

EXPECTED = {}  # "section/number: description" -> why


class Nothing(Handler):
    def do_GET(self):
        self.answer(None)


def h2spec():
    program = WORK / "bin/h2spec"
    if not program.exists():
        subprocess.run(["go", "install", MODULE], env={**os.environ, "GOBIN": str(program.parent)}, check=True)
    return program


def asked(port):
    """Every case: its name, and what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        command = [h2spec(), "--strict", "-t", "-k", "-h", "127.0.0.1", "-p", str(port), "-P", "/fhir/metadata"]
        command += ["-o", str(SECONDS_PER_CASE), "-j", str(report)]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)
        assert report.exists(), f"h2spec: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr}"
        found = []
        for suite in xml.parse(report).getroot().iter("testsuite"):
            for number, case in enumerate(suite.findall("testcase"), 1):
                problem = case.find("failure") if case.find("failure") is not None else case.find("error")
                wrong = None if problem is None else (problem.text or problem.get("message") or "failed")
                name = f"{case.get('package') or suite.get('package')}/{number}: {case.get('classname')}"
                found.append((name, wrong, case.find("skipped") is not None))
        return found


def main():
    cases = Cases()
    ehr = Server(Nothing).in_a_thread()
    with Gateway(ehr.base, HERE / "policies/everything", more="") as gateway:
        found = asked(gateway.port)
        answer = gateway.stranger().get(".well-known/smart-configuration")
        cases.case("a healthy answer afterwards", None if answer.status == 200 else f"{answer.status}")
    cases.case("h2spec asks", None if len(found) >= AT_LEAST else f"{len(found)} cases")
    for name, wrong, skipped in found:
        why = EXPECTED.get(name)
        if why and not wrong:
            cases.case(name, f"is expected to fail ({why}) and does not")
        elif wrong and not why:
            cases.case(name, " ".join(wrong.split()))
        elif skipped:
            cases.case(name, "was left out")
        else:
            cases.case(name, note=f"fails as expected: {why}" if why else "")
    for name in EXPECTED.keys() - {name for name, *_ in found}:
        cases.case(name, "is expected to fail and is no case")
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main())
