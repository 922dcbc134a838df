#!/usr/bin/env python3
"""A receiver of webhooks in Python; README.md beside it says what it does.  It needs nothing but Python.

    WEBHOOK_SECRET=whsec_... python3 receiver.py [port [inbox]]
"""
import base64
import hashlib
import hmac
import json
import logging
import os
import queue
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BODY_BYTES_MAX = 2_000_000      # more than the "bytes" of your batches, and than the largest event
SECONDS_MAX = 300
secret = os.environ.get("WEBHOOK_SECRET", "")
key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
if not key:
    sys.exit("WEBHOOK_SECRET is missing")       # With an empty key everybody could sign.
port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
inbox = Path(sys.argv[2] if len(sys.argv) > 2 else "inbox")
work = queue.Queue()
logging.basicConfig(level=logging.INFO, format="%(message)s")       # Threads' lines do not mix, as those of print() do.
decoder = json.JSONDecoder(parse_int=float)     # int() refuses what has thousands of digits
gap = re.compile(r"[\s,]*")


def is_recent(timestamp):
    return re.fullmatch("[0-9]{1,12}", timestamp) is not None and abs(time.time() - int(timestamp)) <= SECONDS_MAX


def is_genuine(headers, body):
    """While a secret is being replaced there are two signatures; one that fits is enough."""
    request, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    wanted = b"v1," + base64.b64encode(hmac.digest(key, f"{request}.{timestamp}.".encode() + body, hashlib.sha256))
    signatures = headers.get("webhook-signature", "").split(" ")
    return is_recent(timestamp) and any(hmac.compare_digest(one.encode(), wanted) for one in signatures)


def members(body):
    """Of an array, of lines, or of the one value that came alone: each as it is read, and as it came."""
    text = body.decode()
    at = gap.match(text, 1 if text.startswith("[") else 0).end()
    while text[at:at + 1] not in ("", "]"):
        member, end = decoder.raw_decode(text, at)
        yield member, text[at:end]
        at = gap.match(text, end).end()


def events(headers, body):
    """The id, type and text of each.  A batch is told by its body, which is signed: X-Whisperer-Batch is not."""
    return [(member["event"]["uuid"], member["event"]["type"], text) for member, text in members(body)]


def store(event, event_type, text):
    """False if it is there already.  It is on disk, whole, before it has its name."""
    part = inbox / f"{event}.{threading.get_ident()}.part"
    try:
        with open(part, "w", encoding="utf-8", newline="") as file:
            file.write(f"{event_type}\n{text}")
            file.flush()
            os.fsync(file.fileno())
        os.link(part, inbox / event)
    except FileExistsError:
        return False
    finally:
        part.unlink(missing_ok=True)
    return True


def sync_names():
    folder = os.open(inbox, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def handle(event, event_type, text):
    """Your work.  It may be called again for the event in whose middle the process ended."""
    json.loads(text)
    logging.info("handled %s %s", event_type, event)


def receive(headers, body, is_genuine, events):
    """The status of the answer, and its body."""
    if not is_genuine(headers, body):
        logging.info("refused")
        return 401, b""
    try:
        came = events(headers, body)
        if not all(re.fullmatch("[A-Za-z0-9_-]{1,100}", event) for event, _, _ in came):
            return 400, b""
    except (ValueError, KeyError, TypeError, RecursionError):
        return 400, b""     # Signed, and not what this is for: another format, perhaps.
    failed = []
    for event, event_type, text in came:
        try:
            if store(event, event_type, text):
                work.put(event)
            else:
                logging.info("again %s", event)
        except OSError as error:
            logging.info("failed %s %s", event, error)
            failed.append(event)
    sync_names()
    if not failed:
        return 204, b""
    # Those alone come again.  What has no id of its own cannot be named, so all of its batch must.
    if len(failed) < len(came) and all(re.fullmatch("[0-9a-f]{32}", event) for event in failed):
        return 200, json.dumps({"failed": failed}).encode()
    return 500, b""


class Receiver(BaseHTTPRequestHandler):
    timeout = 30        # for who sends slowly, or nothing

    def do_POST(self):
        size = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,9}", size) or int(size) > BODY_BYTES_MAX:
            return self.answer(413, b"")
        body = self.rfile.read(int(size))
        try:
            self.answer(*receive(self.headers, body, self.is_genuine, self.events))
        except OSError as error:
            logging.info(error)
            self.answer(500, b"")       # It comes again.

    def answer(self, status, body):
        self.send_response(status)
        if body:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Lines of our own are enough."""


def work_on():
    while True:
        event = work.get()
        try:
            event_type, _, text = (inbox / event).read_bytes().decode().partition("\n")
            handle(event, event_type, text)
            (inbox / f"{event}.done").touch()
        except Exception:
            logging.exception(event)    # It is tried again at the next start, and keeps no other.


def serve(is_genuine, events):
    inbox.mkdir(exist_ok=True)
    for left in sorted(path.name for path in inbox.iterdir() if not path.suffix):
        if not (inbox / f"{left}.done").exists():
            work.put(left)
    threading.Thread(target=work_on, daemon=True).start()
    Receiver.is_genuine, Receiver.events = staticmethod(is_genuine), staticmethod(events)
    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    logging.info("listening at http://127.0.0.1:%d/", server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    serve(is_genuine, events)
