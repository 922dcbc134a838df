#!/usr/bin/env bash
# npm's cloudevents 10.0.0 (the CloudEvents project's SDK) over HTTP in binary mode: what an attribute says is not what arrives.
#
# Section 3.1.3.2 of the HTTP binding (CloudEvents 1.0.2) has a sender percent-encode every character of an attribute's value that is
# no printable ASCII, and space, quote and percent, and a receiver decode them.  The SDK does neither.  A subject "Zoë" that it sends by Node's own
# client arrives at itself as "ZoÃ«"; one with a euro sign Node refuses to send (ERR_INVALID_CHAR); one that was encoded as the binding says
# is read with its percent signs.  And a time with microseconds loses them in both directions.
#
#   findings/cloudevents_binary_headers.sh
#
# It needs node and npm, and the npm registry; the package is installed into a folder that goes away.  Traffic is on
# loopback.  Whisperer takes no part.  Exit status 0: the output is the one below.
set -euo pipefail
case ${1:-} in -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix "$work" cloudevents@10.0.0 >/dev/null

cat >meet.mjs <<'JS'
import http from 'node:http';
import { CloudEvent, HTTP } from 'cloudevents';

const base = { id: '1', source: '/shop', type: 'order-paid', time: '2026-11-28T10:00:00.123456Z', data: { n: 1 } };
let received;
const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (part) => (body += part)).on('end', () => {
        received = HTTP.toEvent({ headers: request.headers, body });
        response.end();
    });
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const post = (headers, body) =>
    new Promise((done, fail) => {
        const request = http.request({ port: server.address().port, host: '127.0.0.1', method: 'POST', headers }, (answer) => answer.resume().on('end', done));
        request.on('error', fail).end(body);
    });
for (const subject of ['order 7', 'Zoë', '10 €']) {
    const message = HTTP.binary(new CloudEvent({ ...base, subject }));
    try {
        await post(message.headers, message.body);
        console.log(`sent ${JSON.stringify(subject)} received ${JSON.stringify(received.subject)} time ${received.time}`);
    } catch (error) {
        console.log(`sent ${JSON.stringify(subject)} ${error.code}`);
    }
}
const { data, ...attributes } = base;
const encoded = Object.fromEntries(Object.entries({ ...attributes, specversion: '1.0', subject: 'Zo%C3%AB' }).map(([name, value]) => [`ce-${name}`, value]));
await post({ 'content-type': 'application/json', ...encoded }, JSON.stringify(data));
console.log(`sent by the binding "Zo%C3%AB" received ${JSON.stringify(received.subject)} time ${received.time}`);
server.close();
JS
node meet.mjs >seen
cat seen
cat >expected <<'O'
sent "order 7" received "order 7" time 2026-11-28T10:00:00.123Z
sent "Zoë" received "ZoÃ«" time 2026-11-28T10:00:00.123Z
sent "10 €" ERR_INVALID_CHAR
sent by the binding "Zo%C3%AB" received "Zo%C3%AB" time 2026-11-28T10:00:00.123Z
O
if cmp -s expected seen; then
    echo 'as described: attributes are neither encoded nor decoded, and times are cut to milliseconds'
else
    echo 'not as described: it should have been'; cat expected; exit 1
fi
