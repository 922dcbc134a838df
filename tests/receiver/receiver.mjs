// The receiver of tests and demo: a real HTTP server that records every request and answers as told.
//
//   node receiver.mjs --ready FILE --log FILE [--port PORT] [--key FILE --cert FILE [--client-ca FILE] [--tls-max VERSION] [--tls-options JSON] [--http1]] [--slam]
//
// It listens on 127.0.0.1, writes "port" to the ready file, and appends one JSON line per request to
// the log: {n, at_us, version, port, method, path, headers: [name, value, ...], open, body}.  A body that came as
// gzip is there as it was before, with sent_bytes, how many came.  at_us is taken when the
// last byte of the body has arrived; port is the client's, which tells connections apart; open is how many requests
// of the path had no answer then, this one among them.  With --client-ca a client must show a certificate of that authority,
// and the line has its subject: {..., client}.  The log is written before the answer is sent, so whoever saw an
// answer finds the line.  Over TLS it speaks HTTP/2 and HTTP/1.1, with --http1 the latter alone.
//
// What it answers is in the path; a script set by POST /control {"path": ..., "steps": [...]} wins.
//   /ok /status/500 /delay/1500 /hang /reset /fail-first/2/500/<any> /redirect /huge /drip
//   /late-first/150/<any> /flaky/10/500/<any> /cookie /echo/500/<any>, and those of hostile.mjs and credentials.mjs
import { closeSync, openSync, renameSync, writeFileSync, writeSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createSecureServer } from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';

import { answer, answerAtOnce, releaseHung, setScript } from './answers.mjs';
import { revoke } from './credentials.mjs';

const { values: options } = parseArgs({
    options: {
        ready: { type: 'string' },
        log: { type: 'string' },
        port: { type: 'string', default: '0' },
        key: { type: 'string' },
        cert: { type: 'string' },
        'tls-max': { type: 'string' },
        slam: { type: 'boolean' },
        http1: { type: 'boolean' },
        'client-ca': { type: 'string' },
        'tls-options': { type: 'string', default: '{}' },
        help: { type: 'boolean' },
    },
});
if (options.help || !options.ready || !options.log) {
    console.log('usage: node receiver.mjs --ready FILE --log FILE [--port PORT] [--key FILE --cert FILE [--client-ca FILE] [--tls-max VERSION] [--tls-options JSON] [--http1]] [--slam]');
    process.exit(options.help ? 0 : 2);
}

const open = new Map();
const log = openSync(options.log, 'a');
const utf8 = new TextDecoder('utf-8', { fatal: true });
let count = 0;
let pending = [];

function text(body) {
    try {
        return { body: utf8.decode(body) };
    } catch {
        return { body_base64: body.toString('base64') };
    }
}

function client(request) {
    return options['client-ca'] ? { client: request.socket.getPeerCertificate().subject?.CN } : {};
}

// One write for all requests of a turn of the event loop; then their answers.
function flush() {
    const batch = pending;
    pending = [];
    writeSync(log, batch.map((entry) => entry.line).join(''));
    for (const entry of batch) entry.respond();
}

function countOpen(path, response) {
    open.set(path, (open.get(path) ?? 0) + 1);
    response.on('close', () => open.set(path, open.get(path) - 1));
}

// As frameworks do before they hand a body on.
function decoded(request, sent) {
    if (request.headers['content-encoding'] !== 'gzip') return { body: sent };
    try {
        return { body: gunzipSync(sent), sent_bytes: sent.length };
    } catch (error) {
        return { body: sent, coding_error: error.message };
    }
}

function record(request, { body, ...coding }, respond) {
    const at_us = Math.round((performance.timeOrigin + performance.now()) * 1000);
    const headers = request.rawHeaders ?? Object.entries(request.headers).flat();
    const n = ++count;
    const line = JSON.stringify({ n, at_us, version: request.httpVersion, port: request.socket.remotePort, method: request.method, path: request.url, headers, open: open.get(request.url), ...client(request), ...coding, ...text(body) });
    pending.push({ line: line + '\n', respond: () => respond(n) });
    if (pending.length === 1) setImmediate(flush);
}

function control(body, response) {
    const command = JSON.parse(body.toString() || '{}');
    if (command.release) releaseHung();
    if (command.revoke) revoke(command.revoke);
    if (command.path) setScript(command.path, command.steps);
    response.writeHead(200);
    response.end(JSON.stringify({ count }));
}

function handle(request, response) {
    if (answerAtOnce(request, response)) return;
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('error', () => {});
    request.on('end', () => {
        const body = Buffer.concat(chunks);
        if (request.url === '/control') return control(body, response);
        countOpen(request.url, response);
        const came = decoded(request, body);
        record(request, came, (n) => answer(request, response, n, came.body));
    });
}

// An old version of TLS needs ciphers that are off by default.
function tls() {
    const files = { key: readFileSync(options.key), cert: readFileSync(options.cert) };
    const old = { minVersion: 'TLSv1', maxVersion: options['tls-max'], ciphers: 'DEFAULT@SECLEVEL=0' };
    const clients = options['client-ca'] && { ca: readFileSync(options['client-ca']), requestCert: true, rejectUnauthorized: true };
    return { allowHTTP1: true, ...files, ...(options['tls-max'] ? old : {}), ...clients, ...JSON.parse(options['tls-options']) };
}

const server = options.key
    ? (options.http1 ? createHttpsServer : createSecureServer)(tls(), handle)
    : createServer({ keepAliveTimeout: 60000 }, handle);
if (options.slam) server.on('connection', (socket) => socket.destroy());
server.on('clientError', (error, socket) => socket.destroy());
server.listen(Number(options.port), '127.0.0.1', () => {
    // Renamed into place, so that who sees the file can read all of it.
    writeFileSync(options.ready + '.new', String(server.address().port));
    renameSync(options.ready + '.new', options.ready);
});
process.on('SIGTERM', () => {
    closeSync(log);
    process.exit(0);
});
