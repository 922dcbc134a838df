// A link into the console: one customer's hooks, in a page of the application that made it, until it ends.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';

import { console_url, open, receiver_url, see, test, until } from './browser.mjs';
import { accessibility, axe, contrast, overflow } from './checks.mjs';
import { makeHook, sql } from './database.mjs';

const linkOf = (role, valid = '1 hour') => sql(`SELECT whisperer.create_portal_link(quote_ident(:'role')::regrole, :'valid')`, { role, valid });
const tokenIn = (link) => link.replace(/.*=/, '');
const inConsole = (link) => new URL(link.replace('console/', ''), console_url).href;

// The application, with the console in a frame; the gateway is told that it may.  Answers with its port.
async function startShop(frames) {
    const server = createServer((request, response) => {
        response.writeHead(200, { 'Content-Type': 'text/html' });
        response.end(`<!doctype html><html lang="en"><title>shop</title><h1>Webhooks</h1><iframe title="hooks" width="900" height="600" src="${frames.src}"></iframe>`);
    });
    await new Promise((resolve) => server.listen(Number(process.env.EMBEDDER_PORT), resolve));
    return server;
}

async function openTests(mine, others) {
    await test('a link opens the console for the hooks of one role, and leaves the address at once', async () => {
        const link = linkOf('shop');
        const page = await open('', { as: null });
        await page.goto(inConsole(link));
        await page.getByRole('heading', { level: 1, name: 'Hooks' }).waitFor();
        await see(page, '/ok/portal-mine');
        assert.equal(await page.getByText('/ok/portal-other').count(), 0, 'of nobody else');
        assert.ok(!page.url().includes('whap_') && !(await page.evaluate(() => document.body.innerHTML)).includes(tokenIn(link)));
        assert.deepEqual(await page.getByRole('navigation', { name: 'Main' }).getByRole('link').allTextContents(), ['Hooks', 'Deliveries', 'Event types']);
        assert.equal(await page.getByRole('button', { name: 'Sign out' }).count(), 0);
        for (const look of [accessibility, contrast, overflow]) assert.deepEqual(await page.evaluate(look), []);
        assert.deepEqual(await axe(page), []);
        await page.goto(page.url().replace(/#.*/, `#/hooks/${others}`));
        await see(page, 'There is no such hook');
        await page.goto(page.url().replace(/#.*/, `#/hooks/${mine}`));
        await page.getByRole('button', { name: 'Pause' }).click();
        await until(() => sql(`SELECT state FROM whisperer.hook WHERE id = ${mine}`) === 'paused', 'what is done is done');
        await page.reload();
        await page.getByRole('button', { name: 'Resume' }).waitFor();
    });

    await test('its token is for the console alone', async () => {
        const headers = { Authorization: `Bearer ${tokenIn(linkOf('shop'))}`, 'Content-Type': 'application/json' };
        const ask = async (path, more) => (await fetch(new URL(path, console_url), { headers, ...more })).status;
        assert.equal(await ask('../whisperer/hooks/'), 200);
        assert.equal(await ask('../whisperer/events/', { method: 'POST', body: '{"event_type": "package-created", "data": {}}' }), 403);
        assert.equal(await ask('../metrics'), 403);
    });

    await test('when it has ended the page says so, and asks for no token', async () => {
        const link = linkOf('shop');
        const page = await open('', { as: null });
        await page.goto(inConsole(link));
        await see(page, '/ok/portal-mine');
        sql(`SELECT whisperer.revoke_api_token(${tokenIn(link).split('_')[1]})`);
        await until(async () => {
            for (const name of ['Deliveries', 'Hooks'])
                await page.getByRole('link', { name, exact: true }).first().click({ timeout: 500 }).catch(() => {});
            return page.getByRole('heading', { level: 1, name: 'This link has ended' }).isVisible();
        }, 'the link ends');
        assert.equal(await page.getByLabel('Token').count(), 0);
        for (const look of [accessibility, contrast]) assert.deepEqual(await page.evaluate(look), []);
        assert.deepEqual(await axe(page), []);
        await page.goto(inConsole(linkOf('shop')));
        await see(page, '/ok/portal-mine');
    });
}

async function frameTests() {
    await test('a page that the gateway was told of shows it in a frame, and no other page does', async () => {
        const frames = { src: inConsole(linkOf('shop')) };
        const shop = await startShop(frames);
        const page = await open('', { as: null, base: process.env.EMBEDDER, embeds: true });
        const frame = page.frameLocator('iframe');
        await frame.getByText('/ok/portal-mine').first().waitFor();
        await frame.getByRole('link', { name: 'Event types' }).click();
        await frame.getByText('package-created').first().waitFor();
        const [, inner] = page.frames();
        assert.deepEqual(await inner.evaluate(accessibility), []);
        assert.deepEqual(await axe(inner), []);
        const refused = page.waitForEvent('console', (message) => /frame-ancestors/.test(message.text()));
        await page.goto(`http://127.0.0.1:${process.env.EMBEDDER_PORT}/`);
        await refused;
        assert.equal(await frame.getByText('/ok/portal-mine').count(), 0);
        shop.closeAllConnections();
        shop.close();
    });
}

export async function portal() {
    const mine = makeHook('shop', 'package-created', `${receiver_url}/ok/portal-mine`);
    const others = makeHook('many', 'package-created', `${receiver_url}/ok/portal-other`);
    await openTests(mine, others);
    await frameTests();
    sql(`SELECT whisperer.delete_hook(id) FROM unnest(ARRAY[${mine}, ${others}]) AS id`);
}
