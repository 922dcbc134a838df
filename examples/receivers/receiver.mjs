// A receiver of webhooks in JavaScript; README.md beside it says what it does.  It needs nothing but Node.js.
//
//     WEBHOOK_SECRET=whsec_... node receiver.mjs [port [inbox]]
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { link, open, unlink } from 'node:fs/promises';
import { createServer } from 'node:http';

const bodyBytesMax = 2_000_000;
const secret = process.env.WEBHOOK_SECRET;
const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret);
const [port = '8000', inbox = 'inbox'] = process.argv.slice(2);

// While a secret is being replaced there are two signatures; one that fits is enough.
function isGenuine(event, timestamp, signatures, body) {
    if (!/^[0-9]{1,12}$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return false;
    const wanted = Buffer.from('v1,' + createHmac('sha256', key).update(`${event}.${timestamp}.`).update(body).digest('base64'));
    return signatures.split(' ').some((one) => {
        const got = Buffer.from(one);
        return got.length === wanted.length && timingSafeEqual(got, wanted);
    });
}

// False if it is there already.  It is on disk, whole, before it has its name.
async function store(event, body) {
    const part = `${inbox}/${event}.${randomUUID()}.part`;
    const file = await open(part, 'w');
    try {
        await file.writeFile(body);
        await file.sync();
    } finally {
        await file.close();
    }
    try {
        await link(part, `${inbox}/${event}`);
    } catch (error) {
        if (error.code === 'EEXIST') return false;
        throw error;
    } finally {
        await unlink(part);
    }
    return true;
}

// Your work.  It may be called again for the event in whose middle the process ended.
async function handle(event) {
    const body = JSON.parse(readFileSync(`${inbox}/${event}`));
    console.log('handled', body.event.type, event);
}

// One after the other, behind what waits already.
let work = Promise.resolve();
function workOn(event) {
    work = work.then(() => handle(event)).then(() => writeFileSync(`${inbox}/${event}.done`, ''));
}

async function receive(request) {
    const parts = [];
    let size = 0;
    for await (const part of request) {
        size += part.length;
        if (size > bodyBytesMax) return 413;
        parts.push(part);
    }
    const body = Buffer.concat(parts);
    const [event, timestamp, signatures] = ['id', 'timestamp', 'signature'].map((name) => request.headers[`webhook-${name}`] ?? '');
    if (!/^[A-Za-z0-9_-]{1,100}$/.test(event) || !isGenuine(event, timestamp, signatures, body)) {
        console.log('refused');
        return 401;
    }
    if (await store(event, body)) workOn(event);
    else console.log('again', event);
    return 204;
}

mkdirSync(inbox, { recursive: true });
for (const name of readdirSync(inbox).sort()) if (!name.includes('.') && !existsSync(`${inbox}/${name}.done`)) workOn(name);
const server = createServer(async (request, response) => {
    response.statusCode = await receive(request).catch((error) => {
        console.error(error);
        return 500;    // It comes again.
    });
    response.end();
});
server.listen(Number(port), '127.0.0.1', () => console.log(`listening at http://127.0.0.1:${server.address().port}/`));
