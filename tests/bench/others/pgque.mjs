// node pgque.mjs VARIANT URL: ticks, reads batches of the queue others, and posts their events; libpq's environment says
// which server.  By default one event after the other, as PgQue's client has it; tuned all events of a batch at once.
import pg from 'pg';

import { post, untilStopped } from './post.mjs';

const [, , variant] = process.argv;
const largest = 2 ** 31 - 1;    // ack() ends a whole batch, also what was not asked for
const connection = () => new pg.Client({ host: process.env.PGHOST });
const reader = connection(), ticker = connection();
let ended = false;

await reader.connect();
await ticker.connect();
let wake = () => {};
let ticked = false;
reader.on('notification', () => { ticked = true; wake(); });
await reader.query('LISTEN pgque_others');
const loops = [tick(), maintain(), read()];
await untilStopped(async () => {
    ended = true;
    wake();
    await Promise.all(loops);
    await reader.end();
    await ticker.end();
});

// What pg_cron would do, each second.
async function tick() {
    while (!ended)
        await ticker.query('CALL pgque.ticker_loop()');
}

async function maintain() {
    const client = connection();
    await client.connect();
    for (let second = 1; !ended; second++) {
        await pause(1000);
        if (second % 30 === 0) {
            await client.query('SELECT pgque.maint_retry_events()');
            await client.query('SELECT pgque.maint()');
        }
        if (second % 10 === 0)
            await client.query('SELECT pgque.maint_rotate_tables_step2()');
    }
    await client.end();
}

async function read() {
    while (!ended) {
        ticked = false;
        const { rows } = await reader.query("SELECT * FROM pgque.receive('others', 'sender', $1)", [largest]);
        if (rows.length === 0) {
            await nextTick();
            continue;
        }
        if (variant === 'tuned')
            await Promise.all(rows.map(deliver));
        else
            for (const row of rows)
                await deliver(row);
        await reader.query('SELECT pgque.ack($1)', [rows[0].batch_id]);
    }
}

async function deliver(row) {
    try {
        await post(JSON.parse(row.payload).id, row.payload);
    } catch (error) {
        await reader.query(`SELECT pgque.nack($1, ROW($2, $1, $3, $4, $5, $6, $7, $8, $9, $10)::pgque.message, '60 s', $11)`,
            [row.batch_id, row.msg_id, row.type, row.payload, row.retry_count, row.created_at, row.extra1, row.extra2, row.extra3, row.extra4, error.message]);
    }
}

// A tick that was notified of while the batch was read is not waited for again.
async function nextTick() {
    if (!ticked && !ended)
        await Promise.race([pause(1000), new Promise((resolve) => { wake = resolve; })]);
}

function pause(ms) {
    return new Promise((resolve) => { setTimeout(resolve, ms); });
}
