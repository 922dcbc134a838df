// Markup and script in everything that others write: hooks, event types, payloads, answers, errors, names of headers
// and roles.  It must show as it was written, and nothing of it may run.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';

import { asJson, open, see, test, until } from './browser.mjs';
import { markup } from './checks.mjs';
import { deliveriesOf, makeHook, sql, tokenOf } from './database.mjs';

const evil = `<img src=x onerror="window.ran='image'">"><script>window.ran='script'</script>`;
const link = `javascript:window.ran='link'//`;
const template = '{{constructor.constructor(`window.ran=1`)()}}<b>bold</b>';
const role = '<img src=x onerror=ran=7>';
const type = `<img src=x onerror="ran='type'"> 100 % & #/?`;
const functions = {
    transform: '<img src=x onerror=ran="transform">',
    callback: '<img src=x onerror=ran="callback">',
    countdown: '<img src=x onerror=ran="countdown">',
};
// As the page of a hook shows them: quoted names, one of them within JSON.
const function_texts = ['<img src=x onerror=ran=""transform"">', '<img src=x onerror=ran=""callback"">', String.raw`ran=\"\"countdown`];

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

// Functions of the hook's owner whose names are markup; the callback fails with more of it.
function makeFunctions() {
    sql(
        `SET ROLE :"role";
         CREATE FUNCTION public.:"transform"(event json) RETURNS json LANGUAGE sql RETURN event;
         CREATE FUNCTION public.:"callback"(response jsonb, event_type text, data json, payload json)
             RETURNS void LANGUAGE plpgsql AS :'body';
         CREATE FUNCTION public.:"countdown"(retry_count integer, kwargs jsonb) RETURNS interval LANGUAGE sql RETURN interval '0';`,
        { role, ...functions, body: `BEGIN RAISE EXCEPTION USING MESSAGE = $m$${evil}$m$; END` },
    );
}

function prepare(port) {
    sql(
        `CREATE ROLE :"role"; GRANT USAGE ON SCHEMA whisperer TO :"role"; GRANT CREATE ON SCHEMA public TO :"role"; GRANT :"role" TO gateway;
         SET ROLE :"role";
         SELECT whisperer.register_event(:'type', :'evil');
         CREATE TABLE hostile (id text PRIMARY KEY, name text, link text, :"evil_column" text);
         CREATE TRIGGER hostile AFTER INSERT ON hostile FOR EACH ROW EXECUTE FUNCTION whisperer.capture(:'type');`,
        { role, type, evil, evil_column: '<b onclick=ran=1>' },
    );
    makeFunctions();
    const hook = makeHook(
        `"${role}"`,
        type,
        `http://127.0.0.1:${port}/"><script>window.ran='url'</script>?q=${link}`,
        `description => :'evil', secret_key => :'evil', additional_headers => jsonb_build_object('X-Evil', :'evil'::text),
         config => jsonb_build_object(:'evil'::text, :'template'::text, 'link', :'link'::text), filter => jsonb_build_object('name', :'evil'::text),
         transform => format('public.%I', :'transform'), callback => format('public.%I', :'callback'),
         retry_countdown_config => jsonb_build_object('choice', 'custom', 'max_retries', 0, 'kwargs', jsonb_build_object(
             'function', format('public.%I', :'countdown'), :'evil'::text, :'link'::text))`,
        { evil, link, template, ...functions },
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

// Its heading comes first: the view before may have the same texts.
async function harmless(page, where, heading, ...texts) {
    await page.goto(page.url().replace(/#.*/, `#/${where}`));
    await page.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor();
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
        await harmless(page, 'hooks', 'Hooks', "window.ran='url'");
        await harmless(page, `hooks/${hook}`, type, link, template, "window.ran='url'", role, ...function_texts);
        await harmless(page, 'overview', 'Overview');
        await page.goto(page.url().replace(/#.*/, '#/event-types'));
        await page.getByText('Sample').click();
        await until(async () => (await page.locator('main').innerText()).includes(link), 'the sample shows');
        await harmless(page, 'event-types', 'Event types', role);
        sql("SELECT whisperer.create_api_token(quote_ident(:'role')::regrole, :'evil')", { role, evil });
        await harmless(page, 'tokens', 'Tokens', role);
        await page.getByRole('button', { name: 'New token …' }).click();
        await page.getByRole('dialog').getByLabel('Role').waitFor();
        assert.deepEqual(await page.evaluate(markup), []);
        await page.keyboard.press('Escape');
        await page.goto(page.url().replace(/#.*/, `#/hooks/${hook}/edit`));
        await until(async () => (await page.locator('[name=description]').inputValue()) === evil, 'the form holds it');
        assert.ok((await page.locator('[name=transform]').inputValue()).includes('ran='));
        assert.deepEqual(await page.evaluate(markup), []);
    });

    await test('markup in payloads, answers and errors shows as text and does not run', async () => {
        const page = await open('deliveries', { as });
        await harmless(page, 'deliveries', 'Deliveries');
        await page.getByRole('table').getByRole('link', { name: type }).click();
        await page.getByRole('heading', { level: 1, name: type }).waitFor();
        const place = new URL(page.url()).hash.slice(2);
        await harmless(page, place, type, link, `<a href="${link}">click</a>`, '<b onclick=ran=1>');
        await page.getByRole('button', { name: 'Retry', exact: true }).click();
        await page.getByRole('region', { name: 'Answer to the retry' }).or(page.locator('.block.warn')).first().waitFor();
        assert.deepEqual(await page.evaluate(markup), []);
    });

    await test('markup in what is typed, and in what the server says of it, shows as text', async () => {
        const page = await open(`hooks/new?event_type=${encodeURIComponent(evil)}`, { as });
        await page.locator('[name=target_url]').fill(link);
        await page.locator('[name=additional_headers]').fill('<img/src=x/onerror=ran=1>: x');
        await (await asJson(page, 'retry_countdown_config')).fill('{"choice": "fixed", "<img src=x onerror=ran=1>": 1}');
        await page.getByRole('button', { name: 'Create hook' }).click();
        await see(page, 'cannot be the name of a header');
        assert.deepEqual(await page.evaluate(markup), []);
        await page.locator('[name=event_type]').fill(type);
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
        // The one page that may frame the console is named; nothing else of another origin is.
        const framed = `; frame-ancestors ${new URL(process.env.EMBEDDER).origin}`;
        assert.ok(policy.endsWith(framed), policy);
        assert.doesNotMatch(policy.slice(0, -framed.length), /unsafe|\*|https?:/);
    });
    server.closeAllConnections();
    server.close();
}
