#!/usr/bin/env python3
"""A webhook receiver to try whisperer with: it verifies each request and prints one line for it.

    python3 docs/receiver.py --secret whsec_... [--port 8000]

It answers 200 if the signature is good, 401 if not, and 400 if a compressed body is broken.  It needs nothing but Python.  A receiver of your own does
the same two things, and remembers the ids that it has handled: examples/receivers has some to build on.
"""
import argparse
import base64
import hashlib
import hmac
import json
import time
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer


def is_genuine(secret, headers, body):
    """Whether the request was signed with the secret (whsec_...) within the last five minutes."""
    if abs(time.time() - int(headers["webhook-timestamp"])) > 300:
        return False
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(one, wanted) for one in headers["webhook-signature"].split(" "))


def decoded(headers, body):
    """The body as it was before it was compressed: that is signed."""
    if headers["Content-Encoding"] != "gzip":
        return body
    gzip = zlib.decompressobj(wbits=31)
    text = gzip.decompress(body, 8 * 1024 * 1024)
    if not gzip.eof or gzip.unused_data:
        raise ValueError("broken off, or too long")
    return text


def event_ids(request, body):
    """Those in the body: a batch that comes again may hold others, too.  In another format, the request's."""
    text = body.decode()
    try:
        members = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
        return {member["event"]["uuid"] for member in members}
    except (ValueError, TypeError, KeyError):
        return {request}


class Receiver(BaseHTTPRequestHandler):
    secret = ""
    handled = set()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        coding = " (gzip)" if self.headers["Content-Encoding"] == "gzip" else ""
        try:
            body = decoded(self.headers, body)
        except (ValueError, zlib.error):
            return self.answer(400)
        good = "webhook-signature" in self.headers and is_genuine(self.secret, self.headers, body)
        ids = event_ids(self.headers["webhook-id"], body) if good else set()
        verdict = "not genuine" if not good else "again" if ids <= self.handled else "verified"
        self.handled |= ids
        print(verdict, f"{self.headers['X-Whisperer-Event']}{coding}", body.decode(), flush=True)
        self.answer(200 if good else 401)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """The line above is enough."""


arguments = argparse.ArgumentParser()
arguments.add_argument("--secret", required=True, help="what whisperer.hook_secret() says of the hook")
arguments.add_argument("--port", type=int, default=8000)
arguments.add_argument("--address", default="127.0.0.1", help="0.0.0.0: for others than this machine, too")
options = arguments.parse_args()
Receiver.secret = options.secret
HTTPServer.allow_reuse_address = True
server = HTTPServer((options.address, options.port), Receiver)
print(f"listening at http://{options.address}:{options.port}/", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    pass
