// Signing in and out: who gets in, where the token is, what happens when it ends.
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';

import { console_url, open, see, test, token, until } from './browser.mjs';
import { accessibility, axe } from './checks.mjs';
import { sql, tokenOf } from './database.mjs';

const stored = (page) =>
    page.evaluate(() => ({
        session: Object.values({ ...sessionStorage }).join(),
        local: Object.values({ ...localStorage }).join(),
        cookie: document.cookie,
        place: location.href,
    }));

async function signIn(page, text) {
    await page.getByLabel('Token').fill(text);
    await page.keyboard.press('Enter');
}

// Serves the gateway below a path, as a reverse proxy may; answers with its address.
async function startProxy(path) {
    const server = createServer((incoming, outgoing) => {
        const target = new URL(incoming.url.replace(path, '/'), console_url);
        const onward = request(target, { method: incoming.method, headers: incoming.headers }, (answer) => {
            outgoing.writeHead(answer.statusCode, answer.headers);
            answer.pipe(outgoing);
        });
        onward.on('error', () => outgoing.destroy());
        incoming.pipe(onward);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { server, base: `http://127.0.0.1:${server.address().port}${path}console/` };
}

async function inTests() {
    await test('a bad token is refused beside the field', async () => {
        const page = await open('', { as: null });
        await page.getByLabel('Token').waitFor();
        const look = async (what) => {
            assert.deepEqual(await page.evaluate(accessibility), [], what);
            assert.deepEqual(await axe(page), [], what);
        };
        await look('before');
        await signIn(page, 'two words');
        await see(page, 'A token is one word');
        await look('with an error');
        await signIn(page, `what_1_${'x'.repeat(43)}`);
        await see(page, 'The server does not know this token');
        assert.equal(await page.getByLabel('Token').getAttribute('aria-invalid'), 'true');
        assert.equal((await stored(page)).session, '');
    });

    await test('a token signs in, and is kept in this tab alone', async () => {
        const page = await open('', { as: null });
        await signIn(page, token);
        await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
        await page.locator('.who', { hasText: 'shop' }).waitFor();
        const where = await stored(page);
        assert.equal(where.session, token);
        assert.ok(!where.local.includes(token) && where.cookie === '' && !where.place.includes(token), 'nowhere else');
        await page.reload();
        await page.locator('.who', { hasText: 'shop' }).waitFor();
        const other = await page.context().newPage();
        await other.goto(page.url());
        await other.getByLabel('Token').waitFor();
    });

    await test('a link to a place leads there after signing in', async () => {
        const page = await open('event-types', { as: null });
        await signIn(page, token);
        await page.getByRole('heading', { level: 1, name: 'Event types' }).waitFor();
        await see(page, 'package-created');
    });
}

async function outTests() {
    await test('signing out forgets the token', async () => {
        const page = await open('hooks');
        await page.getByRole('link', { name: 'Event types' }).click();
        await see(page, 'package-created');
        await page.getByRole('button', { name: 'Sign out' }).click();
        await page.getByLabel('Token').waitFor();
        assert.equal((await stored(page)).session, '');
        await page.goBack();
        await page.getByLabel('Token').waitFor();
    });

    await test('a token that is revoked leads back to signing in', async () => {
        const fleeting = tokenOf('shop');
        const page = await open('event-types', { as: fleeting });
        await see(page, 'package-created');
        sql(`SELECT whisperer.revoke_api_token(${fleeting.split('_')[1]})`);
        await until(async () => {
            await page
                .getByRole('link', { name: 'Overview' })
                .first()
                .click({ timeout: 1000 })
                .catch(() => {});
            await page
                .getByRole('link', { name: 'Hooks' })
                .first()
                .click({ timeout: 1000 })
                .catch(() => {});
            return page.getByLabel('Token').isVisible();
        }, 'the session ends');
        await see(page, 'Your session has ended');
        await page.goto(page.url().replace(/#.*/, '#/event-types'));
        await page.evaluate(() => new Promise((resolve) => setTimeout(resolve)));
        await see(page, 'Your session has ended');
        assert.equal((await stored(page)).session, '');
    });
}

async function placeTests() {
    await test('it works below a path of a reverse proxy', async () => {
        const { server, base } = await startProxy('/some/where/');
        const page = await open('event-types', { base });
        await see(page, 'package-created');
        await page.getByRole('link', { name: 'Deliveries', exact: true }).first().click();
        await page
            .getByRole('table', { name: /^Deliveries/ })
            .or(page.getByText('No delivery matches.'))
            .first()
            .waitFor();
        server.closeAllConnections();
        server.close();
    });

    await test('where there is nothing yet the pages say how to begin', async () => {
        const page = await open('hooks', { as: tokenOf('many') });
        await see(page, 'There is no hook yet.');
        await page.goto(page.url().replace(/#.*/, '#/deliveries'));
        await see(page, 'No delivery matches.');
        await page.goto(page.url().replace(/#.*/, '#/overview'));
        await see(page, 'There is no hook yet.');
        await page.goto(page.url().replace(/#.*/, '#/nowhere'));
        await see(page, 'There is no such page.');
        await page.goto(page.url().replace(/#.*/, '#/hooks/999999'));
        await page.getByRole('alert').waitFor();
        await see(page, 'Request');
    });
}

export async function signing() {
    await inTests();
    await outTests();
    await placeTests();
}

// The last of all: whoever tries wrong tokens has to wait, and all tests come from one address.
export async function throttled() {
    await test('after several wrong tokens the server asks for a pause, and gets it', async () => {
        const page = await open('', { as: null });
        const asked = page.getByText(/^Try again in \d+ s\.$/);
        for (let i = 0; !(await asked.isVisible()); i++) {
            assert.ok(i < 20, 'twenty wrong tokens are too many');
            const answer = page.waitForResponse((response) => response.url().endsWith('/session/'));
            await signIn(page, `what_${i}_${'y'.repeat(43)}`);
            await answer;
            await page.locator('.field-error:not(:empty), .block.error').first().waitFor();
        }
        await signIn(page, token);
        await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
    });
}
