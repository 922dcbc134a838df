// A receiver that does whatever a receiver may do, and the engine as its client; one invariant: what is said of a
// delivery is what was answered to its webhook-id.
//
//   node fuzz.mjs --client PROGRAM --folder FOLDER [--seconds 60] [--seed N] [--events 4000]
//
// The requests' time is so long that none of them ends by it, however busy the machine is.  Each round is a new engine and new ports, plain and TLS, half of them polite (see answers.mjs).  Prints a line for each
// difference, and in the end how many answers there were; the exit status is that of the invariant.
import { spawn, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { generator, plan, staleStatus } from './answers.mjs';
import { serve as serveHttp2 } from './http2.mjs';

const { values: options } = parseArgs({
    options: { client: { type: 'string' }, folder: { type: 'string' }, seconds: { type: 'string', default: '60' }, events: { type: 'string', default: '4000' }, seed: { type: 'string' } },
});
const firstSeed = Number(options.seed ?? Math.floor(Math.random() * 1e9));
const end = Date.now() + 1000 * Number(options.seconds);
// So long after bytes that nobody asked for were sent, a request may begin that has not seen them.
const unseenMs = 30;
const total = { answers: 0, again: 0, overtaken: 0, differences: 0, rounds: 0, http2: 0 };

const key = `${options.folder}/key`;
const certificate = `${options.folder}/crt`;
execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '9', '-subj', '/CN=fuzz', '-addext', 'subjectAltName=IP:127.0.0.1',
    '-keyout', key, '-out', certificate], { stdio: 'ignore' });

// webhook-id -> what may be said of it, a list for each request
let seen = new Map();
// webhook-id -> the connection on which something came behind its answer, or behind those of requests since
let lateBehind = new Map();

function end_of(socket, how) {
    if (how === 'reset' && socket.resetAndDestroy && !socket.encrypted) socket.resetAndDestroy();
    else if (how === 'reset') socket.destroy();
    else socket.end();
}

function carry_out(socket, state, what, entry) {
    const [step, ...rest] = what.steps;
    if (socket.destroyed) {
        entry.allowed = [0, ...entry.allowed];
        return;
    }
    if (step) {
        const write = () => {
            if (!socket.destroyed) socket.write(step[1], 'latin1');
            carry_out(socket, state, { ...what, steps: rest }, entry);
        };
        if (step[0] > 0) setTimeout(write, step[0]);
        else write();
        return;
    }
    state.busy = false;
    if (what.end !== 'keep') {
        state.over = true;
        return end_of(socket, what.end);
    }
    if (what.more) state.late = Date.now();
    const id = state.id;
    if (what.late)
        setTimeout(() => {
            // Where the next request has begun it would be an answer to that one.  A write behind the end has Node
            // destroy the socket, with what was written before.
            if (state.busy || state.over || state.data.length > 0 || socket.destroyed) return;
            state.late = Infinity;
            lateBehind.set(id, state);
            socket.write(what.late[1], 'latin1', () => (state.late = Date.now()));
        }, what.late[0]);
    take(socket, state);
}

// A plan in a line: of a character that comes many times, how many.
function brief({ plan }) {
    return JSON.stringify(plan).replace(/(.)\1{9,}/g, (run, one) => `${one}*${run.length}`);
}

function note(id, entry) {
    if (!seen.has(id)) seen.set(id, []);
    seen.get(id).push(entry);
}

function take(socket, state) {
    if (state.busy || state.over) return;
    const head = state.data.indexOf('\r\n\r\n');
    if (head < 0) return;
    const length = Number(/content-length: (\d+)/i.exec(state.data.slice(0, head))[1]);
    const id = /webhook-id: (\w+)/i.exec(state.data.slice(0, head))[1];
    state.plan ??= plan(state.random, id, state.manners);
    const whole = head + 4 + length;
    if (!state.plan.early && state.data.length < whole) return;
    if (state.data.length < whole) state.skip = whole - state.data.length;
    state.data = state.data.slice(whole);
    const what = state.plan;
    state.plan = undefined;
    // Its answer would be taken for the next one's, and that one's for the one behind it.
    const late = state.late !== undefined;
    const entry = { allowed: late ? [0] : what.allowed, spoiled: what.spoiled, behind: late ? state : undefined, where: `port ${state.port}, request ${++state.taken}`, plan: what };
    note(id, entry);
    if (late) {
        state.over = true;
        socket.destroy();
        return;
    }
    state.busy = true;
    state.id = id;
    // What comes in one piece with the last chunk, and with an answer without a body, libcurl may read along and drop.
    state.drops = [204, 304].includes(what.allowed.at(-1)) || what.steps.map((step) => step[1]).join('').includes('Transfer-Encoding: chunked');
    carry_out(socket, state, what, entry);
}

function listen(random, manners, secure, http2) {
    const serve = (socket) => {
        if (socket.alpnProtocol === 'h2') {
            serveHttp2(socket, random, note);
            total.http2++;
            return;
        }
        const state = { data: '', skip: 0, busy: false, random, manners, port: socket.remotePort, taken: 0 };
        socket.setNoDelay(true);
        socket.on('error', () => {});
        socket.on('data', (piece) => {
            const skipped = Math.min(state.skip, piece.length);
            state.skip -= skipped;
            state.data += piece.subarray(skipped).toString('latin1');
            take(socket, state);
        });
    };
    const tls = secure && { ALPNProtocols: http2 ? ['h2', 'http/1.1'] : ['http/1.1'], key: readFileSync(key), cert: readFileSync(certificate) };
    const server = secure ? createTlsServer(tls, serve) : createServer(serve);
    server.on('tlsClientError', () => {});
    return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

// started: when the attempt began; what it found on its connection later may have come too late to be seen.
function differs(id, started, status, text) {
    const entries = seen.get(id) ?? [];
    const last = entries.at(-1);
    if (entries.length > 2) return `was sent ${entries.length} times`;
    if (entries.length === 2 && !entries[0].allowed.includes(0)) return 'was sent again although it was answered';
    if (status === staleStatus && started > (lateBehind.get(text)?.late ?? 0) + unseenMs) return 'went out behind what nobody asked for';
    // The receiver may never read the request, either.
    if (!last && (status === staleStatus || status === 408)) total.overtaken++;
    else if (!last) return status === 0 ? undefined : 'was never sent';
    if (!last) return undefined;
    if (entries.some((entry) => entry.behind && !entry.behind.drops && started > entry.behind.late + unseenMs)) return 'went out behind what nobody asked for';
    if (last.behind) {
        if (status !== 0) total.overtaken++;
        return undefined;
    }
    if (!last.allowed.includes(status)) return `may be ${last.allowed.join(' or ')}`;
    if (status !== 0 && !last.spoiled && text.slice(0, id.length) !== id.slice(0, text.length)) return 'has the text of another answer';
    return undefined;
}

async function round(seed) {
    const random = generator(seed);
    seen = new Map();
    lateBehind = new Map();
    const lines = [];
    const servers = [];
    for (const manners of ['polite', 'rude']) for (const secure of [false, true]) for (let n = 0; n < 3; n++) servers.push(await listen(random, manners, secure, secure && n > 0));
    const urls = servers.map((server, n) => `${n % 6 < 3 ? 'http' : 'https'}://127.0.0.1:${server.address().port}/`);
    const size = random.pick([10, 10, 1000, 100000]);
    const client = spawn(options.client, ['--count', options.events, '--bytes', String(size), '--timeout-ms', '60000', '--ca', certificate,
        ...urls, ...urls], { stdio: ['ignore', 'pipe', 'inherit'] });
    const status = new Promise((resolve) => client.on('close', (code, signal) => resolve(signal ?? code)));
    for await (const line of createInterface({ input: client.stdout })) {
        const again = /(\d+) sent again/.exec(line);
        if (again) total.again += Number(again[1]);
        if (!line.startsWith('#')) lines.push(line);
    }
    const ended = await status;
    for (const line of lines) {
        const [id, hook, , started, said, error, text] = line.split('\t');
        total.answers++;
        const why = differs(id, Number(started) / 1000, Number(said), text);
        if (why === undefined) continue;
        total.differences++;
        console.log(`seed ${seed}, hook ${hook} (${urls[(hook - 1) % urls.length]}), ${id}: ${said} ${error || text.slice(0, 60)}, but it ${why}`);
        for (const entry of seen.get(id) ?? []) console.log(`    ${entry.where ?? 'HTTP/2'}: ${brief(entry)}`);
        if (Number(said) === staleStatus) for (const entry of seen.get(text) ?? []) console.log(`    behind ${text}, ${entry.where}: ${brief(entry)}`);
    }
    if (ended !== 0) {
        total.differences++;
        console.log(`seed ${seed}: the client ended with ${ended}`);
    }
    for (const server of servers) server.close();
}

for (let seed = firstSeed; total.rounds === 0 || Date.now() < end; seed++) {
    await round(seed);
    total.rounds++;
}
console.log(`${total.answers} answers, ${total.differences} differences; ${total.rounds} rounds from seed ${firstSeed}, ${total.again} sent again, ${total.overtaken} overtaken, ${total.http2} connections of HTTP/2`);
process.exit(total.differences > 0 ? 1 : 0);
