"""A careless record system: whatever is searched for, it gives all it has of several patients, and calls it a match.

Takes resources from the honest one once, then answers on its own. Reads by id are answered rightly, because a wrong
resource is no answer at all.
"""

import json

from ehr import name_of
from upstream import Handler, Server


class Careless:
    def __init__(self, resources, honest_base, metadata):
        """`resources`: texts of resources as the record system at `honest_base` writes them."""
        self.server = Server(CarelessHandler, self)
        self.base, self.asked, self.metadata = self.server.base, 0, metadata.encode()
        moved = [text.replace(honest_base, self.base) for text in resources]
        self.by_name = {name_of(json.loads(text)): text.encode() for text in moved}
        entries = [
            b'{"fullUrl":"%s/%s","resource":%s,"search":{"mode":"match"}}' % (self.base.encode(), name.encode(), text)
            for name, text in self.by_name.items()
        ]
        self.everything = b'{"resourceType":"Bundle","type":"searchset","total":%d,"entry":[%s]}' % (len(entries), b",".join(entries))
        self.server.in_a_thread()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class CarelessHandler(Handler):
    def do_GET(self):
        of = self.server.of
        of.asked += 1
        steps = self.path.partition("?")[0].removeprefix("/fhir/").split("/")
        if steps == ["metadata"]:
            self.answer(of.metadata)
        elif len(steps) == 2 and steps[1] != "_search":
            self.answer(of.by_name.get("/".join(steps)))
        else:
            self.answer(of.everything)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
