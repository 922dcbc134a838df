// The receiver for hooks with another format or signature; README.md beside it lists them.
//
//     WEBHOOK_SECRET=... WEBHOOK_FORMAT=cloudevents WEBHOOK_SIGNATURE=github node kinds.mjs [port [inbox]]
//
// What your hook has is said here and not taken from the request: a header that no signature covers is anybody's word.
import { createHmac, createPublicKey, verify } from 'node:crypto';
import * as receiver from './receiver.mjs';

const { isEqual, isRecent, members, secret } = receiver;
const { WEBHOOK_FORMAT: format = 'whisperer', WEBHOOK_SIGNATURE: signature = 'standard' } = process.env;

// The id, type and text of each.  What has no id of its own has that of its request.
function events(headers, body) {
    const here = headers['webhook-id'];
    const type = headers[format === 'cloudevents-binary' ? 'ce-type' : 'x-whisperer-event'] ?? '?';
    if (format === 'cloudevents-binary' || format === 'data') return [{ id: here, type, text: body.toString() }];
    if (format === 'form') return [{ id: here, type, text: JSON.stringify(Object.fromEntries(new URLSearchParams(body.toString()))) }];
    if (format === 'whisperer') return receiver.events(headers, body);
    return members(body).map((member, n, { length }) => {
        const id = length === 1 ? here : `${here}-${n}`;
        const text = JSON.stringify(member);
        if (format === 'data-batch') return { id, type, text };     // Of another name, since data may be an array, too.
        return { id: format === 'cloudevents' ? member.id : id, type: member.type, text };
    });
}

// The secret is the hook's public key, whpk_...
function isEd25519(headers, body) {
    const [request, timestamp, signatures] = ['id', 'timestamp', 'signature'].map((name) => headers[`webhook-${name}`] ?? '');
    const raw = Buffer.from(secret.replace(/^whpk_/, ''), 'base64');
    const key = createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]), format: 'der', type: 'spki' });
    const signed = Buffer.concat([Buffer.from(`${request}.${timestamp}.`), body]);
    return isRecent(timestamp) && signatures.split(' ').some((one) =>
        one.startsWith('v1a,') && verify(null, signed, key, Buffer.from(one.slice(4), 'base64')));
}

// Stripe's and Slack's have a time.  The others let pass whatever was recorded once: the inbox drops it.
function isGenuine(headers, body) {
    const said = (name) => headers[name] ?? '';
    const made = (before) => createHmac('sha256', secret).update(before).update(body);
    switch (signature) {
        case 'standard': return receiver.isGenuine(headers, body);
        case 'ed25519': return isEd25519(headers, body);
        case 'whisperer': return isEqual(said('x-whisperer-signature'), 'sha256=' + made('').digest('hex'));
        case 'github': return isEqual(said('x-hub-signature-256'), 'sha256=' + made('').digest('hex'));
        case 'shopify': return isEqual(said('x-shopify-hmac-sha256'), made('').digest('base64'));
        case 'slack': {
            const timestamp = said('x-slack-request-timestamp');
            return isRecent(timestamp) && isEqual(said('x-slack-signature'), 'v0=' + made(`v0:${timestamp}:`).digest('hex'));
        }
        case 'stripe': {    // t=...,v1=...,v1=...: two while a secret is being replaced
            const pairs = said('stripe-signature').split(',').map((pair) => pair.split('='));
            const timestamp = pairs.find(([name]) => name === 't')?.[1] ?? '';
            const wanted = made(`${timestamp}.`).digest('hex');
            return isRecent(timestamp) && pairs.some(([name, value]) => name === 'v1' && isEqual(value ?? '', wanted));
        }
    }
    return false;
}

receiver.serve({ isGenuine, events });
