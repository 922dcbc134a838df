// The baseline of a queue beside the database: jobs in a table, taken with SKIP LOCKED by graphile-worker
// with its local queue, posted with undici, removed when they are done.
//
//   node queue.mjs URL JOBS BODY_FILE [BYTES]      prints jobs per second; libpq's environment says which server;
//                                                  a job carries so many bytes beside its number, default 0
import { readFileSync } from 'node:fs';
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import { Pool } from 'undici';

const [, , url, jobs, file, bytes] = process.argv;
const body = readFileSync(file);
const target = new URL(url);
const connectionString = `postgresql:///queue?host=${process.env.PGHOST}&port=${process.env.PGPORT}&user=${process.env.PGUSER}`;
const logger = new Logger(() => () => {});
const headers = {
    'content-type': 'application/json', 'x-whisperer-event': 'bench', 'webhook-id': '01930000000070008000000000000000',
    'webhook-timestamp': '1700000000', 'webhook-signature': 'v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=',
    'x-whisperer-signature': 'sha256=0000000000000000000000000000000000000000000000000000000000000000',
};

const utils = await makeWorkerUtils({ connectionString, logger });
await utils.migrate();
await utils.withPgClient((client) => client.query(
    `SELECT count(graphile_worker.add_job('post', json_build_object('id', g, 'v', repeat('v', $2::int)))) FROM generate_series(1, $1::int) g`,
    [jobs, bytes ?? 0]));

const pool = new Pool(target.origin, { connections: 64 });
let done = 0;
let finish;
const finished = new Promise((resolve) => { finish = resolve; });
async function post() {
    const answer = await pool.request({ path: target.pathname, method: 'POST', headers, body });
    await answer.body.dump();
    if (answer.statusCode >= 300)
        throw new Error(`HTTP status ${answer.statusCode}`);
    if (++done === Number(jobs))
        finish();
}
const begun = process.hrtime.bigint();
const runner = await run({
    connectionString, logger, taskList: { post }, noHandleSignals: true,
    preset: { worker: { concurrentJobs: 64, maxPoolSize: 10, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
});
await finished;
await runner.stop();
console.log((Number(jobs) / (Number(process.hrtime.bigint() - begun) / 1e9)).toFixed(0));
await utils.release();
await pool.close();
