// What a receiver may send that crashes, is broken, is no HTTP server, or means harm.
//
// half-body half-head bad-head giant-header headers/<n> endless-headers drip-head endless-body gzip-bomb
// transfer-gzip-bomb bad-chunk big-chunk interim/<n> twice/<name> late/<ms> http09 binary no-length; before the request is read: early, drop,
// early-status/<status>, which reads on behind it and says when to come again.
import { gzipSync } from 'node:zlib';

// The peer may be gone by now, and its socket with it.
function raw(response, bytes) {
    response.socket?.end(bytes, 'latin1');
}

// Writes the piece for as long as somebody reads.
function forever(socket, head, piece) {
    if (!socket) return;
    const more = () => {
        while (!socket.destroyed && socket.write(piece, 'latin1'));
    };
    socket.on('drain', more);
    socket.write(head, 'latin1');
    more();
}

function drip(socket, head, piece) {
    if (!socket) return;
    socket.write(head, 'latin1');
    const timer = setInterval(() => socket.write(piece, 'latin1'), 50);
    socket.on('close', () => clearInterval(timer));
}

// They close the connection, and say so: another request on it would be a race.
const ok = 'HTTP/1.1 200 OK\r\nConnection: close\r\n';
const stale = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nSTALE';
const askedFor = new Set();
const bad = 'HTTP/1.1 500 Bad\r\nConnection: close\r\n';
// 50 MB in 50 kB.
let bomb;
const makeBomb = () => (bomb ??= gzipSync(Buffer.alloc(50 * 1024 * 1024)).toString('latin1'));

export const hostile = {
    'half-body': (response) => raw(response, ok + 'Content-Length: 100\r\n\r\nhalf'),
    'half-head': (response) => raw(response, ok + 'Content-Le'),
    'bad-head': (response) => raw(response, ok + '\x00\x01 no header\r\nContent-Length: -1\r\n\r\n'),
    'giant-header': (response) => raw(response, ok + 'X-Giant: ' + 'g'.repeat(10 * 1024 * 1024) + '\r\n\r\n'),
    headers: (response, [count]) => raw(response, ok + 'a: b\r\n'.repeat(Number(count)) + 'Content-Length: 2\r\n\r\nok'),
    'endless-headers': ({ socket }) => forever(socket, ok, 'X-Fill: ' + 'f'.repeat(1000) + '\r\n'),
    'drip-head': ({ socket }) => drip(socket, ok, 'X-Drip: d\r\n'),
    'endless-body': ({ socket }) => forever(socket, bad + '\r\n', 'b'.repeat(64 * 1024)),
    'gzip-bomb': (response) =>
        raw(response, bad + `Content-Encoding: gzip\r\nContent-Length: ${makeBomb().length}\r\n\r\n` + bomb),
    'transfer-gzip-bomb': (response) => raw(response, bad + 'Transfer-Encoding: gzip\r\n\r\n' + makeBomb()),
    'bad-chunk': (response) => raw(response, bad + 'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nZZZ\r\n\r\n'),
    'big-chunk': (response) => raw(response, bad + 'Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc'),
    interim: (response, [count]) => raw(response, 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(Number(count)) + ok + 'Content-Length: 2\r\n\r\nok'),
    // The first request is answered twice, on a connection that stays; all others are refused.
    twice: (response, [name]) => {
        if (askedFor.has(name)) return raw(response, 'HTTP/1.1 500 Not stored\r\nConnection: close\r\nContent-Length: 10\r\n\r\nnot stored');
        askedFor.add(name);
        // Two packets, so that the second answer is behind a body, not behind a head.
        response.socket?.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n');
        response.socket?.write('ok' + stale);
    },
    // Every request is answered twice, the second time a little later.
    late: (response, [ms]) => {
        response.socket?.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
        setTimeout(() => response.socket?.write('HTTP/1.1 299 Stale\r\nContent-Length: 5\r\n\r\nstale'), Number(ms));
    },
    http09: (response) => raw(response, 'hello, I am no HTTP server\r\n'),
    binary: (response) => raw(response, 'HTTP/1.1 500 \x00\xff\x1b[31m\r\nContent-Length: 9\r\n\r\na\x00b\xff\xfe\xc3(\xe2\x82'),
    'no-length': (response) => raw(response, bad + 'Content-Length: 99999999999999999999999\r\n\r\nx'),
};

export const hostileAtOnce = {
    early: (response) => raw(response, 'HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 9\r\n\r\ntoo large'),
    drop: (response) => response.socket?.destroy(),
    'early-status': (response, [status]) => {
        response.writeHead(Number(status), { 'Retry-After': '3600' });
        response.end('early ' + status);
    },
};
