// Many deliveries tried again: counted first, by the filter that the list is shown by; and at once, when a receiver was mended.
import assert from 'node:assert/strict';

import { open, receiver_url, see, test, until } from './browser.mjs';
import { accessibility, contrast, overflow } from './checks.mjs';
import { attempts, deliveriesOf, script, sql } from './database.mjs';
import { seed } from './deliveries.mjs';

const hours = `retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 36000}, "max_retries": 3}'`;
const oneOf = (hook) => sql(`SELECT replace(event_id::text, '-', '') || '-' || hook_id FROM whisperer.delivery WHERE hook_id = ${hook} LIMIT 1`);

async function filterTests() {
    await test('what a filter lets through is tried again, after it was counted', async () => {
        await script(receiver_url, '/bulk', ['status/500']);
        const hook = seed('bulk', '/bulk', 5, attempts(1));
        const other = seed('bulk-other', '/bulk', 2, attempts(1));
        sql(`SELECT whisperer.expunge((SELECT min(event_id::text)::uuid FROM whisperer.delivery WHERE hook_id = ${hook}))`);
        await script(receiver_url, '/bulk', ['ok']);
        const page = await open(`deliveries?event_type=bulk`);
        await page.getByRole('table', { name: /^Deliveries/ }).waitFor();
        // What is chosen but not shown yet does not count.
        await page.getByLabel('State').selectOption('delivered');
        await page.getByRole('button', { name: 'Retry these …' }).click();
        const dialog = page.getByRole('dialog');
        await dialog.getByText('4 deliveries will be tried again.').waitFor();
        await dialog.getByText('All that the filter lets through. Event type: bulk.').waitFor();
        await dialog.getByText('Left alone: 1 without data: expunged.').waitFor();
        for (const look of [accessibility, contrast, overflow]) assert.deepEqual(await page.evaluate(look), []);
        assert.equal(deliveriesOf(hook, 'failed'), 5, 'counting does nothing');
        await dialog.getByRole('button', { name: 'Retry 4' }).click();
        await see(page, '4 deliveries taken up.');
        await dialog.waitFor({ state: 'detached' });
        await until(() => deliveriesOf(hook, 'delivered') === 4, 'they are delivered');
        assert.equal(deliveriesOf(other, 'failed'), 2, 'others are left alone');
        await page.getByRole('button', { name: 'Retry these …' }).click();
        await dialog.getByText('There is nothing to try again.').waitFor();
        await dialog.getByText('Left alone: 4 delivered; 1 without data: expunged.').waitFor();
        assert.equal(await dialog.getByRole('button', { name: 'Retry' }).getAttribute('aria-disabled'), 'true');
    });

    await test('as many as there are, some at a time; and how many there were is said when it is refused', async () => {
        const hook = seed('bulk-many', '/ok/bulk-many', 720);
        const fail = () => sql(`UPDATE whisperer.delivery SET state = 'failed' WHERE hook_id = ${hook}`);
        fail();
        const page = await open(`deliveries?webhook=${hook}`);
        const retry = async () => {
            await page.getByRole('button', { name: 'Retry these …' }).click();
            await page.getByRole('dialog').getByRole('button', { name: 'Retry 720' }).click();
        };
        await retry();
        await see(page, '720 deliveries taken up.');
        await until(() => deliveriesOf(hook, 'delivered') === 720, 'all are delivered');
        fail();
        await page.getByRole('button', { name: 'Dismiss' }).first().click();
        await page.route('**/hook_events/retry/?*cursor=*', (route) =>
            route.fulfill({ status: 503, contentType: 'application/json', body: '{"code": "unavailable", "message": "the request took too long", "request_id": "r"}' }),
        );
        await retry();
        await page.getByRole('dialog').getByRole('alert').filter({ hasText: 'took too long' }).waitFor();
        await see(page, '500 deliveries taken up.');
    });
}

async function mendedTests() {
    await test('when a receiver is mended, all that waits for it is delivered now', async () => {
        await script(receiver_url, '/mending', ['status/500']);
        const hook = seed('mending', '/mending', 3, hours);
        await until(() => deliveriesOf(hook, 'pending') === 3, 'they wait');
        await script(receiver_url, '/mending', ['ok']);
        const page = await open(`hooks/${hook}`);
        await page.getByRole('button', { name: 'Deliver now …' }).click();
        await page.getByRole('dialog').getByText('3 deliveries will be tried again.').waitFor();
        await page.getByRole('dialog').getByRole('button', { name: 'Retry 3' }).click();
        await see(page, '3 deliveries taken up.');
        await until(() => deliveriesOf(hook, 'delivered') === 3, 'they are delivered');
    });

    await test('and so is one that waits, on its own page', async () => {
        await script(receiver_url, '/mending-one', ['status/500']);
        const hook = seed('mending-one', '/mending-one', 1, hours);
        await until(() => deliveriesOf(hook, 'pending') === 1, 'it waits');
        await script(receiver_url, '/mending-one', ['ok']);
        const page = await open(`deliveries/${oneOf(hook)}`);
        await page.getByRole('button', { name: 'Deliver now' }).click();
        await page.locator('.block.good').waitFor();
        await page.locator('.badge', { hasText: 'delivered' }).waitFor();
        await page.getByRole('button', { name: 'Retry', exact: true }).waitFor();
    });
}

export async function retries() {
    await filterTests();
    await mendedTests();
}
