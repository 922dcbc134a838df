// How many events are recorded when.  The harness says so on the standard input, "ENQUEUE n", or leaves it to the adapter: at a
// rate that a file may change, or up to a depth.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const batchMax = Number(process.env.PRODUCER_BATCH_MAX ?? 128);
const batchMs = Number(process.env.PRODUCER_BATCH_MS ?? 25);
const depth = Number(process.env.TARGET_DEPTH ?? 1000);

export function targetRate() {
    const rate = Number(process.env.PRODUCER_RATE ?? 800);
    try {
        const changed = Number.parseFloat(readFileSync(process.env.PRODUCER_RATE_CONTROL_FILE, 'utf8'));
        return Number.isFinite(changed) ? changed : rate;
    } catch {
        return rate;
    }
}

// Calls record(n), one call at a time, until ended() is true.
export async function produce({ record, queued, ended }) {
    if ((process.env.PRODUCER_MODE ?? 'fixed') === 'depth-target')
        await repeat(() => record(Math.min(batchMax, depth - queued())), ended);
    else if (process.env.PRODUCER_PACING === 'harness')
        await follow(record, ended);
    else
        await pace(record, ended);
}

async function follow(record, ended) {
    for await (const line of createInterface({ input: process.stdin })) {
        const [, count] = /^ENQUEUE (\d+)$/.exec(line) ?? [];
        if (ended())
            return;
        await record(Number(count ?? 0));
    }
}

// What is due comes from the time that has passed, not from how often the loop has run.
async function pace(record, ended) {
    let credit = 0;
    let last = performance.now();
    await repeat(async () => {
        const now = performance.now();
        credit += targetRate() * (now - last) / 1000;
        last = now;
        for (let due; (due = Math.min(batchMax, Math.floor(credit))) > 0 && !ended(); credit -= due)
            await record(due);
    }, ended);
}

async function repeat(step, ended) {
    while (!ended()) {
        await step();
        await new Promise((resolve) => { setTimeout(resolve, batchMs); });
    }
}
