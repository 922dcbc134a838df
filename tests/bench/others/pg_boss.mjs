// node pg_boss.mjs VARIANT [URL]: posts its jobs; without a URL it makes its tables and the queue.  libpq's environment says
// which server.
import { PgBoss } from 'pg-boss';

import { post, untilStopped } from './post.mjs';

const [, , variant, url] = process.argv;
const tuned = variant === 'tuned';
const { PGHOST: host, PGPORT: port, PGUSER: user, PGDATABASE: database } = process.env;

// Its pages on workers and queues: woken by NOTIFY, whole batches one after the other without a pause, and a table of its own.
const boss = new PgBoss({ host, port: Number(port), user, database, useListenNotify: tuned });
boss.on('error', (error) => console.error(error));
await boss.start();
if (!url) {
    await boss.createQueue('post', tuned ? { notify: true, partition: true } : {});
    await boss.stop();
} else {
    const options = tuned ? { batchSize: 500, burstWhenBatchFull: true, perJobResults: true, orderByCreatedOn: false } : {};
    await boss.work('post', options, tuned ? postAll : async ([job]) => post(job.data.id, JSON.stringify(job.data)));
    await untilStopped(() => boss.stop());
}

async function postAll(jobs) {
    return Promise.all(jobs.map((job) => post(job.data.id, JSON.stringify(job.data))
        .then(() => ({ id: job.id, status: 'completed' }), (error) => ({ id: job.id, status: 'failed', output: { message: error.message } }))));
}
