// Verifies both signatures of a recorded request, from the specification, independently of the engine.
import { createHmac, timingSafeEqual } from 'node:crypto';

export function header(request, name) {
    for (let i = 0; i < request.headers.length; i += 2)
        if (request.headers[i].toLowerCase() === name) return request.headers[i + 1];
    return undefined;
}

// The bytes as they came.
export function bytes(request) {
    return request.body_base64 === undefined ? Buffer.from(request.body) : Buffer.from(request.body_base64, 'base64');
}

function same(a, b) {
    const left = Buffer.from(a ?? '');
    const right = Buffer.from(b ?? '');
    return left.length === right.length && timingSafeEqual(left, right);
}

// https://www.standardwebhooks.com: HMAC-SHA256 of id.timestamp.body, keyed with the decoded secret.
export function verifyWebhook(request, secret) {
    const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret);
    const signed = `${header(request, 'webhook-id')}.${header(request, 'webhook-timestamp')}.`;
    const expected = 'v1,' + createHmac('sha256', key).update(signed).update(bytes(request)).digest('base64');
    return (header(request, 'webhook-signature') ?? '').split(' ').some((given) => same(given, expected));
}

// X-Whisperer-Signature: HMAC-SHA256 of the body, keyed with the secret's text.
export function verifyBody(request, secret) {
    const expected = 'sha256=' + createHmac('sha256', secret).update(bytes(request)).digest('hex');
    return same(header(request, 'x-whisperer-signature'), expected);
}
