"""Record systems of our own making, as HTTP servers in a thread."""

import http.server
import threading


class Server(http.server.ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1; `handler` answers, and finds in `of` what it is told."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, handler, of=None):
        super().__init__(("127.0.0.1", 0), handler)
        self.of, self.waiting = of, 0
        self.base = f"http://127.0.0.1:{self.server_port}/fhir"

    def in_a_thread(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def handle_error(self, *_):
        """A gateway that leaves is no error of the record system."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self, body, status=None, media="application/fhir+json"):
        """Sends a body; None is what nobody has."""
        status = status or (404 if body is None else 200)
        body = b"{}" if body is None else body
        head = f"HTTP/1.1 {status} -\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, *_):
        pass
