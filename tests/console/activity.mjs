// What moves by itself: charts and figures, and what happens when the server is busy or gone.
import assert from 'node:assert/strict';

import { console_url, open, receiver_url, see, test, until } from './browser.mjs';
import { accessibility, contrast, overflow } from './checks.mjs';
import { attempts, deliver, idle, makeHook, registerTypes, script, sql } from './database.mjs';

// An hour of a hook's past, as the worker would have counted it.
export function writePast(hook, { busy = 60, failing = 0.05, bucket = 14, minutes = 58 } = {}) {
    sql(`INSERT INTO whisperer.hook_minute
         SELECT ${hook}, date_trunc('minute', now()) - m * interval '1 minute', n, f, f / 6,
                array_fill(0, ARRAY[${bucket} - 1]) || ARRAY[n * 6 / 10, n * 3 / 10, n / 12, n / 60] || array_fill(0, ARRAY[48 - ${bucket} - 3]),
                n * (60 - m), f * (60 - m), f / 6 * (60 - m), 20000::bigint * n * (60 - m), CASE WHEN f > 0 THEN 'HTTP status 503' END
         FROM generate_series(1, ${minutes}) m,
              LATERAL (SELECT (${busy} * (1 + 0.45 * sin(m / 8.0) + 0.2 * cos(m * 1.7)))::int AS n) a,
              LATERAL (SELECT (n * ${failing} * (1 + sin(m / 4.0)))::int AS f) b
         ON CONFLICT DO NOTHING`);
}

const chart = (page, title) => page.locator('figure.chart').filter({ has: page.getByRole('heading', { name: title, exact: true }) });

async function chartTests() {
    await test('the charts show what was delivered, what failed, how fast, and how late', async () => {
        registerTypes('shop', 'charted');
        const hook = makeHook('shop', 'charted', `${receiver_url}/ok/charted`);
        writePast(hook);
        deliver('shop', 'charted', '{}');
        idle();
        const page = await open(`hooks/${hook}`);
        const bars = chart(page, 'Deliveries per minute').locator('rect.series-1');
        await until(async () => (await bars.count()) >= 55, 'a bar for each minute');
        assert.ok((await chart(page, 'Failed attempts per minute').locator('rect.series-1').count()) > 10);
        assert.match(await chart(page, 'Response time').locator('.plot path.line-2').getAttribute('d'), /^M.*L/);
        assert.match(await chart(page, 'Deliveries per minute').locator('svg[role=img]').getAttribute('aria-label'), /at most \d+/);
        await chart(page, 'Deliveries per minute').getByText('Values').click();
        await until(async () => (await chart(page, 'Deliveries per minute').locator('tbody tr').count()) >= 58, 'the values are a table, too');
        await bars.nth(20).hover();
        const readout = chart(page, 'Deliveries per minute').locator('.readout');
        await until(async () => /^\d\d:\d\d {2}\d+/.test(await readout.textContent()), 'the value under the pointer is said');
        await page.getByLabel('Last', { exact: true }).selectOption('24');
        await until(async () => (await bars.count()) < 10, 'a day has wider bars');
        await page.goto(page.url().replace(/#.*/, '#/overview'));
        await until(async () => (await chart(page, 'Deliveries per minute').locator('rect.series-1').count()) >= 55, 'all hooks together');
        await until(
            async () => (await chart(page, 'Lag').locator('.plot .dot-1, .plot path.line-1:not([d=""])').count()) > 0,
            'the lag is drawn',
        );
        await page.locator('.workers .badge.good').waitFor();
    });
}

const tile = (page, name) => page.locator('.tile').filter({ has: page.locator('dt', { hasText: name }) });

async function figureTests() {
    await test('a share of success says of which deliveries, and how many attempts they took', async () => {
        registerTypes('shop', 'shared');
        const hook = makeHook('shop', 'shared', `${receiver_url}/ok/shared`);
        writePast(hook, { busy: 40, failing: 0.3, minutes: 50 });
        const hour = (of) => sql(`SELECT ${of} FROM whisperer.hook_stats s, (SELECT sum(delivered) AS good, sum(failed_attempts) AS bad
            FROM whisperer.delivery_rate WHERE hook_id = ${hook} AND minute >= now() - interval '1 hour') r WHERE s.hook_id = ${hook}`);
        const say = (number) => `to_char(${number}, 'FM999,999')`;
        const wanted = hour(`'of ' || ${say('s.delivered + s.failed')} || ' deliveries that ended, ' || ${say('good')} || ' of ' || ${say('good + bad')} || ' attempts, last hour'`);
        const page = await open(`hooks/${hook}`);
        assert.equal(await tile(page, 'Success').locator('small').textContent(), wanted);
        await page.goto(page.url().replace(/#.*/, '#/overview'));
        await tile(page, 'Success').waitFor();
        assert.match(await tile(page, 'Success').textContent(), /of [\d,]+ deliveries that ended, [\d,]+ of [\d,]+ attempts, last hour/);
        await page.goto(page.url().replace(/#.*/, '#/hooks?q=shared'));
        const ever = sql(`SELECT ${say('delivered_total')} || ' of ' || ${say('delivered_total + failed_attempts_total')} || ' attempts ever' FROM whisperer.hook_stats WHERE hook_id = ${hook}`);
        const row = page.getByRole('table', { name: 'Hooks' }).getByRole('row').filter({ hasText: '/ok/shared' });
        await row.getByText(ever).waitFor();
        await row.getByText(wanted.replace(/ended, .*/, 'ended')).waitFor();
    });

    await test('a rate of nothing is 0 a second', async () => {
        const page = await open('', { as: null });
        await page.route('**/whisperer/status/**', async (route) => {
            const response = await route.fetch();
            const json = await response.json();
            for (const worker of json.results) worker.rate = 0;
            await route.fulfill({ response, json });
        });
        await page.getByLabel('Token').fill(process.env.CONSOLE_TOKEN);
        await page.keyboard.press('Enter');
        await tile(page, 'Rate').waitFor();
        assert.equal(await tile(page, 'Rate').locator('dd').evaluate((node) => node.firstChild.textContent), '0/s');
    });
}

async function pollTest() {
    await test('the overview goes on by itself, and rests while its tab is hidden', async () => {
        const page = await open('', { as: null });
        await page.clock.install();
        await page.goto(`${console_url}icon.svg`);
        await page.evaluate((text) => sessionStorage.setItem('whisperer-token', text), process.env.CONSOLE_TOKEN);
        let asked = 0;
        page.on('request', (request) => {
            if (request.url().includes('/whisperer/status/')) asked++;
        });
        await page.goto(`${console_url}#/overview`);
        await until(() => asked >= 1, 'it asks at once');
        await until(async () => {
            await page.clock.runFor(1000);
            return asked >= 3;
        }, 'it asks again');
        const show = (state) =>
            page.evaluate((text) => {
                Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => text });
                document.dispatchEvent(new Event('visibilitychange'));
            }, state);
        await show('hidden');
        await page.locator('.workers .badge').waitFor();
        const before = asked;
        await page.clock.runFor(60000);
        assert.equal(asked, before, 'a hidden tab asks for nothing');
        await show('visible');
        await until(() => asked > before, 'a tab that is shown again asks at once');
    });
}

async function faultTests() {
    await test('a server that asks for a pause gets it', async () => {
        const page = await open('event-types', { as: null });
        const times = [];
        await page.route('**/whisperer/hooks/registry/**', (route) => {
            times.push(Date.now());
            if (times.length > 1) return route.continue();
            return route.fulfill({
                status: 503,
                headers: { 'Retry-After': '3', 'X-Request-Id': 'r-1' },
                contentType: 'application/json',
                body: '{"code": "busy", "message": "too busy"}',
            });
        });
        await page.getByLabel('Token').fill(process.env.CONSOLE_TOKEN);
        await page.keyboard.press('Enter');
        await see(page, 'The server asks for a pause.');
        await see(page, 'package-created');
        assert.ok(times[1] - times[0] >= 2950, 'it is asked again when the pause is over');
        await until(async () => !(await page.getByText('The server asks for a pause.').isVisible()), 'the notice goes away');
    });

    await test('a failure is shown in the server’s words, with the request’s id, and can be tried again', async () => {
        const page = await open('deliveries', { as: null });
        const answers = [
            (route) =>
                route.fulfill({
                    status: 500,
                    headers: { 'X-Request-Id': 'req-77' },
                    contentType: 'application/json',
                    body: '{"code": "internal", "message": "something went wrong on the server"}',
                }),
            (route) => route.fulfill({ status: 502, contentType: 'text/html', body: '<h1>Bad <b>gateway</b></h1>' }),
            (route) => route.abort(),
        ];
        await page.route('**/whisperer/hook_events/**', (route) => (answers.shift() ?? ((one) => one.continue()))(route));
        await page.getByLabel('Token').fill(process.env.CONSOLE_TOKEN);
        await page.keyboard.press('Enter');
        await see(page, /something went wrong on the server/i);
        await see(page, 'req-77');
        await page.getByRole('button', { name: 'Try again' }).click();
        await see(page, 'The server answered 502');
        await page.getByRole('button', { name: 'Try again' }).click();
        await see(page, 'The gateway cannot be reached.');
        await page.getByRole('button', { name: 'Try again' }).click();
        await page
            .getByRole('table', { name: /^Deliveries/ })
            .or(page.getByText('No delivery matches.'))
            .first()
            .waitFor();
    });
}

async function circuitTest() {
    await test('a hook whose circuit is open says so', async () => {
        registerTypes('shop', 'broken');
        const hook = makeHook('shop', 'broken', 'http://127.0.0.1:1/closed', attempts(1));
        sql("SET ROLE shop; SELECT count(whisperer.deliver_event('broken', json_build_object('n', n))) FROM generate_series(1, 12) n;");
        await until(() => sql(`SELECT circuit FROM whisperer.hook_stats WHERE hook_id = ${hook}`) === 'open', 'the circuit opens');
        const page = await open('overview');
        const row = page.getByRole('table', { name: 'Hooks in need of attention' }).getByRole('row').filter({ hasText: 'broken' });
        await row.locator('.badge', { hasText: 'circuit open' }).waitFor();
        await row.getByRole('link').click();
        await page.locator('.card.bad').getByText('Circuit').waitFor();
    });

    await test('and a ping that its receiver answers closes it', async () => {
        registerTypes('shop', 'swinging');
        await script(receiver_url, '/ok/swinging', Array(200).fill('status/500'));
        const hook = makeHook('shop', 'swinging', `${receiver_url}/ok/swinging`, attempts(1));
        sql("SET ROLE shop; SELECT count(whisperer.deliver_event('swinging', json_build_object('n', n))) FROM generate_series(1, 12) n;");
        await until(() => sql(`SELECT circuit FROM whisperer.hook_stats WHERE hook_id = ${hook}`) === 'open', 'the circuit opens');
        const page = await open('hooks');
        const row = page.getByRole('row').filter({ hasText: '/ok/swinging' });
        await row.locator('.badge', { hasText: 'circuit open' }).waitFor();
        await row.getByRole('link').first().click();
        const facts = page.locator('.card.bad');
        await facts.getByText(/^open: \d+ of \d+ attempts failed within 5 min, next try /).waitFor();
        await facts.getByText('HTTP status 500').waitFor();
        await page.locator('.badge', { hasText: 'circuit open' }).waitFor();
        for (const look of [accessibility, contrast, overflow]) assert.deepEqual(await page.evaluate(look), []);
        const ping = page.getByRole('button', { name: 'Ping', exact: true });
        await ping.click();
        await page.locator('.block.error').getByText('failed').waitFor();
        await script(receiver_url, '/ok/swinging', []);
        await ping.click();
        await page.locator('.block.good').getByText('answered').waitFor();
        await until(() => sql(`SELECT circuit FROM whisperer.hook_stats WHERE hook_id = ${hook}`) === 'closed', 'the circuit closes');
        await page.locator('.badge', { hasText: 'circuit open' }).waitFor({ state: 'detached' });
        assert.equal(await page.getByText('next try').count(), 0);
    });
}

export async function activity() {
    await chartTests();
    await figureTests();
    await pollTest();
    await faultTests();
    await circuitTest();
}
