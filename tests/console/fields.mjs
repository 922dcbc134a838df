// What a hook says beside its JSON: each field of the form is sent, shown, found in the form again, and cleared; and the
// cards of what events look like, and of what was taken away.
import assert from 'node:assert/strict';

import { open, receiver_url, see, test, until } from './browser.mjs';
import { accessibility, axe, contrast, overflow } from './checks.mjs';
import { deliver, idle, makeHook, sql } from './database.mjs';

const field = (page, name) => page.locator(`[name="${name}"]`);
const errorOf = (page, name) => field(page, name).locator('xpath=ancestor::*[contains(@class,"field")][1]').locator('.field-error');
const columns = 'name, priority, timeout, max_in_flight, metadata_headers, event_type';
const row = (id) => sql(`SELECT ${columns} FROM whisperer.hook WHERE id = ${id}`);
const save = (page) => page.getByRole('button', { name: 'Save', exact: true }).click();

// Of the card Details: what stands beside each term.
async function details(page) {
    const pairs = await page
        .getByRole('region', { name: 'Details' })
        .locator('dl > div')
        .evaluateAll((rows) => rows.map((one) => [one.querySelector('dt').textContent, one.querySelector('dd').textContent]));
    return Object.fromEntries(pairs);
}

async function looksWell(page) {
    for (const look of [accessibility, contrast, overflow]) assert.deepEqual(await page.evaluate(look), []);
    assert.deepEqual(await axe(page), []);
}

async function edit(page) {
    await page.getByRole('link', { name: 'Edit' }).click();
    await page.getByRole('button', { name: 'Save' }).waitFor();
}

const written = {
    event_type: 'package-created, order-*',
    name: 'spring',
    priority: 'high',
    timeout: '2.5',
    max_in_flight: '3',
    metadata_headers: '["time", "attempt"]',
};

async function fieldTests() {
    await test('name, priority, time-out, requests at once, metadata headers and several types are said, shown, found again, and cleared', async () => {
        const page = await open('hooks/new');
        await field(page, 'target_url').fill(`${receiver_url}/ok/fields`);
        for (const [name, value] of Object.entries(written))
            if (name === 'priority') await field(page, name).selectOption(value);
            else await field(page, name).fill(value);
        await page.getByRole('button', { name: 'Create hook' }).click();
        await page.getByRole('dialog').getByRole('button', { name: 'I have it' }).click();
        await page.getByRole('heading', { level: 1, name: written.event_type }).waitFor();
        const id = sql("SELECT id FROM whisperer.hook WHERE name = 'spring'");
        assert.equal(row(id), 'spring|high|00:00:02.5|3|{time,attempt}|package-created, order-*');
        const said = await details(page);
        assert.deepEqual(
            ['Name', 'Priority', 'Time-out', 'Requests at once', 'Metadata headers', 'Event type'].map((term) => said[term]),
            ['spring', 'high', '2.5 s', '3 at most', 'time, attempt', 'package-created, order-*'],
        );
        await edit(page);
        const found = {};
        for (const name of Object.keys(written)) found[name] = await field(page, name).inputValue();
        assert.deepEqual({ ...found, metadata_headers: JSON.parse(found.metadata_headers) }, { ...written, metadata_headers: ['time', 'attempt'] });
        await field(page, 'timeout').fill('30');
        await field(page, 'event_type').fill(' order-paid,package-* ');
        await save(page);
        await until(() => row(id) === 'spring|high|00:00:30|3|{time,attempt}|order-paid, package-*', 'what was changed is saved, and nothing else');
        await page.getByRole('heading', { level: 1, name: 'order-paid, package-*' }).waitFor();
        await edit(page);
        for (const name of ['name', 'timeout', 'max_in_flight', 'metadata_headers']) await field(page, name).fill('');
        await field(page, 'priority').selectOption('normal');
        await save(page);
        await until(() => row(id) === '|normal||||order-paid, package-*', 'what was emptied is null');
        await page.getByRole('link', { name: 'Edit' }).waitFor();
        const left = await details(page);
        assert.deepEqual(['Name', 'Time-out', 'Requests at once', 'Metadata headers'].filter((term) => term in left), []);
        assert.equal(left.Priority, 'normal');
        await edit(page);
        assert.equal(await field(page, 'timeout').inputValue(), '');
        sql(`SELECT whisperer.delete_hook(${id})`);
    });
}

const wrong = {
    event_type: [
        ['x'.repeat(129), /1 to 128 characters/],
        ['order-paid,', /commas between/],
    ],
    timeout: [
        ['0.5', /from 1 to 300/],
        ['301', /from 1 to 300/],
        ['a while', /from 1 to 300/],
    ],
    max_in_flight: [
        ['0', /from 1 to 10000/],
        ['1.5', /from 1 to 10000/],
    ],
    metadata_headers: [
        ['["row"]', /A JSON list of time, object/],
        ['time', /not JSON/],
    ],
};

async function wrongTests() {
    await test('what they cannot be is said beside each: before anything is sent, or by the server', async () => {
        const other = makeHook('shop', 'order-paid', `${receiver_url}/ok/named`, "name => 'taken'");
        const page = await open('hooks/new');
        let sent = 0;
        page.on('request', (request) => {
            if (request.method() === 'POST') sent++;
        });
        await field(page, 'target_url').fill(`${receiver_url}/ok/wrong-fields`);
        for (const [name, values] of Object.entries(wrong))
            for (const [value, message] of values) {
                await field(page, name).fill(value);
                await field(page, name).blur();
                assert.match(await errorOf(page, name).textContent(), message, `${name}: ${value}`);
            }
        await page.getByRole('button', { name: 'Create hook' }).click();
        assert.equal(sent, 0);
        for (const name of ['timeout', 'max_in_flight', 'metadata_headers']) await field(page, name).fill('');
        await field(page, 'event_type').fill('order-paid, never-registered');
        await page.getByRole('button', { name: 'Create hook' }).click();
        await errorOf(page, 'event_type').getByText('never-registered').waitFor();
        await field(page, 'event_type').fill('order-paid');
        await field(page, 'name').fill('n'.repeat(201));
        await page.getByRole('button', { name: 'Create hook' }).click();
        await errorOf(page, 'name').getByText('from 1 to 200 bytes').waitFor();
        await field(page, 'name').fill('taken');
        await page.getByRole('button', { name: 'Create hook' }).click();
        await see(page, 'You have a hook named "taken" already');
        sql(`SELECT whisperer.delete_hook(${other})`);
    });
}

async function looksTest() {
    await test('schema, example and what becomes of other events are on the card of an event type', async () => {
        sql(`SET ROLE shop; SELECT whisperer.register_event('looks-sent'), whisperer.register_event('looks-held'), whisperer.register_event('looks-plain');
             SELECT whisperer.update_event('looks-sent', '{"schema": {"required": ["id"]}, "example": {"id": 12345678901234567890}, "on_invalid": "send"}'),
                    whisperer.update_event('looks-held', '{"schema": {"type": "object"}}');`);
        const page = await open('event-types?q=looks-');
        const card = (name) => page.locator('.type').filter({ has: page.getByRole('heading', { name, exact: true }) });
        await card('looks-sent').getByText('What does not fit the schema is sent all the same.').waitFor();
        await card('looks-sent').getByText('Schema', { exact: true }).click();
        await card('looks-sent').getByText('Example', { exact: true }).click();
        const json = async (label) => JSON.stringify((await page.getByRole('region', { name: `${label} of looks-sent` }).innerText()).replace(/\s+/g, ''));
        assert.equal(await json('Schema'), JSON.stringify('{"required":["id"]}'));
        assert.equal(await json('Example'), JSON.stringify('{"id":12345678901234567890}'), 'to the digit');
        assert.equal(await card('looks-sent').getByText('No recent event').count(), 0, 'an example is enough');
        await card('looks-held').getByText('What does not fit the schema is not sent.').waitFor();
        assert.equal(await card('looks-held').getByText('Example', { exact: true }).count(), 0);
        await card('looks-held').getByText('No recent event that you may see.').waitFor();
        assert.deepEqual(await card('looks-plain').locator('summary').allTextContents(), []);
        assert.equal(await card('looks-plain').getByText('fit the schema').count(), 0);
        await looksWell(page);
        sql("SELECT whisperer.unregister_event(e) FROM unnest('{looks-sent,looks-held,looks-plain}'::text[]) e");
    });
}

async function expungedTest() {
    await test('a delivery whose data was taken away says so, and offers no other try', async () => {
        const id = makeHook('shop', 'package-created', `${receiver_url}/ok/expunged`);
        const event = deliver('shop', 'package-created', '{"name": "to be forgotten"}');
        idle();
        const page = await open(`deliveries/${event.replaceAll('-', '')}-${id}`);
        await page.getByText('to be forgotten').first().waitFor();
        assert.equal(await page.getByRole('button', { name: 'Force retry' }).count(), 1);
        sql(`SELECT whisperer.expunge('${event}')`);
        await page.getByRole('button', { name: 'Refresh' }).click();
        const card = page.getByRole('region', { name: 'Payload' });
        await card.getByText('Expunged: the data of this event was taken away.').waitFor();
        await card.getByText('Nobody can send it again.').waitFor();
        assert.match(await card.locator('dl').textContent(), /^When.*\d/);
        await page.locator('.badge', { hasText: 'delivered' }).waitFor();
        assert.ok(!(await page.content()).includes('to be forgotten'));
        assert.equal(await page.getByRole('button', { name: /retry|Deliver now|curl/i }).count(), 0);
        await looksWell(page);
        sql(`SELECT whisperer.delete_hook(${id})`);
    });
}

export async function fields() {
    await fieldTests();
    await wrongTests();
    await looksTest();
    await expungedTest();
}
