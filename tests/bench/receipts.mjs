// node receipts.mjs LOG: of each request, the second at which it arrived (since 1970, with a fraction) and
// its webhook-id.
import { readFileSync } from 'node:fs';

import { header } from '../receiver/signatures.mjs';

for (const line of readFileSync(process.argv[2], 'utf8').split('\n').filter(Boolean)) {
    const request = JSON.parse(line);
    console.log((request.at_us / 1e6).toFixed(6), header(request, 'webhook-id'));
}
