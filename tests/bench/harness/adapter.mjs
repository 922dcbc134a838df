// whisperer's adapter for the harness github.com/hardbyte/postgresql-job-queue-benchmarking, which says in its
// CONTRIBUTING_ADAPTERS.md what comes by the environment and what goes to the standard output.
//
//   DATABASE_URL=... node adapter.mjs
//
// A job is an event; it is taken when the request arrives at the receiver, which this process has, and done when that has
// answered.  As many requests are in flight as the harness wants workers, by whisperer.max_in_flight_per_hook.  The server must
// have whisperer in shared_preload_libraries and allow the receiver's address (whisperer.allowed_networks).
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

import pg from 'pg';

import { Histogram } from './histogram.mjs';
import { produce, targetRate } from './producer.mjs';

const manifest = JSON.parse(readFileSync(new URL('adapter.json', import.meta.url)));
const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const instance = number('BENCH_INSTANCE_ID', 0);
const sampleEvery = number('SAMPLE_EVERY_S', 5);
const workMs = number('JOB_WORK_MS', 1);
const padding = 'x'.repeat(Math.max(0, number('JOB_PAYLOAD_BYTES', 256) - 96));
const eventType = `bench_${instance}`;
const window = 30;    // seconds of the percentiles

const latencies = {};
for (const name of ['producer', 'claim', 'end_to_end'])
    latencies[name] = new Histogram(Math.ceil(window / sampleEvery));
let recorded = 0, received = 0, completed = 0, ended = false;
let before = { recorded, completed };    // at the last sample

if ((process.env.SCENARIO ?? 'long_horizon') !== 'long_horizon')
    throw new Error(`there is no scenario ${process.env.SCENARIO}, only long_horizon`);
const database = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 2 });
database.on('error', (error) => console.error(error.message));
const receiver = createServer(receive).listen(0, '127.0.0.1');
await new Promise((resolve) => { receiver.once('listening', resolve); });
await prepare();
process.on('SIGTERM', end).on('SIGINT', end);
describe(await version());
setTimeout(sample, sampleEvery * 1000 - Date.now() % (sampleEvery * 1000));
await produce({ record: (count) => record(count).catch(lost), queued: () => recorded - received, ended: () => ended });

async function prepare() {
    await database.query('CREATE EXTENSION IF NOT EXISTS whisperer');
    await database.query(`ALTER SYSTEM SET whisperer.max_in_flight_per_hook = ${number('WORKER_COUNT', 32)}`);
    await database.query('SELECT pg_reload_conf()');
    // A replica that was started again has a new address, and nothing to do with what was recorded before.
    await database.query('SELECT whisperer.delete_hook(id) FROM whisperer.hook WHERE event_type = $1 AND is_active', [eventType]);
    await database.query('SELECT whisperer.register_event($1) WHERE NOT EXISTS (SELECT FROM whisperer.event_type WHERE name = $1)', [eventType]);
    await database.query('SELECT whisperer.create_hook($1, $2)', [eventType, `http://127.0.0.1:${receiver.address().port}/`]);
}

async function version() {
    return (await database.query("SELECT extversion FROM pg_extension WHERE extname = 'whisperer'")).rows[0].extversion;
}

function describe(extension) {
    print({
        kind: 'descriptor', system: manifest.system, event_tables: manifest.event_tables, extensions: manifest.extensions,
        version: extension, schema_version: extension, db_name: manifest.db_name, started_at: new Date().toISOString(),
    });
}

async function record(count) {
    if (count <= 0)
        return;
    const begun = performance.now();
    await database.query(`SELECT count(whisperer.deliver_event($1, json_build_object('n', g, 'recorded_ms', $2::float8, 'padding', $3::text)))
        FROM generate_series(1, $4::int) g`, [eventType, Date.now(), padding, count]);
    for (let n = 0; n < count; n++)
        latencies.producer.add((performance.now() - begun) / count);
    recorded += count;
}

// The harness ends connections and restarts the server, to see what comes of it.
async function lost(error) {
    console.error(error.message);
    await new Promise((resolve) => { setTimeout(resolve, 200); });
}

function receive(request, response) {
    let body = '';
    request.setEncoding('utf8').on('data', (text) => { body += text; }).on('end', () => {
        const { recorded_ms: begun } = JSON.parse(body).data;
        received++;
        latencies.claim.add(Date.now() - begun);
        setTimeout(() => {
            response.writeHead(204).end();
            completed++;
            latencies.end_to_end.add(Date.now() - begun);
        }, workMs);
    });
}

function sample() {
    const metrics = [];
    for (const [name, histogram] of Object.entries(latencies)) {
        histogram.percentiles([0.5, 0.95, 0.99]).forEach((ms, at) => metrics.push([`${name}_p${[50, 95, 99][at]}_ms`, ms, window]));
        histogram.turn();
    }
    metrics.push(['enqueue_rate', (recorded - before.recorded) / sampleEvery, sampleEvery],
        ['completion_rate', (completed - before.completed) / sampleEvery, sampleEvery]);
    before = { recorded, completed };
    // These are of all replicas, and so the first one's business.
    if (instance === 0)
        metrics.push(['queue_depth', Math.max(0, recorded - received), 0], ['producer_target_rate', targetRate(), 0]);
    const t = new Date().toISOString();
    for (const [metric, value, window_s] of metrics)
        print({ t, system: manifest.system, kind: 'adapter', subject_kind: 'adapter', subject: '', metric, value, window_s });
    if (!ended)
        setTimeout(sample, sampleEvery * 1000 - Date.now() % (sampleEvery * 1000));
}

function print(line) {
    console.log(JSON.stringify({ ...line, instance_id: instance }));
}

function end() {
    ended = true;
    sample();
    process.exit(0);
}
