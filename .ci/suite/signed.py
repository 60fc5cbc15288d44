#!/usr/bin/env python3
"""signed.py : what `portcullis sign` signs is verified by OpenSSL, over a canonical form made here and by Node.

Authority, keys and certificates are OpenSSL's too. For each algorithm a searchset with awkward texts and several thousand
numbers is signed; its canonical form (RFC 8785) is made by Python and, where there is one, by Node, which must agree; OpenSSL
verifies the signature with the key of the certificate. So are the answers of a running gateway with whose client signatures were
agreed, and its reads are refused. The other way round, `portcullis verify` says `verified` of what was
signed here with OpenSSL, and of nothing that was changed.
"""

import base64
import datetime
import json
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from gateway import ISSUER, ORGANIZATION, PROGRAM, Cases, Gateway, toml  # noqa: E402

from invented import Invented  # noqa: E402
from upstream import Server  # noqa: E402

NPI, NUMBER = "http://hl7.org/fhir/sid/us-npi", "1234567893"
# The certificates are valid from the moment they are made.
SIGNING = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)
WHEN, LATER = (f"{time:%Y-%m-%dT%H:%M:%S}.000Z" for time in (SIGNING, SIGNING + datetime.timedelta(seconds=1)))
NODE = shutil.which("node")
# RFC 8785 in JavaScript: ECMAScript's own numbers, strings and order of code units.
CANONICAL_JS = """
const canonical = value => Array.isArray(value) ? "[" + value.map(canonical).join(",") + "]"
  : value !== null && typeof value === "object"
  ? "{" + Object.keys(value).sort().map(name => JSON.stringify(name) + ":" + canonical(value[name])).join(",") + "}"
  : JSON.stringify(value);
process.stdout.write(canonical(JSON.parse(require("fs").readFileSync(0, "utf8"))));
"""
KEYS = {
    "rsa": ("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    "p256": ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "p384": ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
}
ALGORITHMS = {"RS256": "rsa", "RS384": "rsa", "PS256": "rsa", "PS384": "rsa", "ES256": "p256", "ES384": "p384"}


def openssl(*arguments, given=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=given, capture_output=True, check=True).stdout


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64u(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def es_number(value):
    """Number::toString of ECMA-262, out of the shortest digits that Python finds."""
    if value == 0:
        return "0"
    sign, (digits, exponent) = "-" if value < 0 else "", repr(abs(float(value))).partition("e")[::2]
    whole, _, fraction = digits.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return f"{sign}{digits[0]}{'.' * (len(digits) > 1)}{digits[1:]}e{point - 1:+d}"


def canonical(value):
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return es_number(value)
    return json.dumps(value, ensure_ascii=False)


def numbers(count):
    """Doubles of every size, in the texts that Python has for them."""
    chance = random.Random(8785)
    doubles = (struct.unpack("<d", chance.randbytes(8))[0] for _ in range(count))
    found = [repr(double) for double in doubles if double == double and abs(double) != float("inf")]
    return found + ["0.000001", "1e-7", "7.50", "1e2", "-0", "999999999999999900000", "1e21", "5e-324"]


def bundle():
    texts = ["plain", "ärztlich € \U0001f600 דּ", 'quote " backslash \\ / tab \t newline \n', "\u0001\u001f\u007f\u2028"]
    observations = [{"fullUrl": f"https://gateway.example.org/fhir/Observation/{at}",
                     "resource": {"resourceType": "Observation", "id": str(at), "meta": {"versionId": "1"}, "status": "final",
                                  "note": [{"text": text}]}} for at, text in enumerate(texts)]
    written = json.dumps({"resourceType": "Bundle", "id": "set", "meta": {"lastUpdated": WHEN}, "type": "searchset",
                          "total": len(texts), "entry": observations}, indent=2)
    return written.replace('"total": 4', f'"total": 4,\n  "numbers": [{", ".join(numbers(5000))}],\n  "\U0001f600": 1, "דּ": 2')


class World:
    def __init__(self, folder):
        self.folder = folder
        self.authority = folder / "ca.pem"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "ca.key", "-out", self.authority, "-days", 3650,
                "-subj", "/O=Authority", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        (folder / "extensions").write_text("basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                                           f"subjectAltName=otherName:2.16.840.1.113883.4.6;UTF8:{NUMBER}\n")
        for name, how in KEYS.items():
            key, request, certificate = self.key(name), folder / f"{name}.csr", self.certificate(name)
            openssl(*how, "-out", key)
            openssl("req", "-new", "-key", key, "-subj", "/O=Clinic", "-out", request)
            openssl("x509", "-req", "-in", request, "-CA", self.authority, "-CAkey", folder / "ca.key", "-out", certificate,
                    "-CAcreateserial", "-extfile", folder / "extensions", "-sha256", "-days", 3650)

    def key(self, name):
        return self.folder / f"{name}.key"

    def certificate(self, name):
        return self.folder / f"{name}.pem"

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def verdict(self, file, at=WHEN):
        done = subprocess.run([PROGRAM, "verify", file, "--anchors", self.authority, "--at", at, "--json"],
                              capture_output=True, text=True)
        report = json.loads(done.stdout)
        return done.returncode, report["verdict"], [one["code"] for one in report["findings"] if one["weight"] != "note"]


def digest_options(algorithm):
    digest = f"-sha{algorithm[2:]}"
    pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"] if algorithm.startswith("PS") else []
    return [digest, *pss]


def to_der(raw):
    """The two halves of a JWS signature as OpenSSL wants them."""
    def integer(half):
        half = half.lstrip(b"\0") or b"\0"
        half = b"\0" + half if half[0] & 0x80 else half
        return bytes([2, len(half)]) + half
    both = integer(raw[: len(raw) // 2]) + integer(raw[len(raw) // 2 :])
    return bytes([0x30, len(both)]) + both


def to_raw(der, size):
    at, halves = 2, []
    for _ in range(2):
        length = der[at + 1]
        halves.append(int.from_bytes(der[at + 2 : at + 2 + length], "big").to_bytes(size, "big"))
        at += 2 + length
    return b"".join(halves)


def signed_by_portcullis(world, algorithm):
    text = bundle()
    file, out = world.write("bundle.json", text), world.folder / f"{algorithm}.json"
    name = ALGORITHMS[algorithm]
    done = subprocess.run([PROGRAM, "sign", file, "--key", world.key(name), "--certificate", world.certificate(name), "--who",
                           f"{NPI}|{NUMBER}", "--algorithm", algorithm, "--when", WHEN, "-o", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    signed = out.read_text()
    at = signed.rindex(',"signature":')
    assert text.startswith(signed[:at]) and signed.endswith(text[at:]), "text was changed beside the signature"
    return verified_by_openssl(world, algorithm, signed, WHEN)


def verified_by_openssl(world, algorithm, signed, when=None):
    content = json.loads(signed)
    signature = content.pop("signature")
    for member in ("id", "meta"):
        content.pop(member, None)
    form = canonical(content)
    if NODE:
        shown = subprocess.run([NODE, "-e", CANONICAL_JS], input=json.dumps(content), capture_output=True, text=True, check=True).stdout
        assert shown == form, "Python and Node do not agree"
    header, payload, value = base64.b64decode(signature["data"]).decode().split(".")
    assert payload == "", "the payload is inside"
    stated = json.loads(unb64u(header))
    assert stated["alg"] == algorithm and stated["sigT"] == signature["when"] == (when or signature["when"]), stated
    leaf = openssl("x509", "-inform", "DER", "-pubkey", "-noout", given=base64.b64decode(stated["x5c"][0]))
    key = world.folder / "leaf.pub"
    key.write_bytes(leaf)
    raw = unb64u(value)
    (world.folder / "value").write_bytes(to_der(raw) if algorithm.startswith("ES") else raw)
    check = ["dgst", *digest_options(algorithm), "-verify", key, "-signature", world.folder / "value"]
    assert b"Verified OK" in openssl(*check, given=f"{header}.{b64u(form.encode())}".encode())
    try:
        openssl(*check, given=f"{header}.{b64u(form.replace('searchset', 'searchsex').encode())}".encode())
        raise RuntimeError("OpenSSL verifies anything")
    except subprocess.CalledProcessError:
        pass
    return f"{len(form)} bytes"


def answered(world, key, algorithm, upstream):
    """Two pages of a search and all about a patient, from a gateway that signs with this key; a read is refused."""
    more = (
        f'[organization]\nidentifier = "{NPI}|{NUMBER}"\nname = "Clinic"\n'
        f"[signing]\ncertificate = {toml(world.certificate(key))}\nkey = {toml(world.key(key))}\n"
        f'[[client]]\nid = "payer-s"\norganization = "{ORGANIZATION}"\nissuer = "{ISSUER}"\n'
        'purposes = ["HPAYMT"]\nscopes = ["system/*.rs"]\nsigned_answers = "ci"'
    )
    with Gateway(upstream, HERE / "policies/mixed", threads=1, more=more) as gateway:
        client, bodies = gateway.client("payer-s"), []
        for path in ("Observation?patient=p1&_count=2&_revinclude=Provenance:target", "Condition?patient=p1&_revinclude=Provenance:target",
                     "Procedure?patient=p1", "Patient/p1/$everything"):
            answer = client.get(path)
            assert answer.status == 200, f"{path}: {answer.status} {answer.text}"
            bodies.append(answer.text)
        following = next(link["url"] for link in json.loads(bodies[0])["link"] if link["relation"] == "next")
        bodies.append(client.get(following.removeprefix(gateway.origin)).text)
        refused = client.get("Observation/o1")
        outcome = json.loads(refused.body)
        assert (refused.status, outcome["issue"][0]["code"]) == (400, "business-rule"), refused.text
        assert "signature" not in gateway.client().get("Observation?patient=p1").json, "signed for somebody else"
        client.close()
    assert any("urn:uuid:" in body for body in bodies), "no Provenance of its own under a signature"
    now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%S}.000Z"
    for body in bodies:
        verified_by_openssl(world, algorithm, body)
        shown = world.verdict(world.write("answer.json", body), now)
        assert shown == (0, "verified", []), shown
    return f"{len(bodies)} answers"


def signed_by_openssl(world, algorithm):
    name = ALGORITHMS[algorithm]
    content = {"resourceType": "Bundle", "type": "document", "entry": [{"resource": {"resourceType": "Composition", "title": "Ä", "n": 1.5}}]}
    der = openssl("x509", "-in", world.certificate(name), "-outform", "DER")
    purpose = "1.2.840.10065.1.12.1.5"
    header = b64u(json.dumps({"alg": algorithm, "x5c": [base64.b64encode(der).decode()], "sigT": WHEN,
                              "srCms": [{"commId": {"id": f"urn:oid:{purpose}"}}]}).encode())
    value = openssl("dgst", *digest_options(algorithm), "-sign", world.key(name), given=f"{header}.{b64u(canonical(content).encode())}".encode())
    if algorithm.startswith("ES"):
        value = to_raw(value, 32 if algorithm == "ES256" else 48)
    content["signature"] = {
        "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": purpose}], "when": WHEN,
        "who": {"identifier": {"system": NPI, "value": NUMBER}},
        "targetFormat": "application/fhir+json;canonicalization=http://hl7.org/fhir/canonicalization/json#document",
        "sigFormat": "application/jose", "data": base64.b64encode(f"{header}..{b64u(value)}".encode()).decode()}
    text = json.dumps(content, indent=1)
    shown = world.verdict(world.write("theirs.json", text))
    assert shown == (0, "verified", []), shown
    for was, becomes, code in (("1.5", "1.6", "content-changed"), (NUMBER, "1234567890", "who-mismatch"), (WHEN, LATER, "when-mismatch")):
        assert was in text
        status, verdict, codes = world.verdict(world.write("changed.json", text.replace(was, becomes)))
        assert (status, verdict) == (1, "failed") and code in codes, (was, status, verdict, codes)


def main():
    cases = Cases()
    with tempfile.TemporaryDirectory() as folder:
        world = World(pathlib.Path(folder))
        for algorithm in ALGORITHMS:
            cases.run(f"{algorithm}: signed here, verified by OpenSSL", signed_by_portcullis, world, algorithm)
            cases.run(f"{algorithm}: signed by OpenSSL, verified here", signed_by_openssl, world, algorithm)
        upstream = Server(Invented).in_a_thread()
        for key, algorithm in (("rsa", "RS256"), ("p256", "ES256"), ("p384", "ES384")):
            cases.run(f"{algorithm}: answered by a gateway, verified by OpenSSL", answered, world, key, algorithm, upstream.base)
    print("with Node's canonical form" if NODE else "without Node: the canonical form is Python's alone")
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main())
