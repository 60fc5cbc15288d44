"""A careless record system: whatever is searched for, it gives all it has of several patients, and calls it a match.

Takes resources from the honest one once, then answers on its own. Reads by id are answered rightly, because a wrong
resource is no answer at all.
"""

import http.server
import json
import threading

from ehr import name_of


class Careless:
    def __init__(self, resources, honest_base, metadata):
        """`resources`: texts of resources as the record system at `honest_base` writes them."""
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.server.server_port}/fhir"
        moved = [text.replace(honest_base, self.base) for text in resources]
        self.server.by_name = {name_of(json.loads(text)): text.encode() for text in moved}
        entries = [
            '{"fullUrl":"%s/%s","resource":%s,"search":{"mode":"match"}}' % (self.base, name, text.decode())
            for name, text in self.server.by_name.items()
        ]
        self.server.everything = (
            '{"resourceType":"Bundle","type":"searchset","total":%d,"entry":[%s]}' % (len(entries), ",".join(entries))
        ).encode()
        self.server.metadata = metadata.encode()
        self.server.asked = 0
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.server.asked += 1
        steps = self.path.partition("?")[0].removeprefix("/fhir/").split("/")
        if steps == ["metadata"]:
            self.answer(self.server.metadata)
        elif len(steps) == 2 and steps[1] != "_search":
            self.answer(self.server.by_name.get("/".join(steps)))
        else:
            self.answer(self.server.everything)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def answer(self, body):
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(body or b"{}")))
        self.end_headers()
        self.wfile.write(body or b"{}")

    def log_message(self, *_):
        pass
