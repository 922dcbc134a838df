// Hooks: created, found, edited, paused, pinged, given a new secret, deleted.
import assert from 'node:assert/strict';

import { asJson, open, receiver_url, see, test, until } from './browser.mjs';
import { accessibility, axe, contrast, overflow } from './checks.mjs';
import { attempts, deliver, idle, makeHook, script, sql } from './database.mjs';
import { verifies } from './verify.mjs';

const field = (page, name) => page.locator(`[name="${name}"]`);
const errorOf = async (page, name) =>
    await field(page, name).locator('xpath=ancestor::*[contains(@class,"field")][1]').locator('.field-error').textContent();

async function submit(page, label) {
    await page.getByRole('button', { name: label, exact: true }).click();
}

async function hookPage(id) {
    const page = await open(`hooks/${id}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page
        .getByRole('button', { name: 'Edit' })
        .or(page.getByRole('link', { name: 'Edit' }))
        .waitFor();
    return page;
}

const fillJson = async (page, name, text) => (await asJson(page, name)).fill(text);
const json_columns = ['filter', 'retry_countdown_config', 'config', 'batch'];

const wrong = {
    event_type: ['x'.repeat(129), /1 to 128 characters/],
    target_url: ['ftp://example.com/', /must begin with https/],
    filter: ['{"a": ', /not JSON/],
    rate_limit: ['-1', /above 0/],
    retry_countdown_config: ['{"choice": "sometimes"}', /"choice" must be one of/],
    config: ['[1]', /JSON object/],
    additional_headers: ['no colon here', /Name: value/],
    transform: ['shape', /with its schema/],
};

async function createTests() {
    await test('what is wrong with a new hook is said beside the fields, before anything is sent', async () => {
        const page = await open('hooks/new');
        let sent = 0;
        page.on('request', (request) => {
            if (request.method() === 'POST') sent++;
        });
        await submit(page, 'Create hook');
        await until(async () => (await errorOf(page, 'target_url')) === 'This is needed.', 'the missing URL is noticed');
        assert.equal(await page.evaluate(() => document.activeElement.name), 'event_type');
        for (const name of json_columns) await asJson(page, name);
        for (const [name, [value]] of Object.entries(wrong)) await field(page, name).fill(value);
        await submit(page, 'Create hook');
        for (const [name, [, message]] of Object.entries(wrong)) assert.match(await errorOf(page, name), message, name);
        for (const url of ['http://user@example.com/', 'http://example.com/#x', 'http:///x', 'http://exa mple.com/']) {
            await field(page, 'target_url').fill(url);
            await field(page, 'target_url').blur();
            assert.notEqual(await errorOf(page, 'target_url'), '', url);
        }
        assert.equal(sent, 0);
    });

    await test('a filter that is being written is tried on the latest events', async () => {
        sql(`SELECT whisperer.deliver_event('order-paid', '{"total": 120}'), whisperer.deliver_event('order-paid', '{"total": 5}')`);
        const page = await open('hooks/new');
        const said = page.getByRole('status', { name: 'What the filter lets through' });
        await field(page, 'event_type').fill('order-paid');
        await fillJson(page, 'filter', '{"total": {"$gt": 100}}');
        await until(async () => /^Of the latest (event|\d+ events) \d+ would pass/.test(await said.innerText()), 'the preview');
        const lines = await said.getByRole('listitem').allInnerTexts();
        assert.match(lines[0], /order-paid.*is left out$/);
        assert.match(lines[1], /order-paid.*passes$/);
        await fillJson(page, 'filter', '{"total": {"$above": 100}}');
        await until(async () => (await said.innerText()).includes('unknown operator "$above"'), 'what is wrong');
    });

    await test('what only the server knows to be wrong comes to the same place', async () => {
        const page = await open('hooks/new');
        await field(page, 'event_type').fill('never-registered');
        await field(page, 'target_url').fill(`${receiver_url}/ok/nowhere`);
        await submit(page, 'Create hook');
        await until(async () => /no registered event type/i.test(await errorOf(page, 'event_type')), 'the type is refused');
        assert.equal(await page.evaluate(() => document.activeElement.name), 'event_type');
        await field(page, 'event_type').fill('package-created');
        await field(page, 'target_url').fill('http://10.1.2.3:81/');
        await submit(page, 'Create hook');
        await until(async () => /whisperer\.allowed_networks does not name 10\.1\.2\.3:81/.test(await errorOf(page, 'target_url')), 'what would let it be sent is named');
        await field(page, 'target_url').fill(`${receiver_url}/ok/nowhere`);
        await fillJson(page, 'retry_countdown_config', '{"choice": "fixed", "kwargs": {}}');
        await submit(page, 'Create hook');
        await until(async () => /kwargs\.seconds/.test(await errorOf(page, 'retry_countdown_config')), 'the missing key is named');
        assert.equal(await errorOf(page, 'event_type'), '');
    });
}

async function othersTypesTest() {
    await test('an event type of others is shown, and not offered', async () => {
        sql("SELECT whisperer.register_event('others-thing')");
        const page = await open('event-types');
        const card = page.locator('.type').filter({ has: page.getByRole('heading', { name: 'others-thing' }) });
        await card.getByText('Not yours to subscribe to').waitFor();
        assert.equal(await card.getByRole('link', { name: /^Subscribe/ }).count(), 0);
        await page.goto(page.url().replace(/#.*/, '#/hooks/new'));
        await field(page, 'event_type').waitFor();
        const offered = await page.locator('datalist option').evaluateAll((options) => options.map((option) => option.value));
        assert.ok(offered.includes('package-created') && !offered.includes('others-thing'), offered.join(' '));
        await field(page, 'event_type').fill('others-thing');
        await field(page, 'target_url').fill(`${receiver_url}/ok/others`);
        await submit(page, 'Create hook');
        await until(async () => /you may not subscribe/i.test(await errorOf(page, 'event_type')), 'the refusal is beside the field');
        sql("SELECT whisperer.unregister_event('others-thing')");
    });
}

async function createdTest() {
    await test('a hook is created, and its secret shown once', async () => {
        const page = await open('event-types');
        await page.getByRole('link', { name: 'Subscribe to package-created' }).click();
        await page.getByRole('heading', { name: 'New hook' }).waitFor();
        assert.equal(await field(page, 'event_type').inputValue(), 'package-created');
        await field(page, 'target_url').fill(`${receiver_url}/ok/created`);
        await field(page, 'description').fill('made in a browser');
        await fillJson(page, 'config', '{"big": 12345678901234567890, "tenant": "north"}');
        await field(page, 'additional_headers').fill('X-Tenant: north\nX-Other: 1');
        await submit(page, 'Create hook');
        const secret = await page.getByRole('dialog').getByLabel('Secret').inputValue();
        const id = sql("SELECT id FROM whisperer.hook WHERE description = 'made in a browser'");
        assert.match(secret, /^whsec_/);
        assert.equal(secret, sql(`SELECT whisperer.hook_secret(${id})`));
        await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
        await page.getByRole('button', { name: 'Copy' }).first().click();
        await until(async () => (await page.evaluate(() => navigator.clipboard.readText())) === secret, 'the secret is copied');
        await page.getByText('How the receiver verifies').click();
        for (const language of await page.getByLabel('Language').getByRole('option').allTextContents()) {
            await page.getByLabel('Language').selectOption(language);
            const code = await page.getByRole('region', { name: 'Code that verifies' }).textContent();
            if (!verifies(language, code, secret)) console.log(`# there is no ${language}`);
        }
        for (const look of [accessibility, contrast, overflow]) assert.deepEqual(await page.evaluate(look), []);
        await page.getByRole('button', { name: 'I have it' }).click();
        await page.getByRole('heading', { level: 1, name: 'package-created' }).waitFor();
        assert.ok(!(await page.content()).includes(secret), 'the secret is gone');
        await see(page, '12345678901234567890');
        await page.goto(page.url().replace(/#.*/, '#/hooks/new'));
        await field(page, 'event_type').fill('package-created');
        await field(page, 'target_url').fill(`${receiver_url}/ok/created`);
        await submit(page, 'Create hook');
        await page
            .getByRole('alert')
            .filter({ hasText: /already/ })
            .waitFor();
    });
}

async function signingKeyTest() {
    await test('who gives a signing key is shown the public half for the receiver, and no code that needs a secret', async () => {
        const [key, second] = sql('SELECT whisperer.make_signing_key(), whisperer.make_signing_key()').split('|');
        const page = await open('hooks/new');
        await field(page, 'event_type').fill('order-paid');
        await field(page, 'target_url').fill(`${receiver_url}/ok/signing-key`);
        await field(page, 'secret').selectOption('own');
        await field(page, 'secret_key').fill(key);
        await submit(page, 'Create hook');
        const dialog = page.getByRole('dialog');
        const hook = await until(() => sql("SELECT id FROM whisperer.hook WHERE target_url LIKE '%/ok/signing-key'"), 'the hook');
        const publicKey = () => sql(`SELECT whisperer.hook_public_key(${hook})`);
        assert.match(publicKey(), /^whpk_/);
        await dialog.getByText(publicKey()).waitFor();
        await dialog.getByText('docs/subscriber.md').waitFor();
        assert.equal(await dialog.getByText('How the receiver verifies').count(), 0);
        assert.ok(!(await page.content()).includes(key), 'the key itself is not shown');
        for (const look of [accessibility, contrast, overflow]) assert.deepEqual(await page.evaluate(look), []);
        assert.deepEqual(await axe(page), []);
        await page.getByRole('button', { name: 'I have it' }).click();
        await page.getByRole('button', { name: 'Rotate secret' }).click();
        await page.getByLabel('New secret').fill(second);
        await page.getByRole('button', { name: 'Rotate', exact: true }).click();
        await dialog.getByText('The new public key').waitFor();
        await dialog.getByText(publicKey()).waitFor();
        await page.getByRole('button', { name: 'I have it' }).click();
        sql(`SELECT whisperer.delete_hook(${hook})`);
    });
}

async function changeTests() {
    await test('an edit changes what was changed, and nothing else', async () => {
        const id = makeHook(
            'shop',
            'order-paid',
            `${receiver_url}/ok/edited`,
            `config => '{"big": 12345678901234567890, "auth": {"type": "bearer", "token": "not-for-eyes"}}', additional_headers => '{"X-Kept": "1"}'`,
        );
        const page = await hookPage(id);
        await page.getByRole('link', { name: 'Edit' }).click();
        await page.getByRole('heading', { name: `Edit hook ${id}` }).waitFor();
        await until(async () => (await field(page, 'config').inputValue()).includes('12345678901234567890'), 'numbers are whole');
        assert.ok(!(await page.content()).includes('not-for-eyes'), 'credentials are not shown');
        await field(page, 'description').fill('changed here');
        await fillJson(page, 'filter', '{"paid": 98765432109876543210}');
        await field(page, 'rate_limit').fill('2.5');
        await submit(page, 'Save');
        await see(page, 'changed here');
        const row = sql(`SELECT description, filter, rate_limit, config->>'big', config->'auth' FROM whisperer.hook WHERE id = ${id}`);
        assert.equal(row, 'changed here|{"paid": 98765432109876543210}|2.5|12345678901234567890|{"type": "bearer"}');
        await page.getByRole('link', { name: 'Edit' }).click();
        await fillJson(page, 'filter', '');
        await submit(page, 'Save');
        await until(() => sql(`SELECT filter IS NULL FROM whisperer.hook WHERE id = ${id}`) === 't', 'an emptied field is null');
    });

    await test('pause and resume', async () => {
        const id = makeHook('shop', 'order-paid', `${receiver_url}/ok/paused`);
        const page = await hookPage(id);
        await page.getByRole('button', { name: 'Pause' }).click();
        await page.locator('.badge', { hasText: 'paused' }).waitFor();
        await see(page, 'paused by a person');
        assert.equal(sql(`SELECT state FROM whisperer.hook WHERE id = ${id}`), 'paused');
        assert.equal(await page.getByRole('button', { name: 'Ping' }).count(), 0);
        await page.getByRole('button', { name: 'Resume' }).click();
        await page.getByRole('button', { name: 'Pause' }).waitFor();
        assert.equal(sql(`SELECT state FROM whisperer.hook WHERE id = ${id}`), 'active');
    });

    await test('a ping shows the answer, good or bad', async () => {
        const id = makeHook('shop', 'order-paid', `${receiver_url}/swing`);
        await script(receiver_url, '/swing', ['ok', 'status/503']);
        const page = await hookPage(id);
        await page.getByRole('button', { name: 'Ping' }).click();
        await page.locator('.block.good').getByText('answered').waitFor();
        assert.match(await page.locator('.block.good').textContent(), /HTTP status\s*200/);
        await page.getByRole('button', { name: 'Ping' }).click();
        await page.locator('.block.error').getByText('failed').waitFor();
        assert.match(await page.locator('.block.error').textContent(), /HTTP status\s*503.*status 503/s);
    });
}

async function exampleTests() {
    await test('the example of one of its types is sent to a hook, and the answer shown', async () => {
        sql(`SET ROLE shop; SELECT whisperer.register_event('example-made'), whisperer.register_event('example-none');
             SELECT whisperer.update_event('example-made', '{"example": {"id": 4711}}');`);
        const id = makeHook('shop', 'example-*, order-paid', `${receiver_url}/ok/example`);
        const page = await hookPage(id);
        await page.getByRole('button', { name: 'Send example …' }).click();
        const choice = page.getByRole('dialog').getByLabel('Event type');
        await choice.waitFor();
        const offered = await choice.getByRole('option').allTextContents();
        assert.deepEqual(offered, ['example-made', 'example-none: has no example', 'order-paid: has no example'], 'its types, and no others');
        await choice.selectOption('example-none');
        await page.getByRole('button', { name: 'Send', exact: true }).click();
        await see(page, 'It has no example.');
        await choice.selectOption('example-made');
        await page.getByRole('button', { name: 'Send', exact: true }).click();
        await page.locator('.block.good').getByText('Example of example-made').waitFor();
        assert.match(await page.locator('.block.good').textContent(), /HTTP status\s*200/);
        assert.equal(
            sql(`SELECT o.data->>'id' || ' ' || (o.meta->>'ping_of') FROM whisperer.outbox o JOIN whisperer.delivery d ON d.event_id = o.id WHERE d.hook_id = ${id}`),
            '4711 example-made',
        );
    });

    await test('where no type has an example, it is said how one comes to be', async () => {
        const id = makeHook('shop', 'example-none', `${receiver_url}/ok/no-example`);
        const page = await hookPage(id);
        await page.getByRole('button', { name: 'Send example …' }).click();
        await page.getByRole('dialog', { name: 'There is no example to send' }).waitFor();
        await see(page, "SELECT whisperer.update_event('example-none'");
        assert.deepEqual(await page.evaluate(accessibility), []);
        await page.getByRole('button', { name: 'Close' }).click();
        await page.getByRole('dialog').waitFor({ state: 'detached' });
    });
}

// What a poll asked for before an action may be answered after what the action itself read.
async function olderAnswerTest() {
    await test('an answer from before a pause does not bring back what was', async () => {
        const id = makeHook('shop', 'order-paid', `${receiver_url}/ok/older`);
        const page = await hookPage(id);
        const address = `**/whisperer/hooks/${id}/`;
        let hold, release;
        const held = new Promise((resolve) => (hold = resolve));
        const released = new Promise((resolve) => (release = resolve));
        const answerLate = async (route) => {
            const response = await route.fetch();
            hold(route.request());
            await released;
            await route.fulfill({ response });
        };
        await page.route(address, answerLate, { times: 1 });
        const older = await held;
        const pause = page.getByRole('button', { name: 'Pause', exact: true });
        const paused = page.locator('.badge', { hasText: 'paused' });
        await pause.click();
        await paused.waitFor();
        await page.getByRole('button', { name: 'Resume' }).waitFor();
        const ended = (event) => page.waitForEvent(event, (request) => request === older);
        const over = Promise.any([ended('requestfinished'), ended('requestfailed')]);
        const back = pause.waitFor().then(
            () => 'went back',
            () => 'stayed',
        );
        release();
        await over;
        // Once the next poll asks, the page is done with the older answer.
        const next = page.waitForRequest(address).then(() => 'went on');
        assert.equal(await Promise.race([back, next]), 'went on');
        assert.ok(await paused.isVisible());
        assert.ok(await page.getByRole('button', { name: 'Resume' }).isVisible());
    });
}

async function endTests() {
    await test('a secret is rotated: a new one, shown once, or one of one’s own', async () => {
        const id = makeHook('shop', 'order-paid', `${receiver_url}/ok/rotated`);
        const before = sql(`SELECT whisperer.hook_secret(${id})`);
        const page = await hookPage(id);
        await page.getByRole('button', { name: 'Rotate secret' }).click();
        await page.getByRole('button', { name: 'Rotate', exact: true }).click();
        const shown = await page.getByRole('dialog', { name: 'The new secret' }).getByLabel('Secret').inputValue();
        assert.equal(shown, sql(`SELECT whisperer.hook_secret(${id})`));
        assert.notEqual(shown, before);
        await page.getByRole('button', { name: 'I have it' }).click();
        await page.getByRole('button', { name: 'Rotate secret' }).click();
        await page.getByLabel('Overlap in hours').fill('a day');
        await page.getByRole('button', { name: 'Rotate', exact: true }).click();
        await see(page, 'A number of hours');
        await page.getByLabel('Overlap in hours').fill('0');
        await page.getByLabel('New secret').fill('whsec_c29tZXRoaW5nIHNlY3JldCBhbmQgbG9uZw==');
        await page.getByRole('button', { name: 'Rotate', exact: true }).click();
        await see(page, 'The secret was rotated.');
        assert.equal(sql(`SELECT whisperer.hook_secret(${id})`), 'whsec_c29tZXRoaW5nIHNlY3JldCBhbmQgbG9uZw==');
    });

    await test('deleting asks first', async () => {
        const id = makeHook('shop', 'order-paid', `${receiver_url}/ok/deleted`);
        const page = await hookPage(id);
        await page.getByRole('button', { name: 'Delete' }).click();
        await page.getByRole('dialog').getByText('will be cancelled').waitFor();
        await page.keyboard.press('Escape');
        assert.equal(sql(`SELECT state FROM whisperer.hook WHERE id = ${id}`), 'active');
        await page.getByRole('button', { name: 'Delete' }).click();
        await page.getByRole('button', { name: 'Delete hook' }).click();
        await page.getByRole('heading', { level: 1, name: 'Hooks' }).waitFor();
        assert.equal(sql(`SELECT state FROM whisperer.hook WHERE id = ${id}`), 'deleted');
        await page.getByLabel('State').selectOption('deleted');
        await page.locator('.url', { hasText: '/ok/deleted' }).waitFor();
    });
}

async function listTests() {
    await test('the list shows each hook’s health, and finds by text and state', async () => {
        const bad = makeHook('shop', 'package-shipped', `${receiver_url}/status/500/bad`, attempts(1));
        makeHook('shop', 'package-shipped', `${receiver_url}/ok/good`, `description => 'the warehouse'`);
        const waiting = makeHook('shop', 'package-shipped', `${receiver_url}/status/500/waiting`);
        deliver('shop', 'package-shipped', '{"id": 1}');
        await until(() => sql(`SELECT last_error FROM whisperer.hook_stats WHERE hook_id = ${waiting}`) !== '', 'the first attempt is counted');
        idle();
        const page = await open('hooks');
        const row = (text) => page.getByRole('row').filter({ hasText: text });
        await row('/status/500/bad').locator('.badge', { hasText: 'failing' }).waitFor();
        await row('/ok/good').locator('.badge', { hasText: 'healthy' }).waitFor();
        await row('/status/500/waiting').locator('.badge', { hasText: 'failing' }).waitFor();
        await row('/status/500/bad').getByText('of 1 delivery that ended').waitFor();
        await row('/status/500/waiting').getByText('no delivery ended').waitFor();
        await row('/status/500/waiting').getByText('0 of 1 attempt ever').waitFor();
        assert.match(await page.getByRole('row').nth(1).textContent(), /failing/, 'what needs attention comes first');
        await page.getByLabel('Search hooks').fill('warehouse');
        await until(async () => (await page.getByRole('row').count()) === 2, 'one hook is found');
        await page.getByLabel('Search hooks').fill('nothing like it');
        await see(page, 'No hook matches.');
        await page.getByLabel('Search hooks').fill('');
        await page.getByLabel('State').selectOption('attention');
        await until(async () => (await row('/ok/good').count()) === 0, 'healthy ones are left out');
        await row('/status/500/bad').getByRole('link').click();
        await page.getByRole('heading', { level: 1, name: 'package-shipped' }).waitFor();
        assert.ok(page.url().endsWith(`#/hooks/${bad}`));
        await page.goBack();
        await page.getByLabel('State').waitFor();
        assert.equal(await page.getByLabel('State').inputValue(), 'attention', 'the list is found as it was left');
    });
}

async function limitTest() {
    await test('more hooks or requests than the role may have are refused in words, with who may raise that', async () => {
        const page = await open('hooks/new');
        await field(page, 'event_type').fill('package-created');
        await field(page, 'target_url').fill(`${receiver_url}/ok/too-many`);
        const alert = page.getByRole('alert');
        const made = sql("SELECT count(*) FROM whisperer.hook WHERE owner = 'shop'::regrole AND is_active");
        try {
            sql(`ALTER ROLE shop SET whisperer.max_hooks_per_role = ${made}`);
            await submit(page, 'Create hook');
            await alert.filter({ hasText: `Role shop has ${made} hooks already` }).waitFor();
            await alert.filter({ hasText: `ask a superuser to raise the limit: ALTER ROLE shop SET whisperer.max_hooks_per_role = ` }).waitFor();
            sql('ALTER ROLE shop SET whisperer.max_requests_per_second = 1');
            await until(async () => {
                await submit(page, 'Create hook');
                return /Role shop may make 1 requests per second.*ask a superuser to raise the limit.*Try again in 1 s\./s.test((await alert.allInnerTexts()).join(' '));
            }, 'a request too many is told as that');
        } finally {
            sql('ALTER ROLE shop RESET ALL');
        }
        assert.equal(sql("SELECT count(*) FROM whisperer.hook WHERE owner = 'shop'::regrole AND is_active"), made, 'and none is made');
        await until(async () => {
            const answer = page.waitForResponse((response) => response.request().method() === 'POST');
            await submit(page, 'Create hook');
            return (await answer).status() === 201;
        }, 'when nothing limits it, it is made');
        await page.getByRole('dialog').getByRole('button', { name: 'I have it' }).click();
    });
}

export async function hooks() {
    await createTests();
    await createdTest();
    await signingKeyTest();
    await othersTypesTest();
    await changeTests();
    await exampleTests();
    await olderAnswerTest();
    await endTests();
    await listTests();
    await limitTest();
}
