// A receiver's side of an HTTP/2 connection that does whatever one may do.  node speaks the protocol; what it writes is
// cut, delayed, and mixed with frames that nobody asked for.
//
// serve(socket, random, note): note(id, entry) is told of every request; the entry has
//   allowed  the statuses that the engine may report, 0: none
//   plan     what was done, for people
import { constants, performServerHandshake } from 'node:http2';
import { Duplex } from 'node:stream';

const statuses = [200, 200, 200, 201, 202, 204, 304, 400, 404, 410, 413, 429, 500, 503];
const codes = ['NGHTTP2_NO_ERROR', 'NGHTTP2_INTERNAL_ERROR', 'NGHTTP2_CANCEL', 'NGHTTP2_ENHANCE_YOUR_CALM', 'NGHTTP2_REFUSED_STREAM'];
const noBody = (status) => status === 204 || status === 304;

function frame(type, flags, stream, payload) {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
}

// Frames that change nothing: of a type that nobody knows, a ping, a larger window, settings.
const harmless = (random) =>
    random.pick([() => frame(0x40 + random.below(100), random.below(256), random.below(9), Buffer.alloc(random.below(60))),
        () => frame(6, 0, 0, Buffer.alloc(8, random.below(256))), () => frame(8, 0, 0, Buffer.from([0, 0, 0, 1 + random.below(200)])),
        () => frame(4, 0, 0, Buffer.alloc(0))])();

// Passes on what node writes, in pieces and late.
class Cutter extends Duplex {
    constructor(socket, random) {
        super();
        this.socket = socket;
        this.random = random;
        this.frames = 0;
        this.head = []; // of the frame that has begun
        this.left = 0; // of its payload
        socket.on('data', (data) => this.push(data) || socket.pause());
        socket.on('end', () => this.push(null));
        socket.on('error', () => this.destroy());
        socket.on('close', () => this.destroy());
    }
    _read() {
        this.socket.resume();
    }
    // Follows the frames; another may come only between two.
    ends_a_frame(data) {
        for (let at = 0; at < data.length; ) {
            if (this.left > 0) {
                const part = Math.min(this.left, data.length - at);
                this.left -= part;
                at += part;
            } else if (this.head.push(data[at++]) === 9) {
                this.left = (this.head[0] << 16) | (this.head[1] << 8) | this.head[2];
                this.head = [];
                this.frames++;
            }
        }
        return this.left === 0 && this.head.length === 0;
    }
    _write(data, encoding, done) {
        const { random, socket } = this;
        let whole = Buffer.from(data, encoding);
        // The settings come first.
        const isFirst = this.frames === 0;
        if (this.ends_a_frame(whole) && !isFirst && random.chance(0.1)) whole = Buffer.concat([whole, harmless(random)]);
        const next = (at) => {
            if (socket.destroyed) return done();
            const size = random.chance(0.7) ? whole.length : 1 + random.below(Math.min(whole.length - at, 300));
            socket.write(whole.subarray(at, at + size));
            if (at + size >= whole.length) return done();
            const wait = random.pick([0, 0, 1, 4]);
            return wait > 0 ? setTimeout(next, wait, at + size) : setImmediate(next, at + size);
        };
        next(0);
    }
    _final(done) {
        this.socket.end(done);
    }
    _destroy(error, done) {
        this.socket.destroy();
        done(error);
    }
}

function plan(random) {
    const kind = random.below(100);
    const status = random.pick(statuses);
    return {
        status,
        early: random.chance(0.15),
        interim: random.chance(0.1) ? 1 + random.below(3) : 0,
        body: noBody(status) ? 0 : random.pick([0, 10, 1000, 20000]),
        trailers: random.chance(0.1),
        // Where it ends: refused before, or broken off within; the stream, or the connection.
        end: kind < 4 ? 'refuse' : kind < 8 ? 'reset' : kind < 9 ? 'destroy' : kind < 11 ? 'go away' : kind < 12 ? 'reset behind' : 'whole',
        code: constants[random.pick(codes)],
    };
}

function answer(stream, id, what, random, entry) {
    const later = (act) => {
        const wait = random.pick([0, 0, 1, random.below(10)]);
        const safely = () => !stream.destroyed && !stream.closed && act();
        return wait > 0 ? setTimeout(safely, wait) : safely();
    };
    if (what.end === 'refuse') return stream.close(constants.NGHTTP2_REFUSED_STREAM);
    if (what.end === 'destroy') return later(() => stream.session.destroy());
    if (what.end === 'reset' && random.chance(0.3)) return later(() => stream.close(what.code));
    for (let n = 0; n < what.interim; n++) stream.additionalHeaders({ ':status': 103, link: '</a>' });
    const body = noBody(what.status) ? '' : `${id} ${'b'.repeat(what.body)}`;
    const headers = { ':status': what.status, 'x-a': 'v'.repeat(random.pick([0, 5, 500])) };
    if (random.chance(0.5) && !noBody(what.status)) headers['content-length'] = body.length;
    stream.respond(headers, { waitForTrailers: what.trailers && body.length > 0, endStream: body.length === 0 });
    if (what.trailers) stream.on('wantTrailers', () => !stream.destroyed && stream.sendTrailers({ 'x-trailer': 't' }));
    if (what.end === 'go away') stream.session.goaway(constants.NGHTTP2_NO_ERROR);
    if (body.length === 0) return entry;
    if (what.end === 'reset') return later(() => stream.close(what.code));
    const half = random.below(body.length);
    stream.write(body.slice(0, half));
    return later(() => {
        stream.end(body.slice(half));
        // The answer is whole, the request need not be.
        if (what.end === 'reset behind') stream.on('finish', () => stream.close(constants.NGHTTP2_NO_ERROR));
    });
}

export function serve(socket, random, note) {
    const session = performServerHandshake(new Cutter(socket, random));
    const all = [];
    session.on('error', () => {});
    session.on('goaway', () => {});
    // What ended just now may have been on its way still.
    session.on('close', () => all.forEach((entry) => entry.endedAt > Date.now() - 2000 && entry.allowed.push(0)));
    session.on('stream', (stream, headers) => {
        const what = plan(random);
        const id = headers['webhook-id'];
        const entry = { allowed: [what.status], plan: what, endedAt: Infinity };
        if (['refuse', 'reset', 'destroy', 'go away'].includes(what.end) || session.isLeaving) entry.allowed.push(0);
        if (what.end === 'go away') session.isLeaving = true;
        all.push(entry);
        note(id, entry);
        stream.on('error', () => {});
        stream.on('close', () => {
            // Whatever node made of it: an error is one for the client, too.
            if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || !stream.writableFinished) entry.allowed.push(0);
            entry.endedAt = Date.now();
        });
        const begin = () => !stream.destroyed && !stream.closed && answer(stream, id, what, random, entry);
        if (what.early) begin();
        else stream.on('end', begin);
        stream.resume();
    });
}
