// A gateway of two databases: one list over both, single things each in its own, and one that is away.  The second is
// database branch of the same server, with a hook of the same number as one of the first.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';

import { open, receiver_url, see, test, until } from './browser.mjs';
import { accessibility, axe, contrast, overflow } from './checks.mjs';
import { deliver, idle, makeHook, registerTypes, sql } from './database.mjs';

const base = process.env.CONSOLE_URL_OF_TWO;
const looks = [accessibility, contrast, overflow];

// The same, in database branch.
function inBranch(run) {
    const before = process.env.PGDATABASE;
    process.env.PGDATABASE = 'branch';
    try {
        return run();
    } finally {
        process.env.PGDATABASE = before;
    }
}

export async function databases() {
    registerTypes('shop', 'head-office');
    const hook = makeHook('shop', 'head-office', `${receiver_url}/ok/head-office`);
    deliver('shop', 'head-office', '{"n": 1}');
    idle();
    inBranch(() => {
        registerTypes('shop', 'branch-office');
        // The same number, of another hook.
        sql(`SELECT setval(pg_get_serial_sequence('whisperer.hook_definition', 'id'), ${hook}, false)`);
        assert.equal(makeHook('shop', 'branch-office', `${receiver_url}/ok/branch-office`), hook);
        deliver('shop', 'branch-office', '{"n": 2}');
        idle();
    });

    await test('the hooks of two databases are one list', async () => {
        const page = await open('hooks?q=-office', { base });
        await see(page, 'in database branch');
        for (const look of looks) assert.deepEqual(await page.evaluate(look), []);
        assert.deepEqual(await axe(page), []);
        await page.getByRole('link', { name: 'branch-office' }).click();
        await see(page, 'In database branch.');
        await page.getByRole('table', { name: 'Deliveries, newest first' }).getByText('branch-office').waitFor();
        assert.equal(await page.getByText('head-office').count(), 0, 'a hook has the deliveries of its own');
        await page.getByRole('link', { name: 'Edit' }).click();
        await page.getByLabel('Description').fill('of the branch');
        await page.getByRole('button', { name: 'Save' }).click();
        await see(page, 'of the branch');
        const description = `SELECT description FROM whisperer.hook_definition WHERE id = ${hook}`;
        assert.deepEqual([sql(description), inBranch(() => sql(description))], ['', 'of the branch'], 'and is changed there');
    });

    await test('so are the deliveries, and each is shown and retried where it is', async () => {
        const page = await open('deliveries', { base });
        const table = page.getByRole('table', { name: 'Deliveries, newest first' });
        await table.getByRole('columnheader', { name: 'Database' }).waitFor();
        await table.getByRole('link', { name: 'head-office' }).waitFor();
        for (const look of looks) assert.deepEqual(await page.evaluate(look), []);
        assert.deepEqual(await axe(page), []);
        await table.getByRole('link', { name: 'branch-office' }).click();
        await page.getByRole('heading', { level: 1, name: 'branch-office' }).waitFor();
        assert.match(page.url(), /database=branch/);
        await page.getByRole('button', { name: 'Force retry' }).click();
        await page.getByRole('dialog').getByRole('button', { name: 'Force retry' }).click();
        await page.getByText('delivered', { exact: true }).first().waitFor();
        await page.getByRole('link', { name: 'Deliveries' }).first().click();
        await page.getByRole('button', { name: 'Retry these' }).click();
        await page.getByRole('dialog').getByText('In database demo alone: for another one, filter by it.').waitFor();
        await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
        await page.getByLabel('Database', { exact: true }).selectOption('demo');
        await page.getByRole('button', { name: 'Filter' }).click();
        await until(async () => (await table.getByRole('link', { name: 'branch-office' }).count()) === 0, 'one database is shown');
        await table.getByRole('link', { name: 'head-office' }).waitFor();
    });

    await test('one that is away is named, and the others are shown', async () => {
        const page = await open('deliveries', { base });
        await see(page, 'branch-office');
        const admit = (yes) => spawnSync('psql', ['-Xqd', 'demo', '-c', `ALTER DATABASE branch ALLOW_CONNECTIONS ${yes}`]);
        admit(false);
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'branch' AND usename = 'gateway'");
        await page.getByRole('button', { name: 'Refresh' }).click();
        await see(page, 'What database branch has is missing here');
        await see(page, 'head-office');
        for (const look of looks) assert.deepEqual(await page.evaluate(look), []);
        assert.deepEqual(await axe(page), []);
        admit(true);
        await until(async () => {
            await page.getByRole('button', { name: 'Refresh' }).click();
            return (await page.getByText('What database branch has').isHidden()) && (await page.getByText('branch-office').count()) > 0;
        }, 'it is back');
    });

    await test('the overview adds them up', async () => {
        const page = await open('overview', { base });
        await see(page, '2 workers');
        for (const look of looks) assert.deepEqual(await page.evaluate(look), []);
        assert.deepEqual(await axe(page), []);
    });
}
