// Deliveries: found, read, tried again, recovered, replayed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';

import { open, receiver_url, see, test, until } from './browser.mjs';
import { accessibility, contrast, overflow } from './checks.mjs';
import { attempts, deliver, deliveriesOf, idle, makeHook, registerTypes, script, sql } from './database.mjs';

const rows = (page) => page.getByRole('table', { name: 'Deliveries, newest first' }).locator('tbody tr');

async function see_rows(page, number) {
    await until(async () => (await rows(page).count()) === number, `${number} deliveries are shown`);
}

// A hook of an event type of its own, and so many events.
export function seed(name, path, count, more = '', data = '{"n": %s}') {
    registerTypes('shop', name);
    const hook = makeHook('shop', name, `${receiver_url}${path}`, more);
    sql(
        `SET ROLE shop; SELECT count(whisperer.deliver_event('${name}', replace(:'data', '%s', n::text)::json)) FROM generate_series(1, ${count}) n;`,
        { data },
    );
    idle();
    return hook;
}

async function listTests() {
    await test('deliveries are paged, newest first', async () => {
        const hook = seed('paged', '/ok/paged', 120);
        const page = await open(`deliveries?webhook=${hook}`);
        await see_rows(page, 50);
        const seen = new Set();
        const note = async () => {
            for (const one of await rows(page)
                .locator('a.strong')
                .evaluateAll((links) => links.map((link) => link.hash)))
                seen.add(one);
        };
        await note();
        await page.getByRole('button', { name: 'Next' }).click();
        await see(page, 'Page 2');
        await note();
        await page.getByRole('button', { name: 'Next' }).click();
        await see_rows(page, 20);
        await note();
        assert.equal(seen.size, 120, 'each is on one page');
        const ordered = [...seen].map((hash) => hash.slice('#/deliveries/'.length, '#/deliveries/'.length + 32));
        assert.deepEqual(ordered, [...ordered].sort().reverse(), 'newest first');
        assert.equal(await page.getByRole('button', { name: 'Next' }).getAttribute('aria-disabled'), 'true');
        await page.getByRole('button', { name: 'Previous' }).click();
        await see(page, 'Page 2');
        await see_rows(page, 50);
    });

    await test('deliveries are filtered', async () => {
        const hook = seed('filtered', '/status/418/filtered', 3, attempts(1));
        const page = await open('deliveries');
        await rows(page).first().waitFor();
        await page.getByLabel('Hook', { exact: true }).fill('seven');
        await page.getByRole('button', { name: 'Filter' }).click();
        await see(page, 'A whole number.');
        await page.getByLabel('Hook', { exact: true }).fill(String(hook));
        await page.getByLabel('HTTP status').fill('418');
        await page.getByLabel('State').selectOption('failed');
        await page.getByLabel('Event type').fill('filtered');
        await page.getByRole('button', { name: 'Filter' }).click();
        await see_rows(page, 3);
        assert.match(page.url(), /state=failed/, 'what is shown can be passed on as a link');
        await page.getByLabel('State').selectOption('delivered');
        await page.keyboard.press('Enter');
        await page.getByRole('button', { name: 'Filter' }).click();
        await see(page, 'No delivery matches.');
        const event = sql(`SELECT event_id FROM whisperer.delivery WHERE hook_id = ${hook} LIMIT 1`);
        await page.getByRole('button', { name: 'Clear' }).click();
        await page.getByLabel('Event id').fill(event);
        await page.getByRole('button', { name: 'Filter' }).click();
        await see_rows(page, 1);
        await page.reload();
        await see_rows(page, 1);
    });
}

async function oneTests() {
    await test('a delivery shows the event’s data as it was recorded, each attempt with its answer, and why', async () => {
        const hook = seed('shown', '/status/500/shown', 1, attempts(3), '{"z": 12345678901234567890, "a": [1.50, {"deep": null}]}');
        await until(() => deliveriesOf(hook, 'failed') === 1, 'it has failed');
        const page = await open(`deliveries?webhook=${hook}`);
        await rows(page).getByRole('link', { name: 'shown' }).click();
        await page.getByRole('region', { name: 'Payload, JSON' }).waitFor();
        assert.equal(
            await page.getByRole('region', { name: 'Payload, JSON' }).textContent(),
            '{\n  "z": 12345678901234567890,\n  "a": [\n    1.50,\n    {\n      "deep": null\n    }\n  ]\n}',
        );
        const attempt_rows = page.getByRole('table', { name: /^Attempts/ }).locator('tbody tr');
        assert.equal(await attempt_rows.count(), 3);
        assert.match(await attempt_rows.nth(2).textContent(), /HTTP 500.*status 500/s);
        await page.locator('.why', { hasText: 'failed after 3 attempts' }).waitFor();
    });

    await test('a delivery shows its request as curl, which sends the same body, and its event at every hook', async () => {
        const hook = seed('curled', '/ok/curled', 1, `additional_headers => '{"X-Key": "hidden"}'`, `{"it's": "Zoë \\\\ $HOME"}`);
        const other = makeHook('shop', 'curled', `${receiver_url}/ok/curled-too`);
        const event = deliver('shop', 'curled', '{"second": true}').replaceAll('-', '');
        idle();
        const page = await open(`deliveries?webhook=${hook}`);
        await rows(page).getByRole('link', { name: 'curled' }).last().click();
        await page.getByRole('button', { name: 'Show as curl' }).click();
        const curl = await page.getByRole('region', { name: 'Request, as curl' }).textContent();
        assert.ok(!curl.includes('hidden') && curl.includes("'X-Key: ***'"), 'secrets are masked');
        await see(page, /As it was sent last, .*: the hook was not changed since\./);
        sql(`SET ROLE shop; SELECT whisperer.update_hook(${hook}, '{"additional_headers": {"X-Another": "hidden"}}')`);
        await page.getByRole('button', { name: 'Show as curl' }).click();
        await see(page, /This is what would be sent now\. It was sent last .*, and the hook was changed .*: URL, headers and body may have been others then\./);
        assert.ok((await page.getByRole('region', { name: 'Request, as curl' }).textContent()).includes("'X-Another: ***'"), 'it is the hook as it is now');
        for (const look of [accessibility, contrast, overflow]) assert.deepEqual(await page.evaluate(look), []);
        const echoed = spawnSync('sh', ['-c', curl.replace(/^curl/, 'printf %s\\\\n')], { encoding: 'utf8' }).stdout;
        assert.ok(echoed.includes(`"data":{"it's": "Zoë \\\\ $HOME"}`), `a shell reads it as it is: ${echoed}`);
        await page.goto(page.url().replace(/#.*/, `#/deliveries/${event}-${hook}`));
        await page.getByRole('link', { name: 'at every hook' }).click();
        await see_rows(page, 2);
        await see(page, `#${other}`);
        await page.goto(page.url().replace(/#.*/, `#/deliveries/${event}-${other}`));
        await page.getByRole('button', { name: 'Show as curl' }).waitFor();
        sql(`SELECT whisperer.delete_hook(${other})`);
        await page.getByRole('button', { name: 'Show as curl' }).click();
        await see(page, 'There is no such request any more.');
    });

    await test('a request that was compressed is shown as curl that compresses', async () => {
        const long = "it's long ".repeat(200);
        const hook = seed('gzipped', '/ok/gzipped', 1, "encoding => 'gzip'", JSON.stringify({ long }));
        const page = await open(`deliveries?webhook=${hook}`);
        await rows(page).getByRole('link', { name: 'gzipped' }).click();
        await page.getByRole('button', { name: 'Show as curl' }).click();
        const curl = await page.getByRole('region', { name: 'Request, as curl' }).textContent();
        assert.ok(curl.includes("-H 'Content-Encoding: gzip'") && curl.endsWith('--data-binary @-'), curl);
        const echoed = spawnSync('sh', ['-c', curl.replace(/curl -X[^]*$/, 'gunzip -c')], { encoding: 'utf8' }).stdout;
        assert.deepEqual(JSON.parse(echoed).data, { long }, 'a shell compresses what is sent');
    });

    await test('a failed delivery is tried again; a delivered one only by force', async () => {
        await script(receiver_url, '/mended', ['status/500']);
        const hook = seed('mended', '/mended', 1, attempts(1));
        await script(receiver_url, '/mended', ['ok']);
        const page = await open(`deliveries?webhook=${hook}`);
        await rows(page).getByRole('link', { name: 'mended' }).click();
        await page.getByRole('button', { name: 'Retry', exact: true }).click();
        await page.locator('.block.good').waitFor();
        await page.locator('.badge', { hasText: 'delivered' }).waitFor();
        assert.equal(deliveriesOf(hook, 'delivered'), 1);
        await page.getByRole('button', { name: 'Retry', exact: true }).click();
        await page
            .getByRole('alert')
            .filter({ hasText: /already delivered/i })
            .waitFor();
        await page.getByRole('button', { name: 'Force retry' }).click();
        await page.getByRole('dialog').getByRole('button', { name: 'Force retry' }).click();
        await page.locator('.block.good').waitFor();
        const times = () => Number(sql(`SELECT cardinality(request_datetimes) FROM whisperer.delivery WHERE hook_id = ${hook}`));
        await until(() => times() === 3, 'the first attempt, the retry and the forced one are kept');
    });
}

// Nothing happens at the time of the countdown while a hook is paused or its circuit open: why says what will.
async function putOffTests() {
    const waits = `retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 3600}}'`;
    const delivery = (hook) => sql(`SELECT replace(event_id::text, '-', '') || '-' || hook_id FROM whisperer.delivery WHERE hook_id = ${hook} AND retry_count > 0 LIMIT 1`);
    const next = (page) => page.locator('.facts dt', { hasText: /^Next attempt$/ });

    await test('a delivery says when it is tried next, but not by a countdown that a pause puts off', async () => {
        const hook = seed('put-off', '/status/500/put-off', 1, waits);
        const page = await open(`deliveries/${await until(() => delivery(hook), 'the first attempt')}`);
        await page.locator('.why', { hasText: 'waits for attempt 2 at' }).waitFor();
        assert.equal(await next(page).count(), 1);
        sql(`SELECT whisperer.pause_hook(${hook})`);
        await page.getByRole('button', { name: 'Refresh' }).click();
        await page.locator('.why', { hasText: 'waits: the hook is paused' }).waitFor();
        assert.equal(await next(page).count(), 0, 'paused');
    });

    await test('nor by one that an open circuit puts off', async () => {
        const hook = seed('circuit-open', '/status/500/circuit-open', 12, waits);
        await until(() => sql(`SELECT circuit FROM whisperer.hook_stats WHERE hook_id = ${hook}`) === 'open', 'the circuit opens');
        const page = await open(`deliveries/${delivery(hook)}`);
        await page.locator('.why', { hasText: 'the circuit is open, one attempt is made at' }).waitFor();
        assert.equal(await next(page).count(), 0);
    });
}

async function chanceTests() {
    await test('recover counts first, and does what was confirmed', async () => {
        await script(receiver_url, '/recovering', ['status/500']);
        const hook = seed('recovering', '/recovering', 5, attempts(1));
        assert.equal(deliveriesOf(hook, 'failed'), 5);
        await script(receiver_url, '/recovering', ['ok']);
        const page = await open(`hooks/${hook}`);
        await page.getByRole('button', { name: 'Recover …' }).click();
        const dialog = page.getByRole('dialog');
        const act = dialog.getByRole('button', { name: /^Recover/ });
        assert.equal(await act.getAttribute('aria-disabled'), 'true', 'nothing before it was counted');
        await dialog.getByRole('button', { name: 'Count' }).click();
        await dialog.getByText('5 failed deliveries will be tried again.').waitFor();
        assert.equal(deliveriesOf(hook, 'failed'), 5, 'counting does nothing');
        await dialog.getByLabel('Recorded since').fill('2001-01-01T00:00');
        assert.equal(await act.getAttribute('aria-disabled'), 'true', 'another range must be counted again');
        await dialog.getByRole('button', { name: 'Count' }).click();
        await dialog.getByRole('button', { name: 'Recover 5' }).click();
        await see(page, '5 deliveries queued again.');
        await until(() => deliveriesOf(hook, 'delivered') === 5, 'they are delivered');
    });

    await test('replay counts first, sends the same events again, or as new ones', async () => {
        const hook = seed('replayed', '/ok/replayed', 5);
        sql(`SELECT whisperer.expunge((SELECT min(event_id::text)::uuid FROM whisperer.delivery WHERE hook_id = ${hook}))`);
        const page = await open(`hooks/${hook}`);
        await page.getByRole('button', { name: 'Replay …' }).click();
        const dialog = page.getByRole('dialog');
        await dialog.getByLabel('Until').fill('2001-01-01T00:00');
        await dialog.getByRole('button', { name: 'Count' }).click();
        await dialog
            .getByText(/since and until|Since/)
            .first()
            .waitFor();
        await dialog.getByLabel('Until').fill('');
        await dialog.getByLabel('As new events').check();
        await dialog.getByRole('button', { name: 'Count' }).click();
        await dialog.getByText('4 events will be sent. 1 event stays out: the data was expunged.').waitFor();
        assert.equal(deliveriesOf(hook, 'delivered'), 5);
        await dialog.getByRole('button', { name: 'Replay 4' }).click();
        await see(page, '4 events queued.');
        await until(() => deliveriesOf(hook, 'delivered') === 9, 'they are delivered as new events');
    });
}

export async function deliveries() {
    await listTests();
    await oneTests();
    await putOffTests();
    await chanceTests();
}
