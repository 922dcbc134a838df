// node cloudevents.mjs LOG FOLDER: reads each recorded request with npm's cloudevents, which was installed in the
// folder, and prints the event that it finds as a line of JSON.  What it does not accept ends this.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { bytes } from './signatures.mjs';

const [, , log, folder] = process.argv;
const { HTTP } = createRequire(`${folder}/`)('cloudevents');

for (const line of readFileSync(log, 'utf8').trim().split('\n').filter(Boolean)) {
    const request = JSON.parse(line);
    if (!/\/cloudevents/.test(request.path)) continue;
    const headers = {};
    for (let i = 0; i < request.headers.length; i += 2) headers[request.headers[i].toLowerCase()] = request.headers[i + 1];
    for (const event of [HTTP.toEvent({ headers, body: bytes(request).toString('utf8') })].flat()) {
        event.validate();
        console.log(JSON.stringify({ path: request.path, event }));
    }
}
