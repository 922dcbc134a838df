// node arrivals.mjs LOG SECONDS: of the requests to /ok/..., prints three lines: how many a second, and the
// median and 99th percentile of the milliseconds from recording (the time in the webhook-id) to arrival.
import { readFileSync } from 'node:fs';

import { header } from '../receiver/signatures.mjs';

const [, , log, seconds] = process.argv;

// UUIDv7: 48 bits of milliseconds, then 12 bits of a millisecond's fraction.
function recordedAt(id) {
    return parseInt(id.slice(0, 12), 16) + parseInt(id.slice(13, 16), 16) / 4096;
}

const waits = readFileSync(log, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line))
    .filter((request) => request.path.startsWith('/ok/'))
    .map((request) => request.at_us / 1000 - recordedAt(header(request, 'webhook-id')))
    .sort((a, b) => a - b);
const percentile = (share) => (waits[Math.floor(share * (waits.length - 1))] ?? NaN).toFixed(1);
console.log((waits.length / Number(seconds)).toFixed(0));
console.log(percentile(0.5));
console.log(percentile(0.99));
