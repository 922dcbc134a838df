// Asks for one URL over so many connections for so many seconds; prints the rate and what it took.
//
//   node load.mjs URL TOKEN CONNECTIONS SECONDS
//
// On bare sockets: node's own HTTP client would cost more than the gateway.
import { connect } from 'node:net';

const [url, token, connections, seconds] = process.argv.slice(2);
const { hostname, port, pathname, search } = new URL(url);
const request = `GET ${pathname}${search} HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: Token ${token}\r\n\r\n`;
const times = [];
let bad = 0;
let ended = false;

function run() {
    const socket = connect(Number(port), hostname);
    let begun;
    let text = '';
    const ask = () => {
        text = '';
        begun = performance.now();
        socket.write(request);
    };
    socket.setNoDelay(true);
    socket.on('connect', ask);
    socket.on('data', (data) => {
        text += data.toString('latin1');
        const head = text.indexOf('\r\n\r\n');
        if (head < 0 || text.length < head + 4 + Number(/Content-Length: (\d+)/.exec(text)?.[1] ?? 0)) return;
        times.push(performance.now() - begun);
        if (!text.startsWith('HTTP/1.1 200 ')) bad++;
        if (ended) socket.end();
        else ask();
    });
    socket.on('error', () => bad++);
    socket.on('close', () => { if (!ended) run(); }); // the gateway ends a connection after a thousand requests
}

const begun = performance.now();
for (let i = 0; i < Number(connections); i++) run();
setTimeout(() => {
    ended = true;
    const took_s = (performance.now() - begun) / 1000;
    times.sort((a, b) => a - b);
    const at = (share) => times[Math.floor(times.length * share)].toFixed(1);
    console.log(`${Math.round(times.length / took_s)} requests/s, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, ${bad} bad`);
    setTimeout(() => process.exit(bad > 0 ? 1 : 0), 200);
}, Number(seconds) * 1000);
