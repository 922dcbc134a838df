// Tokens made and revoked in the console: who may, and where a token is, which is nowhere but in the dialog that shows it.
import assert from 'node:assert/strict';

import { console_url, open, see, test, until } from './browser.mjs';
import { accessibility, contrast, overflow } from './checks.mjs';
import { sql, tokenOf } from './database.mjs';

const row = (page, id) => page.getByRole('row').filter({ has: page.getByText(`what_${id}_…`) });
const statusWith = async (token) => (await fetch(new URL('../whisperer/session/', console_url), { headers: { Authorization: `Bearer ${token}` } })).status;

async function make(page, description, more = async () => {}) {
    await page.getByRole('button', { name: 'New token …' }).click();
    await page.getByLabel('What it is for').fill(description);
    await more();
    await page.getByRole('button', { name: 'Make token' }).click();
}

async function madeTests() {
    await test('a token is made, shown once, and kept nowhere', async () => {
        const page = await open('tokens');
        const addresses = [];
        page.on('request', (request) => addresses.push(request.url()));
        await page.getByRole('table', { name: /^Tokens/ }).waitFor();
        await page.getByRole('button', { name: 'New token …' }).click();
        await page.getByRole('button', { name: 'Make token' }).click();
        await see(page, 'This is needed.');
        await page.keyboard.press('Escape');
        await make(page, 'warehouse of the tests');
        const dialog = page.getByRole('dialog', { name: 'The new token' });
        const token = await dialog.getByLabel('Token').inputValue();
        assert.match(token, /^what_\d+_[\w-]{43}$/);
        assert.equal(await statusWith(token), 200, 'it lets in');
        for (const look of [accessibility, contrast, overflow]) assert.deepEqual(await page.evaluate(look), []);
        await dialog.getByRole('button', { name: 'I have it' }).click();
        const id = Number(token.split('_')[1]);
        await row(page, id).filter({ hasText: 'warehouse of the tests' }).waitFor();
        assert.ok(!(await page.content()).includes(token.slice(-43)), 'it is gone');
        const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage, cookie: document.cookie, place: location.href }));
        assert.ok(!kept.includes(token.slice(-43)) && !addresses.join().includes(token.slice(-43)), 'in no store and no address');
        assert.equal(sql(`SELECT role || ' ' || (expires_at < now() + interval '2 days') FROM whisperer.api_token WHERE id = ${id}`), 'shop true', 'it ends with the one that made it');
    });

    await test('for a role that is not one’s own none is made, and the field says so', async () => {
        const page = await open('tokens');
        await make(page, 'for another', () => page.getByLabel('Role').fill('many'));
        await page.locator('.field-error', { hasText: 'You may make no tokens of this role.' }).waitFor();
        await page.getByLabel('Role').fill('shop');
        await page.getByLabel('Ends').fill('2099-01-01T00:00');
        await page.getByRole('button', { name: 'Make token' }).click();
        await page.locator('.field-error', { hasText: 'after the end of the token that you use' }).waitFor();
        assert.equal(sql("SELECT count(*) FROM whisperer.api_token WHERE description = 'for another'"), '0');
    });
}

async function revokedTests() {
    await test('a token is revoked after a question, and lets in no more', async () => {
        const other = tokenOf('shop');
        const id = Number(other.split('_')[1]);
        const page = await open('tokens');
        await page.getByRole('button', { name: `Revoke token ${id}` }).click();
        await page.keyboard.press('Escape');
        assert.equal(await statusWith(other), 200, 'a question changes nothing');
        await page.getByRole('button', { name: `Revoke token ${id}` }).click();
        await page.getByRole('dialog').getByRole('button', { name: 'Revoke token' }).click();
        await row(page, id).waitFor({ state: 'detached' });
        await until(async () => (await statusWith(other)) === 401, 'it is refused');
        await page.getByLabel('State').selectOption('all');
        await row(page, id).locator('.badge', { hasText: 'revoked' }).waitFor();
        assert.equal(await page.getByRole('button', { name: `Revoke token ${id}` }).count(), 0);
    });

    await test('who revokes the token in use is signed out', async () => {
        const own = tokenOf('shop');
        const id = Number(own.split('_')[1]);
        const page = await open('tokens', { as: own });
        await row(page, id).filter({ hasText: 'the one that you use' }).waitFor();
        await page.getByRole('button', { name: `Revoke token ${id}` }).click();
        await page.getByRole('dialog').getByText('you are signed out').waitFor();
        await page.getByRole('dialog').getByRole('button', { name: 'Revoke token' }).click();
        await see(page, 'Your session has ended');
        assert.equal(await page.evaluate(() => Object.keys({ ...sessionStorage }).length), 0);
    });
}

export async function tokens() {
    await madeTests();
    await revokedTests();
}
