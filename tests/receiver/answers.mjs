// What the receiver answers: by the path, or by a script for the path.
//
// A step of a script is what a path can say too: 'ok', 'status/500', 'delay/1500', 'hang', 'reset',
// 'redirect', 'cookie', 'huge', 'drip', and what hostile.mjs adds.  Steps are used one after the other; the last one stays.
import { hostile, hostileAtOnce } from './hostile.mjs';

import { credentialKinds } from './credentials.mjs';

const scripts = new Map();
const failures = new Map();
const hung = new Map();

export function setScript(path, steps) {
    if (steps && steps.length > 0) scripts.set(path, [...steps]);
    else scripts.delete(path);
}

export function releaseHung() {
    for (const [response, status] of hung) end(response, status);
    hung.clear();
}

function end(response, status, headers = {}, body = '') {
    if (response.destroyed || response.writableEnded) return;
    response.writeHead(status, headers);
    response.end(body);
}

const kinds = {
    ok: (response) => end(response, 200, {}, 'ok'),
    status: (response, [status, seconds]) =>
        end(response, Number(status), seconds ? { 'Retry-After': seconds } : {}, `status ${status}`),
    delay: (response, [milliseconds, status]) =>
        setTimeout(() => end(response, Number(status ?? 200), {}, 'late'), Number(milliseconds)),
    hang: (response, [status]) => hung.set(response, Number(status ?? 200)),
    reset: (response) => (response.socket ?? response.stream?.session)?.destroy(),
    redirect: (response, [port, status]) =>
        end(response, Number(status ?? 302), { Location: port ? `http://127.0.0.1:${port}/ok` : '/ok' }),
    cookie: (response) => end(response, 200, { 'Set-Cookie': 'session=secret; Path=/' }, 'ok'),
    huge: (response) => end(response, 200, {}, 'x'.repeat(10 * 1024 * 1024)),
    drip: (response) => {
        response.writeHead(200);
        const timer = setInterval(() => response.write('.'), 50);
        response.on('close', () => clearInterval(timer));
    },
    ...hostile,
};

function perform(response, step) {
    const [kind, ...rest] = step.split('/');
    (kinds[kind] ?? kinds.ok)(response, rest);
}

// fail-first/<times>/<status>/<anything>: per path and event, as attempts of one delivery count.
function failFirst(request, response, [times, status]) {
    const key = `${request.url} ${request.headers['webhook-id']}`;
    const failed = failures.get(key) ?? 0;
    failures.set(key, failed + 1);
    perform(response, failed < Number(times) ? `status/${status}` : 'ok');
}

// late-first/<milliseconds>/<anything>: all answers are late, and the first attempt fails of events whose
// id ends in 0, 1 or 2.  The checker knows which.
function lateFirst(request, response, [milliseconds]) {
    const id = request.headers['webhook-id'];
    const fails = /[012]$/.test(id) && !failures.has(`${request.url} ${id}`);
    failures.set(`${request.url} ${id}`, 1);
    perform(response, `delay/${milliseconds}/${fails ? 500 : 200}`);
}

// flaky/<percent>/<status>/<anything>: so many of all requests fail, by their numbers in the log, so
// that whoever reads the log knows which.
function flaky(response, [percent, status], number) {
    const chance = Number((BigInt(number) * 2654435761n) % 4294967296n) % 100;
    perform(response, chance < Number(percent) ? `status/${status}` : 'ok');
}

const has = (event, text) => JSON.stringify(event).includes(text);

// Of batches, as a JSON array.  refuse/<status>/<text>/<anything>: if the text is in the body.
// Choose one that no id has: an id has letters from a to f.
// name-failed/<status>/<text>/<anything>: says of which events it is.
const ofBatches = {
    refuse: (response, body, [status, text]) => perform(response, has(JSON.parse(body), text) ? `status/${status}` : 'ok'),
    'name-failed': (response, body, [status, text]) => {
        const failed = JSON.parse(body).filter((event) => has(event, text)).map((event) => event.event.uuid);
        end(response, Number(status), { 'Content-Type': 'application/json' }, JSON.stringify({ failed }));
    },
};

export function answer(request, response, number, body) {
    const path = request.url.split('?')[0];
    const script = scripts.get(path);
    if (script) return perform(response, script.length > 1 ? script.shift() : script[0]);
    const [kind, ...rest] = path.slice(1).split('/');
    if (credentialKinds[kind]) {
        const [status, text] = credentialKinds[kind](request.headers, body, rest.map(decodeURIComponent));
        return end(response, status, {}, text);
    }
    if (ofBatches[kind]) return ofBatches[kind](response, body.toString(), rest);
    // What was sent comes back: /echo/500/<anything>, or 200.
    if (kind === 'echo') return end(response, Number(rest[0]) || 200, {}, body);
    if (kind === 'fail-first') return failFirst(request, response, rest);
    if (kind === 'late-first') return lateFirst(request, response, rest);
    if (kind === 'flaky') return flaky(response, rest, number);
    perform(response, [kind, ...rest].join('/'));
}

// Before the body of the request is read; true: that was the answer.
export function answerAtOnce(request, response) {
    const [kind, ...rest] = request.url.slice(1).split('/');
    hostileAtOnce[kind]?.(response, rest);
    return kind in hostileAtOnce;
}
