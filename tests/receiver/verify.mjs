// node verify.mjs LOG SECRET [FOLDER]: says of each recorded request whether both signatures verify.
// With FOLDER, npm's standardwebhooks that was installed there is asked as well.
// Exit status 1 if one does not verify, or if there is no request.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { bytes, header, verifyBody, verifyWebhook } from './signatures.mjs';

const [, , log, secret, folder] = process.argv;
const requests = readFileSync(log, 'utf8').trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));
const library = folder && createRequire(`${folder}/`)('standardwebhooks').Webhook;

function byLibrary(request) {
    const whsec = secret.startsWith('whsec_') ? secret : 'whsec_' + Buffer.from(secret).toString('base64');
    const headers = Object.fromEntries(['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [name, header(request, name)]));
    try {
        new library(whsec).verify(bytes(request), headers);
        return true;
    } catch (error) {
        console.log(`standardwebhooks: ${error.message}`);
        return false;
    }
}

let bad = 0;
for (const request of requests) {
    const results = { 'webhook-signature': verifyWebhook(request, secret), 'X-Whisperer-Signature': verifyBody(request, secret) };
    if (library) results.standardwebhooks = byLibrary(request);
    const good = Object.values(results).every(Boolean);
    bad += good ? 0 : 1;
    const said = Object.entries(results).map(([name, ok]) => `${name} ${ok ? 'verified' : 'WRONG'}`);
    console.log(`${request.n} ${request.path} ${said.join(', ')}`);
}
process.exit(bad > 0 || requests.length === 0 ? 1 : 0);
