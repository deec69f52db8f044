"""A web application that leaves slow work to a worker.

POST /jobs takes a text and answers at once; GET /jobs/ID has the result as soon
as the worker has made it.
"""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from queuey_client import Client, Invalid, NotFound, Unavailable

# The server is http://127.0.0.1:5000, or what QUEUEY_URL says.
KEY = os.environ.get("QUEUEY_KEY", "f25bfb8fe200475c8a0532a9cbe7651e")
PORT = int(os.environ.get("PORT", "8000"))
MAX_BODY = 100_000
MAX_RESULTS = 10_000

client = Client(application="queuey", key=KEY)
jobs = client.queue("jobs")
results = client.queue("results")
done = {}


def collect():
    """Remember the latest results, from the oldest that the queue has on."""
    for result in results.follow(start="oldest", on_gap="ignore"):
        done[result.headers["job"]] = result.text
        if len(done) > MAX_RESULTS:
            del done[next(iter(done))]


class Handler(BaseHTTPRequestHandler):
    timeout = 30

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if self.path != "/jobs":
            self.answer(404, "there is only /jobs\n")
        elif not length.isdigit() or int(length) > MAX_BODY:
            self.answer(413, f"at most {MAX_BODY} bytes\n")
        else:
            self.take_job(self.rfile.read(int(length)))

    def take_job(self, text):
        try:
            job = jobs.post(text, content_type="text/plain")
        except Unavailable as error:
            self.answer(503, f"try again: {error}\n")
        else:
            # The job is stored now, and is done even if this program ends.
            self.answer(202, f"/jobs/{job.id}\n", Location=f"/jobs/{job.id}")

    def do_GET(self):
        _, _, id = self.path.partition("/jobs/")
        if id in done:
            self.answer(200, done[id])
            return
        try:
            jobs.get(id)
        except (NotFound, Invalid, ValueError):
            self.answer(404, "no such job\n")
        except Unavailable as error:
            self.answer(503, f"try again: {error}\n")
        else:
            self.answer(202, "not done yet\n")

    def answer(self, status, text, **headers):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


jobs.ensure()
results.ensure(ttl=86400)
threading.Thread(target=collect, daemon=True).start()
server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
print(f"serving on http://127.0.0.1:{PORT}", flush=True)
server.serve_forever()
