// node show.mjs LOG SECRET: prints each recorded request as it was received, and whether it verifies.
// Exit status 1 if one does not.
import { readFileSync } from 'node:fs';

import { verifyBody, verifyWebhook } from './signatures.mjs';

const [, , log, secret] = process.argv;
const lines = readFileSync(log, 'utf8').split('\n').filter(Boolean);
const say = (ok) => (ok ? 'verifies' : 'DOES NOT VERIFY');
let bad = 0;
for (const request of lines.map((line) => JSON.parse(line))) {
    console.log(`    ${request.method} ${request.path}`);
    for (let i = 0; i < request.headers.length; i += 2)
        console.log(`    ${request.headers[i]}: ${request.headers[i + 1]}`);
    console.log(`\n    ${request.body}\n`);
    const webhook = verifyWebhook(request, secret);
    const body = verifyBody(request, secret);
    bad += webhook && body ? 0 : 1;
    console.log(`    => webhook-signature ${say(webhook)}, X-Whisperer-Signature ${say(body)}\n`);
}
process.exit(bad > 0 ? 1 : 0);
