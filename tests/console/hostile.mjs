// Markup and script in everything that others write: hooks, event types, payloads, answers, errors, names of headers
// and roles.  It must show as it was written, and nothing of it may run.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';

import { open, see, test, until } from './browser.mjs';
import { markup } from './checks.mjs';
import { attempts, deliveriesOf, makeHook, sql, tokenOf } from './database.mjs';

const evil = `<img src=x onerror="window.ran='image'">"><script>window.ran='script'</script>`;
const link = `javascript:window.ran='link'//`;
const template = '{{constructor.constructor(`window.ran=1`)()}}<b>bold</b>';
const role = '<img src=x onerror=ran=7>';

// Answers 500 with markup, in type and body.
async function startReceiver() {
    const server = createServer((request, response) => {
        request.resume();
        request.on('end', () => {
            response.writeHead(500, { 'Content-Type': 'text/html', 'X-Evil': '<script>ran=1</script>' });
            response.end(`<html><body>${evil}<a href="${link}">click</a></body></html>`);
        });
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return server;
}

function prepare(port) {
    sql(
        `CREATE ROLE :"role"; GRANT USAGE ON SCHEMA whisperer TO :"role"; GRANT CREATE ON SCHEMA public TO :"role"; GRANT :"role" TO gateway;
         SET ROLE :"role";
         SELECT whisperer.register_event('hostile', :'evil');
         CREATE TABLE hostile (id text PRIMARY KEY, name text, link text, :"evil_column" text);
         CREATE TRIGGER hostile AFTER INSERT ON hostile FOR EACH ROW EXECUTE FUNCTION whisperer.capture('hostile');`,
        { role, evil, evil_column: '<b onclick=ran=1>' },
    );
    const hook = makeHook(
        `"${role}"`,
        'hostile',
        `http://127.0.0.1:${port}/"><script>window.ran='url'</script>?q=${link}`,
        `${attempts(1)}, description => :'evil',
         config => jsonb_build_object(:'evil'::text, :'template'::text, 'link', :'link'::text), filter => jsonb_build_object('name', :'evil'::text)`,
        { evil, link, template },
    );
    sql(`SET ROLE :"role"; INSERT INTO hostile VALUES (:'evil', :'evil', :'link', :'template');`, {
        role,
        evil,
        link,
        template,
    });
    return hook;
}

// What a fault might bring: the ledger's error and the reasons of a hook's state are texts of others, too.
function writeErrors(hook) {
    sql(
        `UPDATE whisperer.delivery SET error = :'evil' WHERE hook_id = ${hook};
         UPDATE whisperer.hook_minute SET last_error = :'evil' WHERE hook_id = ${hook};
         INSERT INTO whisperer.hook_run AS r (hook_id, circuit_reason, circuit_opened_at, circuit_retry_at, function_error,
             function_error_at, failing_since)
         VALUES (${hook}, :'evil', now(), now() + interval '1 hour', :'evil', now(), now())
         ON CONFLICT (hook_id) DO UPDATE SET circuit_reason = :'evil', circuit_opened_at = now(),
             circuit_retry_at = now() + interval '1 hour',
             function_error = :'evil', function_error_at = now(), failing_since = now();`,
        { evil },
    );
}

async function harmless(page, where, ...texts) {
    await page.goto(page.url().replace(/#.*/, `#/${where}`));
    for (const text of [evil, ...texts])
        await until(async () => (await page.locator('main').innerText()).includes(text), `${where} shows ${text}`);
    assert.deepEqual(await page.evaluate(markup), [], where);
}

export async function hostile() {
    const server = await startReceiver();
    const hook = prepare(server.address().port);
    await until(() => deliveriesOf(hook, 'failed') === 1, 'the hostile delivery has failed');
    await until(() => Number(sql(`SELECT count(*) FROM whisperer.hook_minute WHERE hook_id = ${hook}`)) > 0, 'it is counted');
    writeErrors(hook);
    const as = tokenOf(role);

    await test('markup in hooks, event types and roles shows as text and does not run', async () => {
        const page = await open('hooks', { as });
        await page.locator('.who', { hasText: role }).waitFor();
        await harmless(page, 'hooks', "window.ran='url'");
        await harmless(page, `hooks/${hook}`, link, template, "window.ran='url'", role);
        await harmless(page, 'overview');
        await page.goto(page.url().replace(/#.*/, '#/event-types'));
        await page.getByText('Sample').click();
        await until(async () => (await page.locator('main').innerText()).includes(link), 'the sample shows');
        await harmless(page, 'event-types', role);
        await page.goto(page.url().replace(/#.*/, `#/hooks/${hook}/edit`));
        await until(async () => (await page.locator('[name=description]').inputValue()) === evil, 'the form holds it');
        assert.deepEqual(await page.evaluate(markup), []);
    });

    await test('markup in payloads, answers and errors shows as text and does not run', async () => {
        const page = await open('deliveries', { as });
        await harmless(page, 'deliveries');
        await page.getByRole('table').getByRole('link', { name: 'hostile' }).click();
        await page.getByRole('heading', { level: 1, name: 'hostile' }).waitFor();
        const place = new URL(page.url()).hash.slice(2);
        await harmless(page, place, link, `<a href="${link}">click</a>`, '<b onclick=ran=1>');
        await page.getByRole('button', { name: 'Retry', exact: true }).click();
        await page.getByRole('region', { name: 'Answer to the retry' }).or(page.locator('.block.warn')).first().waitFor();
        assert.deepEqual(await page.evaluate(markup), []);
    });

    await test('markup in what is typed, and in what the server says of it, shows as text', async () => {
        const page = await open(`hooks/new?event_type=${encodeURIComponent(evil)}`, { as });
        await page.locator('[name=target_url]').fill(link);
        await page.locator('[name=additional_headers]').fill('<img/src=x/onerror=ran=1>: x');
        await page.locator('[name=retry_countdown_config]').fill('{"choice": "fixed", "<img src=x onerror=ran=1>": 1}');
        await page.getByRole('button', { name: 'Create hook' }).click();
        await see(page, 'cannot be the name of a header');
        assert.deepEqual(await page.evaluate(markup), []);
        await page.locator('[name=event_type]').fill('hostile');
        await page.locator('[name=target_url]').fill('https://example.com/');
        await page.locator('[name=additional_headers]').fill('X-Fine: x');
        await page
            .locator('[name=retry_countdown_config]')
            .fill('{"choice": "fixed", "kwargs": {"seconds": 1, "<img src=x onerror=ran=1>": 1}}');
        await page.getByRole('button', { name: 'Create hook' }).click();
        await page.locator('.field-error', { hasText: '<img src=x onerror=ran=1>' }).waitFor();
        await page.goto(
            page.url().replace(/#.*/, `#/deliveries?event_type=${encodeURIComponent(evil)}&object_id=${encodeURIComponent(evil)}`),
        );
        await see(page, 'No delivery matches.');
        await page.goto(page.url().replace(/#.*/, `#/${encodeURIComponent(evil)}`));
        await see(page, 'There is no such page.');
        assert.deepEqual(await page.evaluate(markup), []);
    });

    await test('the policy would stop a script that got in, and no address answers without it', async () => {
        const page = await open('overview', { as });
        await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
        const policy = (await (await page.request.get(page.url())).headers())['content-security-policy'];
        assert.match(policy, /default-src 'none'/);
        assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    });
    server.closeAllConnections();
    server.close();
}
