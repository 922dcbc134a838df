#!/usr/bin/env python3
"""A receiver of webhooks in Python; README.md beside it says what it does.  It needs nothing but Python.

    WEBHOOK_SECRET=whsec_... python3 receiver.py [port [inbox]]
"""
import base64
import hashlib
import hmac
import json
import os
import queue
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BODY_BYTES_MAX = 2_000_000
secret = os.environ["WEBHOOK_SECRET"]
key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
inbox = Path(sys.argv[2] if len(sys.argv) > 2 else "inbox")
work = queue.Queue()


def is_genuine(event, timestamp, signatures, body):
    """While a secret is being replaced there are two signatures; one that fits is enough."""
    if not re.fullmatch("[0-9]{1,12}", timestamp) or abs(time.time() - int(timestamp)) > 300:
        return False
    wanted = "v1," + base64.b64encode(hmac.digest(key, f"{event}.{timestamp}.".encode() + body, hashlib.sha256)).decode()
    return any(hmac.compare_digest(one.encode(), wanted.encode()) for one in signatures.split(" "))


def store(event, body):
    """False if it is there already.  It is on disk, whole, before it has its name."""
    part = inbox / f"{event}.{threading.get_ident()}.part"
    with open(part, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(part, inbox / event)
    except FileExistsError:
        return False
    finally:
        part.unlink()
    return True


def handle(event):
    """Your work.  It may be called again for the event in whose middle the process ended."""
    body = json.loads((inbox / event).read_bytes())
    print("handled", body["event"]["type"], event, flush=True)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal() or int(size) > BODY_BYTES_MAX:
            return self.answer(413)
        body = self.rfile.read(int(size))
        event, timestamp, signatures = (self.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
        if not re.fullmatch("[A-Za-z0-9_-]{1,100}", event) or not is_genuine(event, timestamp, signatures, body):
            print("refused", flush=True)
            return self.answer(401)
        if store(event, body):
            work.put(event)
        else:
            print("again", event, flush=True)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        """Lines of our own are enough."""


def work_on():
    while True:
        event = work.get()
        handle(event)
        (inbox / f"{event}.done").touch()


inbox.mkdir(exist_ok=True)
for left in sorted(path.name for path in inbox.iterdir() if not path.suffix):
    if not (inbox / f"{left}.done").exists():
        work.put(left)
threading.Thread(target=work_on, daemon=True).start()
server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
print(f"listening at http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
