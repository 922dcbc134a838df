#!/usr/bin/env python3
"""The receiver for hooks with another format or signature; README.md beside it lists them.

    WEBHOOK_SECRET=... WEBHOOK_FORMAT=cloudevents WEBHOOK_SIGNATURE=github python3 kinds.py [port [inbox]]

What your hook has is said here and not taken from the request: a header that no signature covers is anybody's word.
"""
import base64
import hashlib
import hmac
import json
import os
from urllib.parse import parse_qsl

import receiver
from receiver import is_recent, members, secret

FORMAT = os.environ.get("WEBHOOK_FORMAT", "whisperer")
SIGNATURE = os.environ.get("WEBHOOK_SIGNATURE", "standard")


def events(headers, body):
    """The id, type and text of each.  What has no id of its own has that of its request."""
    here, text = headers.get("webhook-id", ""), body.decode()
    event_type = headers.get("ce-type" if FORMAT == "cloudevents-binary" else "X-Whisperer-Event", "?")
    if FORMAT in ("data", "cloudevents-binary"):
        return [(here, event_type, text)]
    if FORMAT == "form":
        return [(here, event_type, json.dumps(dict(parse_qsl(text, keep_blank_values=True, strict_parsing=text != ""))))]
    came = list(members(body))
    ids = [here] if len(came) == 1 else [f"{here}-{n}" for n in range(len(came))]
    if FORMAT == "standard":
        return [(event, member["type"], text) for event, (member, text) in zip(ids, came)]
    if FORMAT == "data-batch":      # Of another name, since data may be an array, too.
        return [(event, event_type, text) for event, (_, text) in zip(ids, came)]
    if FORMAT == "cloudevents":
        return [(member["id"], member["type"], text) for member, text in came]
    return receiver.events(headers, body)


def is_ed25519(headers, body):
    """The secret is the hook's public key, whpk_...; of all kinds this alone needs a library, cryptography."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(secret.removeprefix("whpk_")))
    timestamp = headers.get("webhook-timestamp", "")
    signed = f"{headers.get('webhook-id', '')}.{timestamp}.".encode() + body
    for one in headers.get("webhook-signature", "").split(" "):
        try:
            if one.startswith("v1a,") and is_recent(timestamp):
                key.verify(base64.b64decode(one[4:]), signed)
                return True
        except (InvalidSignature, ValueError):
            pass
    return False


def is_genuine(headers, body):
    """Stripe's and Slack's have a time.  The others let pass whatever was recorded once: the inbox drops it."""
    if SIGNATURE == "standard":
        return receiver.is_genuine(headers, body)
    if SIGNATURE == "ed25519":
        return is_ed25519(headers, body)
    timestamp, before, shown = None, "", []
    if SIGNATURE == "whisperer":
        form, shown = "sha256={hex}", [headers.get("X-Whisperer-Signature", "")]
    elif SIGNATURE == "github":
        form, shown = "sha256={hex}", [headers.get("X-Hub-Signature-256", "")]
    elif SIGNATURE == "shopify":
        form, shown = "{base64}", [headers.get("X-Shopify-Hmac-Sha256", "")]
    elif SIGNATURE == "slack":
        timestamp = headers.get("X-Slack-Request-Timestamp", "")
        form, before, shown = "v0={hex}", f"v0:{timestamp}:", [headers.get("X-Slack-Signature", "")]
    elif SIGNATURE == "stripe":         # t=...,v1=...,v1=...: two while a secret is being replaced
        pairs = [pair.partition("=") for pair in headers.get("Stripe-Signature", "").split(",")]
        timestamp = next((value for name, _, value in pairs if name == "t"), "")
        form, before, shown = "{hex}", f"{timestamp}.", [value for name, _, value in pairs if name == "v1"]
    made = hmac.digest(secret.encode(), before.encode() + body, hashlib.sha256)
    wanted = form.format(hex=made.hex(), base64=base64.b64encode(made).decode()).encode()
    return (timestamp is None or is_recent(timestamp)) and any(hmac.compare_digest(one.encode(), wanted) for one in shown)


if __name__ == "__main__":
    receiver.serve(is_genuine, events)
