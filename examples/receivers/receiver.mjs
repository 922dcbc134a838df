// A receiver of webhooks in JavaScript; README.md beside it says what it does.  It needs nothing but Node.js.
//
//     WEBHOOK_SECRET=whsec_... node receiver.mjs [port [inbox]]
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { link, open, unlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const bodyBytesMax = 2_000_000;     // more than the "bytes" of your batches, and than the largest event
const secondsMax = 300;
export const secret = process.env.WEBHOOK_SECRET ?? '';
const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : secret;
if (key.length === 0) throw new Error('WEBHOOK_SECRET is missing');     // With an empty key everybody could sign.
const [port = '8000', inbox = 'inbox'] = process.argv.slice(2);

export function isRecent(timestamp) {
    return /^[0-9]{1,12}$/.test(timestamp) && Math.abs(Date.now() / 1000 - Number(timestamp)) <= secondsMax;
}

export function isEqual(one, wanted) {
    const [a, b] = [Buffer.from(one), Buffer.from(wanted)];
    return a.length === b.length && timingSafeEqual(a, b);
}

// While a secret is being replaced there are two signatures; one that fits is enough.
export function isGenuine(headers, body) {
    const [request, timestamp, signatures] = ['id', 'timestamp', 'signature'].map((name) => headers[`webhook-${name}`] ?? '');
    const wanted = 'v1,' + createHmac('sha256', key).update(`${request}.${timestamp}.`).update(body).digest('base64');
    return isRecent(timestamp) && signatures.split(' ').some((one) => isEqual(one, wanted));
}

// Of an array, of lines, or of the one value that came alone.
export function members(body) {
    const text = body.toString();
    if (text.startsWith('[')) return JSON.parse(text);
    try {
        return [JSON.parse(text)];
    } catch {
        return text.trimEnd().split('\n').map((line) => JSON.parse(line));
    }
}

// The id, type and text of each.  A batch is told by its body, which is signed: X-Whisperer-Batch is not.
export function events(headers, body) {
    return members(body).map((member) => ({ id: member.event.uuid, type: member.event.type, text: JSON.stringify(member) }));
}

// False if it is there already.  It is on disk, whole, before it has its name.
async function store({ id, type, text }) {
    const part = `${inbox}/${id}.${randomUUID()}.part`;
    const file = await open(part, 'wx');
    try {
        await file.writeFile(`${type}\n${text}`);
        await file.sync();
        await link(part, `${inbox}/${id}`);
    } catch (error) {
        if (error.code === 'EEXIST') return false;
        throw error;
    } finally {
        await file.close();
        await unlink(part);
    }
    return true;
}

async function syncNames() {
    const folder = await open(inbox);
    await folder.sync().finally(() => folder.close());
}

// Your work.  It may be called again for the event in whose middle the process ended.
async function handle({ id, type, text }) {
    JSON.parse(text);
    console.log('handled', type, id);
}

// One after the other, behind what waits already.  One that fails is tried again at the next start, and keeps no other.
let work = Promise.resolve();
function workOn(id) {
    work = work.then(async () => {
        const [type, ...lines] = readFileSync(`${inbox}/${id}`, 'utf8').split('\n');
        await handle({ id, type, text: lines.join('\n') });
        writeFileSync(`${inbox}/${id}.done`, '');
    }).catch((error) => console.error(error));
}

async function bodyOf(request) {
    const parts = [];
    let size = 0;
    for await (const part of request) {
        size += part.length;
        if (size > bodyBytesMax) return null;
        parts.push(part);
    }
    return Buffer.concat(parts);
}

// Signed, and not what this is for: another format, perhaps.
function eventsOrNull(headers, body, kind) {
    try {
        const came = kind.events(headers, body);
        return came.every(({ id }) => typeof id === 'string' && /^[A-Za-z0-9_-]{1,100}$/.test(id)) ? came : null;
    } catch {
        return null;
    }
}

// The status of the answer, and its body.
async function receive(request, kind) {
    const body = await bodyOf(request);
    if (!body) return [413];
    if (!kind.isGenuine(request.headers, body)) {
        console.log('refused');
        return [401];
    }
    const came = eventsOrNull(request.headers, body, kind);
    if (!came) return [400];
    const failed = [];
    for (const event of came) {
        try {
            if (await store(event)) workOn(event.id);
            else console.log('again', event.id);
        } catch (error) {
            console.log('failed', event.id, error.message);
            failed.push(event.id);
        }
    }
    await syncNames();
    if (failed.length === 0) return [204];
    // Those alone come again.  What has no id of its own cannot be named, so all of its batch must.
    if (failed.length < came.length && failed.every((id) => /^[0-9a-f]{32}$/.test(id))) return [200, JSON.stringify({ failed })];
    return [500];
}

export function serve(kind) {
    mkdirSync(inbox, { recursive: true });
    for (const name of readdirSync(inbox).sort()) if (!name.includes('.') && !existsSync(`${inbox}/${name}.done`)) workOn(name);
    const server = createServer(async (request, response) => {
        const [status, text] = await receive(request, kind).catch((error) => {
            console.error(error);
            return [500];    // It comes again.
        });
        response.statusCode = status;
        response.end(text);
    });
    server.requestTimeout = 30_000;     // for who sends slowly, or nothing
    server.listen(Number(port), '127.0.0.1', () => console.log(`listening at http://127.0.0.1:${server.address().port}/`));
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) serve({ isGenuine, events });
