// Columns of JSON as forms: what is written in them is the JSON that it should be, and what a form does not know stays.
import assert from 'node:assert/strict';

import { asJson, open, receiver_url, see, test, until } from './browser.mjs';
import { accessibility, axe, contrast, overflow } from './checks.mjs';
import { makeHook, sql } from './database.mjs';

const field = (page, name) => page.locator(`[name="${name}"]`);
const group = (page, name) => page.getByRole('group', { name, exact: true });
const column = (id, name) => sql(`SELECT ${name} FROM whisperer.hook WHERE id = ${id}`);
const save = (page) => page.getByRole('button', { name: 'Save', exact: true }).click();

async function condition(page, n, member, operator, value) {
    const filter = group(page, 'Filter');
    await filter.getByRole('button', { name: 'Add a condition' }).click();
    await filter.getByRole('textbox', { name: 'Member' }).nth(n).fill(member);
    await filter.getByRole('combobox', { name: 'Operator' }).nth(n).selectOption(operator);
    await filter.getByRole('textbox', { name: 'Value', exact: true }).nth(n).fill(value);
}

async function edit(id) {
    const page = await open(`hooks/${id}/edit`);
    await page.getByRole('button', { name: 'Save' }).waitFor();
    return page;
}

async function writtenTest() {
    await test('a hook is made without a word of JSON', async () => {
        const page = await open('hooks/new');
        await field(page, 'event_type').fill('order-paid');
        await field(page, 'target_url').fill(`${receiver_url}/ok/by-form`);
        await field(page, 'description').fill('made by forms');
        await condition(page, 0, 'status', '$in', 'paid, sent');
        await condition(page, 1, 'total', '$gt', '100');
        await condition(page, 2, 'total', '$lte', '98765432109876543210');
        await condition(page, 3, 'number', 'is', '"7"');
        await condition(page, 4, 'note', 'is', 'a "quoted" word');
        await field(page, 'retry_countdown_config.choice').selectOption('schedule');
        await field(page, 'retry_countdown_config.kwargs.seconds').fill('5, 60, 3600');
        await field(page, 'retry_countdown_config.give_up').fill('400, 404');
        await field(page, 'retry_countdown_config.jitter').fill('0.1');
        await field(page, 'config.auth.type').selectOption('basic');
        await field(page, 'config.auth.username').fill('ann');
        await field(page, 'config.auth.password').fill('hush "hush"');
        const config = group(page, 'Config');
        await config.getByRole('button', { name: 'Add a value' }).click();
        await config.getByRole('textbox', { name: 'Name', exact: true }).fill('shop');
        await config.getByRole('textbox', { name: 'Value', exact: true }).fill('3');
        await field(page, 'batch.on').selectOption('on');
        await field(page, 'batch.size').fill('20');
        await field(page, 'batch.wait').fill('1 s');
        await field(page, 'batch.form').selectOption('ndjson');
        assert.deepEqual(await axe(page), []);
        for (const look of [accessibility, contrast, overflow]) assert.deepEqual(await page.evaluate(look), []);
        await page.getByRole('button', { name: 'Create hook' }).click();
        await page.getByRole('dialog').getByRole('button', { name: 'I have it' }).click();
        const id = sql("SELECT id FROM whisperer.hook WHERE description = 'made by forms'");
        assert.equal(
            column(id, 'filter'),
            '{"note": "a \\"quoted\\" word", "total": {"$gt": 100, "$lte": 98765432109876543210}, "number": "7", "status": {"$in": ["paid", "sent"]}}',
        );
        assert.equal(column(id, 'retry_countdown_config'), '{"choice": "schedule", "jitter": 0.1, "kwargs": {"seconds": [5, 60, 3600]}, "give_up": [400, 404]}');
        assert.equal(column(id, 'config'), '{"auth": {"type": "basic"}, "shop": 3}');
        assert.equal(column(id, 'batch'), '{"form": "ndjson", "size": 20, "wait": "1 s"}');
    });
}

async function wrongTests() {
    await test('what is not complete is said before anything is sent, and what the server says comes to the form', async () => {
        const page = await open('hooks/new');
        let sent = 0;
        page.on('request', (request) => {
            if (request.method() === 'POST' && request.url().endsWith('/hooks/')) sent++;
        });
        await field(page, 'event_type').fill('order-paid');
        await field(page, 'target_url').fill(`${receiver_url}/ok/by-form-too`);
        await condition(page, 0, 'status', 'is', 'paid');
        await condition(page, 1, 'status', 'is', 'sent');
        await page.getByRole('button', { name: 'Create hook' }).click();
        await see(page, '"status" has two conditions that cannot stand beside each other.');
        await group(page, 'Filter').getByRole('button', { name: 'Remove condition' }).nth(1).click();
        await condition(page, 1, 'lines', 'json', '[{');
        await page.getByRole('button', { name: 'Create hook' }).click();
        await see(page, 'What stands beside "lines" is not JSON.');
        assert.equal(sent, 0);
        await group(page, 'Filter').getByRole('textbox', { name: 'Member' }).nth(1).fill('$or');
        await group(page, 'Filter').getByRole('textbox', { name: 'Value', exact: true }).nth(1).fill('[{"sku": "A7"}]');
        await page.getByRole('button', { name: 'Create hook' }).click();
        await see(page, 'Beside "$or" no member can stand.');
        await group(page, 'Filter').getByRole('textbox', { name: 'Member' }).nth(1).fill('lines');
        await field(page, 'retry_countdown_config.choice').selectOption('fixed');
        await page.getByRole('button', { name: 'Create hook' }).click();
        await page.locator('.field-error', { hasText: 'kwargs.seconds' }).waitFor();
        assert.equal(sent, 1);
    });
}

// filter, config and countdown with all that forms do not know.
const odd = {
    filter: '{"a": {"$not": {"$gt": 12345678901234567890}}, "d": {"e": {"$gt": 1.50}}, "f": {"$gte": 1, "$lt": 12345678901234567890}}',
    config: '{"auth": {"type": "bearer", "token": "not-for-eyes"}, "deep": {"big": 12345678901234567890}, "five": "5", "list": [1.50, "x, y"]}',
    retry_countdown_config: '{"choice": "random", "kwargs": {"min_value": 1.50, "max_value": 20}, "only_if": []}',
};

async function keptTests() {
    await test('a form changes what was changed in it; what it does not know stays, to the digit', async () => {
        const id = makeHook('shop', 'order-paid', `${receiver_url}/ok/odd`, Object.keys(odd).map((name) => `${name} => :'${name}'`).join(', '), odd);
        const before = Object.fromEntries(Object.keys(odd).map((name) => [name, column(id, name)]));
        const secret = sql(`SELECT md5(auth) FROM whisperer.secret WHERE hook_id = ${id}`);
        const page = await edit(id);
        assert.ok(!(await page.content()).includes('not-for-eyes'));
        await see(page, 'They are kept and not shown');
        assert.equal(await field(page, 'retry_countdown_config.only_if').inputValue(), 'none');
        await field(page, 'retry_countdown_config.kwargs.max_value').fill('30');
        const config = group(page, 'Config');
        assert.deepEqual(await config.getByRole('textbox', { name: 'Value', exact: true }).evaluateAll((inputs) => inputs.map((one) => one.value)), ['{"big": 12345678901234567890}', '"5"', '[1.50, "x, y"]']);
        await config.getByRole('button', { name: 'Add a value' }).click();
        await config.getByRole('textbox', { name: 'Name', exact: true }).nth(3).fill('new');
        await config.getByRole('textbox', { name: 'Value', exact: true }).nth(3).fill('true');
        await condition(page, 4, 'g', '$exists', 'true');
        await save(page);
        await until(() => column(id, 'filter') !== before.filter, 'it is saved');
        assert.equal(column(id, `filter - 'g' = '${before.filter}' AND filter->'g' = '{"$exists": true}'`), 't', column(id, 'filter'));
        assert.equal(column(id, `config - 'new' = '${before.config}' AND config->'new' = 'true'`), 't', column(id, 'config'));
        assert.equal(column(id, 'retry_countdown_config'), before.retry_countdown_config.replace(' 20', ' 30'));
        assert.equal(sql(`SELECT md5(auth) FROM whisperer.secret WHERE hook_id = ${id}`), secret, 'credentials are as they were');
    });

    await test('form and JSON are two sides of one thing; what a form cannot show is JSON', async () => {
        const id = makeHook('shop', 'order-paid', `${receiver_url}/ok/sides`, `filter => '[1]', batch => '{"size": 5}'`);
        const page = await edit(id);
        assert.ok(await field(page, 'filter').isVisible(), 'a list is no form');
        await page.getByRole('button', { name: 'As a form: Filter' }).click();
        await see(page, 'The form can only show an object');
        await field(page, 'filter').fill('{"status": "paid"}');
        await page.getByRole('button', { name: 'As a form: Filter' }).click();
        assert.equal(await group(page, 'Filter').getByRole('textbox', { name: 'Member' }).inputValue(), 'status');
        await field(page, 'batch.size').fill('6');
        await (await asJson(page, 'batch')).waitFor();
        assert.deepEqual(JSON.parse(await field(page, 'batch').inputValue()), { size: 6 });
        await field(page, 'batch').fill('{"size": 7, "form": "array"}');
        await page.getByRole('button', { name: 'As a form: Batches' }).click();
        assert.equal(await field(page, 'batch.size').inputValue(), '7');
        assert.equal(await field(page, 'batch.form').inputValue(), 'array');
        await save(page);
        await until(() => column(id, 'batch') === '{"form": "array", "size": 7}', 'it is saved');
        assert.equal(column(id, 'filter'), '{"status": "paid"}');
    });

    await test('credentials are replaced as a whole, and taken away', async () => {
        const id = makeHook('shop', 'order-paid', `${receiver_url}/ok/credentials`, `config => '{"auth": {"type": "basic", "username": "u", "password": "p"}, "x": 1}'`);
        const page = await edit(id);
        await field(page, 'config.auth.type').selectOption('bearer');
        await field(page, 'config.auth.token').fill('t0ken');
        await save(page);
        await until(() => column(id, 'config') === '{"x": 1, "auth": {"type": "bearer"}}', 'another kind');
        await page.getByRole('link', { name: 'Edit' }).click();
        await field(page, 'config.auth.type').selectOption('');
        await save(page);
        await until(() => column(id, 'config') === '{"x": 1}', 'none');
        assert.equal(sql(`SELECT auth IS NULL FROM whisperer.secret WHERE hook_id = ${id}`), 't');
    });
}

export async function forms() {
    await writtenTest();
    await wrongTests();
    await keptTests();
}
