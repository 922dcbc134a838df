// What a receiver may do with one request: a plan of bytes and moments, and what may be said of it.
//
// plan(random, id, manners) gives { early, steps, late, more, end, allowed, spoiled }:
//   early    answer when the head is there, not the body
//   steps    [[wait_ms, bytes], ...]
//   late     [wait_ms, bytes], behind the answer, that nobody asked for; or undefined
//   more     such bytes were in one write with the answer's end, which may be split
//   end      'keep', 'close' or 'reset'
//   allowed  the statuses that the engine may report, 0: none
//   spoiled  its text may be anything
// An answer's body begins with the id, so that a difference shows in the text, too.

export const staleStatus = 299;
// So much on its way, and the end of a write may come after its begin.
const splits = 10000;

// Small and fast; the same seed gives the same run.
export function generator(seed) {
    let state = seed >>> 0;
    const next = () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let t = Math.imul(state ^ (state >>> 15), state | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const below = (n) => Math.floor(next() * n);
    return { below, chance: (p) => next() < p, pick: (list) => list[below(list.length)] };
}

const statuses = [200, 200, 200, 201, 202, 204, 206, 301, 304, 400, 401, 404, 409, 410, 413, 429, 500, 502, 503, 599];
const reasons = ['OK', '', 'a reason', 'x'.repeat(200)];
const names = ['X-A', 'x-b', 'ETag', 'Retry-After', 'Set-Cookie', 'Server', 'Content-Type', 'Warning', 'X-' + 'n'.repeat(60)];
const values = ['', '1', 'a, b', '"quoted"', 'x'.repeat(500), '\u00e9', '5', 'text/plain', ' spaced '];
const noBody = (status) => status === 204 || status === 304;

function headers(random) {
    const lines = [];
    for (let n = random.below(6); n > 0; n--) lines.push(`${random.pick(names)}:${random.pick(['', ' ', '\t'])}${random.pick(values)}`);
    return lines;
}

function chunks(random, body) {
    let text = '';
    for (let at = 0; at < body.length; ) {
        const size = 1 + random.below(body.length - at);
        text += `${size.toString(16)}${random.pick(['', ';x=y'])}\r\n${body.slice(at, at + size)}\r\n`;
        at += size;
    }
    return text + '0\r\n' + random.pick(['', '', 'X-Trailer: t\r\n']) + '\r\n';
}

// A whole answer: its head, and all of it; whether its end is only that of the connection.
function answer(random, status, id) {
    const lines = headers(random);
    const body = noBody(status) ? '' : id + ' ' + 'b'.repeat(random.pick([0, 10, 1000, 20000]));
    const framing = noBody(status) ? 'none' : random.pick(['length', 'length', 'chunked', 'until-close']);
    if (framing === 'length') lines.push(random.pick(['Content-Length: ', 'content-length:']) + body.length);
    if (framing === 'chunked') lines.push('Transfer-Encoding: chunked');
    if (framing === 'until-close') lines.push('Connection: close');
    let interim = '';
    for (let n = random.chance(0.1) ? 1 + random.below(3) : 0; n > 0; n--)
        interim += random.pick(['HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n']);
    const head = `${interim}HTTP/1.1 ${status} ${random.pick(reasons)}\r\n${lines.map((line) => line + '\r\n').join('')}\r\n`;
    return { head, text: head + (framing === 'chunked' ? chunks(random, body) : body), closes: framing === 'until-close' };
}

function cut(random, text) {
    const steps = [];
    for (let at = 0; at < text.length; ) {
        const size = random.chance(0.5) ? text.length - at : 1 + random.below(Math.min(text.length - at, random.pick([3, 50, 5000])));
        steps.push([random.pick([0, 0, 0, 1, 3, random.below(15)]), text.slice(at, at + size)]);
        at += size;
        if (steps.length > 8) steps.push([0, text.slice(at)]), (at = text.length);
    }
    return steps;
}

function spoil(random, head) {
    const begin = head.indexOf('\r\n') + 2;
    const at = begin + random.below(Math.max(1, head.length - begin));
    const bytes = random.pick(['\0', '\r', '\n', ':', '\x7f', '\xff', 'Content-Length: -1\r\n', 'Content-Length: 3\r\nContent-Length: 4\r\n', 'Transfer-Encoding: gzip\r\n']);
    return head.slice(0, at) + bytes + head.slice(at + random.below(2));
}

const beyond = (random, id) =>
    random.pick(['\r\n', 'and more', '{"ok":true}', 'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.0 408 Request Time-out\r\nConnection: close\r\n\r\n',
        `HTTP/1.1 ${staleStatus} Stale\r\nContent-Length: ${id.length}\r\n\r\n${id}`]);

// manners: 'polite' sends nothing but answers, whole or not; 'rude' more than that.
export function plan(random, id, manners) {
    const status = random.pick(statuses);
    const { head, text, closes } = answer(random, status, id);
    const early = random.chance(0.1);
    const whole = { early, steps: cut(random, text), end: closes ? 'close' : random.pick(['keep', 'keep', 'keep', 'keep', 'close']), allowed: [status] };
    const kind = random.below(100);
    if (kind < 6) {
        const kept = text.slice(0, random.below(text.length + 1));
        const end = random.pick(['close', 'reset']);
        const told = kept.length >= head.length;
        // What is reset may be lost on its way.
        return { early, steps: cut(random, kept), end, allowed: end === 'reset' ? [0, status] : told ? [status] : [0] };
    }
    if (kind < 8) return { early, steps: [], end: random.pick(['close', 'reset']), allowed: [0] };
    // At once: what is spoiled may be read as an answer and the begin of another, which would race with the next request.
    if (kind < 10) return { early, steps: [[0, spoil(random, head) + text.slice(head.length)]], end: 'close', allowed: [0, status], spoiled: true };
    if (kind < 11) return { early, spoiled: true, steps: [[0, random.pick(['hello\r\n', '\0\x01', 'HTTP/9.9 200 OK\r\n\r\n', '<html>'])]], end: 'close', allowed: [0, 200] };
    if (manners === 'rude' && kind < 20 && !closes) {
        const more = beyond(random, id);
        // In one write with the answer's end, or it would race with the next request.
        const rest = text.length - 1 - random.below(Math.min(text.length, 40));
        if (random.chance(0.5)) return { ...whole, steps: [...cut(random, text.slice(0, rest)), [0, text.slice(rest) + more]], more: text.length > splits, end: 'keep' };
        return { ...whole, end: 'keep', late: [random.below(40), more] };
    }
    return whole;
}
