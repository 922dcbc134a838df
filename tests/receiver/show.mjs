// node show.mjs LOG SECRET: prints each recorded request as it was received, and whether it verifies.
import { readFileSync } from 'node:fs';

import { verifyBody, verifyWebhook } from './signatures.mjs';

const [, , log, secret] = process.argv;
const lines = readFileSync(log, 'utf8').split('\n').filter(Boolean);
for (const request of lines.map((line) => JSON.parse(line))) {
    console.log(`    ${request.method} ${request.path}`);
    for (let i = 0; i < request.headers.length; i += 2)
        console.log(`    ${request.headers[i]}: ${request.headers[i + 1]}`);
    console.log(`\n    ${request.body}\n`);
    const say = (ok) => (ok ? 'verifies' : 'DOES NOT VERIFY');
    console.log(`    => webhook-signature ${say(verifyWebhook(request, secret))}, X-Whisperer-Signature ${say(verifyBody(request, secret))}\n`);
}
