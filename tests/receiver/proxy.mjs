// A proxy that behaves as told: the user's name in its URL says how.
//
//   node proxy.mjs --ready FILE --log FILE [--port PORT]
//
//   ok       CONNECT opens a tunnel, other requests are passed on
//   <digits> answers with that status, and closes
//   close    closes without an answer
//   hang     never answers
//   garbage  answers with what is not HTTP
//
// Each request is a line of JSON in the log: {method, url, headers: [names]}.
import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, request as open } from 'node:http';
import { connect } from 'node:net';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
    options: { ready: { type: 'string' }, log: { type: 'string' }, port: { type: 'string', default: '0' } },
});

function note(request) {
    const names = request.rawHeaders.filter((_, index) => index % 2 === 0);
    appendFileSync(options.log, JSON.stringify({ method: request.method, url: request.url, headers: names }) + '\n');
}

function userOf(request) {
    const [, credentials] = (request.headers['proxy-authorization'] ?? '').split(' ');
    return Buffer.from(credentials ?? '', 'base64').toString().split(':')[0] || 'ok';
}

// True: that was the answer.
function answerOtherwise(user, socket) {
    if (user === 'ok') return false;
    if (user === 'close') socket.destroy();
    else if (user === 'garbage') socket.end('220 mail.example ESMTP\r\n\r\n');
    else if (/^\d+$/.test(user)) {
        const lines = [`HTTP/1.1 ${user} Told So`, 'Proxy-Authenticate: Basic realm="proxy"', 'Content-Length: 5', 'Connection: close'];
        socket.end(lines.join('\r\n') + '\r\n\r\nproxy');
    }
    return true;
}

const server = createServer((request, response) => {
    note(request);
    request.resume();
    if (answerOtherwise(userOf(request), request.socket)) return;
    const { hostname, port, pathname } = new URL(request.url);
    const onward = open({ hostname, port, path: pathname, method: request.method, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
    });
    onward.on('error', () => response.writeHead(502).end());
    request.pipe(onward);
});

server.on('connect', (request, socket, head) => {
    note(request);
    socket.on('error', () => {});
    if (answerOtherwise(userOf(request), socket)) return;
    const [, host, port] = request.url.match(/^\[?(.*?)\]?:(\d+)$/);
    const onward = connect(Number(port), host, () => {
        socket.write('HTTP/1.1 200 Connected\r\n\r\n');
        onward.write(head);
        onward.pipe(socket);
        socket.pipe(onward);
    });
    onward.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n'));
});

server.listen(Number(options.port), '127.0.0.1', () => {
    writeFileSync(`${options.ready}.new`, String(server.address().port));
    renameSync(`${options.ready}.new`, options.ready);
});
