// What the senders in Node.js have in common: a request with one signature (Standard Webhooks), sent by undici over as many
// connections as a hook of whisperer's has in flight.  An answer that is no success is an error, for the queue to try again.
import { createHmac } from 'node:crypto';
import { Pool } from 'undici';

const [, , , url] = process.argv;
const target = url && new URL(url);
const pool = target && new Pool(target.origin, { connections: 64 });
const secret = Buffer.from('a secret of thirty-two characters');

export async function post(id, body) {
    const timestamp = Math.floor(Date.now() / 1000).toString();
    const signature = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64');
    const answer = await pool.request({
        path: target.pathname, method: 'POST', body,
        headers: { 'content-type': 'application/json', 'webhook-id': String(id), 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` },
    });
    await answer.body.dump();
    if (answer.statusCode >= 300)
        throw new Error(`HTTP status ${answer.statusCode}`);
}

// The queue delivers from now on, until a signal says that it should end.
export async function untilStopped(stop) {
    console.log('ready');
    await new Promise((resolve) => { process.once('SIGTERM', resolve); });
    await stop();
    await pool.close();
}
