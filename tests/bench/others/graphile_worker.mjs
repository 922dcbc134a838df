// node graphile_worker.mjs VARIANT [URL]: posts its jobs; without a URL it makes its tables.  libpq's environment says which
// server.
import { Logger, makeWorkerUtils, run } from 'graphile-worker';

import { post, untilStopped } from './post.mjs';

const [, , variant, url] = process.argv;
const connectionString = `postgresql:///${process.env.PGDATABASE}?host=${process.env.PGHOST}&port=${process.env.PGPORT}&user=${process.env.PGUSER}`;
const logger = new Logger(() => () => {});

// Its page on performance: jobs are fetched in batches, and completed in batches without a delay.
const tuned = { concurrentJobs: 64, maxPoolSize: 25, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };

if (!url) {
    const utils = await makeWorkerUtils({ connectionString, logger });
    await utils.migrate();
    await utils.release();
} else {
    const runner = await run({
        connectionString, logger, noHandleSignals: true, preset: { worker: variant === 'tuned' ? tuned : {} },
        taskList: { post: (item) => post(item.id, JSON.stringify(item)) },
    });
    await untilStopped(() => runner.stop());
}
