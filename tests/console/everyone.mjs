// For everybody: by keyboard alone, with a screen reader's needs, in both colour schemes, on a phone, with a thousand hooks.
import assert from 'node:assert/strict';

import { close, open, receiver_url, see, test, token_other, until } from './browser.mjs';
import { accessibility, axe, contrast, overflow } from './checks.mjs';
import { attempts, deliver, deliveriesOf, idle, makeHook, registerTypes, sql } from './database.mjs';

// What has the focus, by its name, and whether it can be seen that it has.
const focused = (page) =>
    page.evaluate(() => {
        const node = document.activeElement;
        const style = getComputedStyle(node);
        const name = node.getAttribute('aria-label') ?? node.labels?.[0]?.textContent ?? node.textContent;
        return { name: name.trim(), seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 };
    });

async function tabTo(page, name) {
    for (let i = 0; i < 60; i++) {
        await page.keyboard.press('Tab');
        const now = await focused(page);
        if (now.name !== name && !(name instanceof RegExp && name.test(now.name))) continue;
        assert.ok(now.seen, `${name} shows its focus`);
        return;
    }
    throw new Error(`Tab does not lead to ${name}`);
}

async function heading(page, name) {
    await page.getByRole('heading', { level: 1, name }).waitFor();
}

async function keyboardTest() {
    await test('the main job is done by keyboard alone', async () => {
        const page = await open('', { as: null });
        await page.getByLabel('Token').waitFor();
        await page.keyboard.type(process.env.CONSOLE_TOKEN);
        await page.keyboard.press('Enter');
        await heading(page, 'Overview');
        await page.evaluate(() => document.activeElement.blur());
        await tabTo(page, 'Skip to content');
        await page.keyboard.press('Enter');
        assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
        await page.keyboard.press('Shift+Tab');
        await page.reload();
        await heading(page, 'Overview');
        await page.evaluate(() => document.activeElement.blur());
        await tabTo(page, 'Hooks');
        await page.keyboard.press('Enter');
        await heading(page, 'Hooks');
        await tabTo(page, 'New hook');
        await page.keyboard.press('Enter');
        await heading(page, 'New hook');
        await until(async () => /^Event type/.test((await focused(page)).name), 'the first field has the focus');
        await page.keyboard.type('package-created');
        await tabTo(page, /^Target URL/);
        await page.keyboard.type(`${receiver_url}/ok/by-keyboard`);
        await page.keyboard.press('Enter');
        await page.getByRole('dialog').waitFor();
        await tabTo(page, 'I have it');
        await page.keyboard.press('Enter');
        await heading(page, 'package-created');
        await page.getByRole('button', { name: 'Ping' }).waitFor();
        await tabTo(page, 'Ping');
        await page.keyboard.press('Enter');
        await page.locator('.block.good').getByText('answered').waitFor();
        await tabTo(page, 'Replay …');
        await page.keyboard.press('Enter');
        await page.getByRole('dialog').waitFor();
        await page.keyboard.press('Escape');
        await until(async () => (await focused(page)).name === 'Replay …', 'the dialog gives the focus back');
        await page.keyboard.press('Shift+Tab');
        await page.keyboard.press('Shift+Tab');
        await page.keyboard.press('Shift+Tab');
        await page.keyboard.press('Shift+Tab');
        assert.equal((await focused(page)).name, 'Pause');
        await page.keyboard.press('Enter');
        await page.getByRole('button', { name: 'Resume' }).waitFor();
        await until(async () => (await focused(page)).name === 'Resume', 'the focus stays where it was');
    });
}

// A page whose parts come one after another moves what somebody is about to click.
async function arrivalTest() {
    await test('a page that arrives late is drawn at once, and leaves the focus where it is', async () => {
        const page = await open('', { as: null });
        let arrive;
        const late = new Promise((resolve) => (arrive = resolve));
        await page.route('**/whisperer/status/**', async (route) => {
            await late;
            await route.continue();
        });
        const figures = page.waitForResponse((response) => response.url().includes('/whisperer/hook_stats/'));
        await page.getByLabel('Token').fill(process.env.CONSOLE_TOKEN);
        await page.keyboard.press('Enter');
        await (await figures).finished();
        await page.evaluate(() => document.activeElement.blur());
        await tabTo(page, 'Skip to content');
        await page.keyboard.press('Enter');
        assert.equal(await page.getByRole('table', { name: 'Hooks in need of attention' }).count(), 0, 'hooks wait for the rest');
        arrive();
        await page.getByRole('table', { name: 'Hooks in need of attention' }).waitFor();
        await page.locator('.workers .badge').waitFor();
        assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
    });
    await test('a page asks for what it shows before it asks for the code of others', async () => {
        const page = await open('hooks');
        const asked = [];
        page.on('request', (request) => asked.push(new URL(request.url()).pathname));
        await page.reload();
        const place = (end) => asked.findIndex((path) => path.endsWith(end));
        await until(() => place('/views/deliveries.js') >= 0, 'the others come, too');
        assert.ok(place('/whisperer/hooks/') >= 0 && place('/whisperer/hooks/') < place('/views/deliveries.js'), asked.join('\n'));
    });
    await test('a list that is drawn as somebody goes on does not call him back', async () => {
        const page = await open('hooks');
        await page.getByRole('table', { name: 'Hooks' }).waitFor();
        // The browser tells of the new address when this is over.
        await page.evaluate(() => {
            location.hash = '#/hooks/new';
            document.querySelector('input[type=search]').dispatchEvent(new Event('input'));
        });
        await heading(page, 'New hook');
        // To the same page with other words, too.
        await page.goto(page.url().replace(/#.*/, '#/hooks?q=nowhere'));
        await see(page, 'No hook matches.');
        await page.evaluate(() => {
            location.hash = '#/hooks';
            document.querySelector('input[type=search]').dispatchEvent(new Event('input'));
        });
        await page.getByRole('table', { name: 'Hooks' }).waitFor();
    });
}

// Every view, by what makes sure that it is complete.
function views(hook, delivery) {
    return [
        ['overview', (page) => page.locator('.workers .badge').waitFor()],
        ['hooks', (page) => page.getByRole('table', { name: 'Hooks' }).waitFor()],
        [`hooks/${hook}`, (page) => page.getByRole('heading', { name: 'Details' }).waitFor()],
        ['hooks/new', (page) => page.getByRole('button', { name: 'Create hook' }).waitFor()],
        [`hooks/${hook}/edit`, (page) => page.getByRole('button', { name: 'Save' }).waitFor()],
        ['deliveries', (page) => page.getByRole('table', { name: /^Deliveries/ }).waitFor()],
        [`deliveries/${delivery}`, (page) => page.getByRole('region', { name: 'Payload, JSON' }).waitFor()],
        ['event-types', (page) => page.getByText('Sample').first().waitFor()],
        ['tokens', (page) => page.getByRole('table', { name: /^Tokens/ }).waitFor()],
        ['nowhere', (page) => see(page, 'There is no such page.')],
    ];
}

function prepare() {
    registerTypes('shop', 'seen-by-everyone');
    const hook = makeHook(
        'shop',
        'seen-by-everyone',
        `${receiver_url}/status/500/${'a-long-path-without-a-break-'.repeat(8)}`,
        `${attempts(2)}, description => 'with all there is to see', filter => '{}', config => '{"tenant": "north"}'`,
    );
    deliver('shop', 'seen-by-everyone', JSON.stringify({ id: 1, text: 'w'.repeat(400), list: [1, 2.5, true, null] }));
    idle();
    return hook;
}

async function viewTests(hook) {
    const delivery = sql(
        `SELECT replace(event_id::text, '-', '') || '-' || hook_id FROM whisperer.delivery WHERE hook_id = ${hook} LIMIT 1`,
    );
    const walk = async (page, check) => {
        for (const [place, complete] of views(hook, delivery)) {
            await page.goto(page.url().replace(/#.*/, `#/${place}`));
            await complete(page);
            await check(place);
        }
    };

    await test('axe-core finds nothing on any page', async () => {
        const page = await open('overview');
        const audit = async (place) => assert.deepEqual(await axe(page), [], place);
        await walk(page, audit);
        await page.goto(page.url().replace(/#.*/, `#/deliveries/${delivery}`));
        await page.getByRole('button', { name: 'Show as curl' }).click();
        await page.getByRole('region', { name: 'Request, as curl' }).waitFor();
        await audit('a request');
        await page.goto(page.url().replace(/#.*/, `#/hooks/${hook}`));
        await page.getByRole('button', { name: 'Rotate secret' }).click();
        await page.getByRole('dialog').getByRole('button', { name: 'Rotate' }).click();
        await page.getByText('How the receiver verifies').click();
        await audit('a secret');
        await page.getByRole('button', { name: 'I have it' }).click();
        for (const [place, button] of [
            [`hooks/${hook}`, 'Send example …'],
            [`hooks/${hook}`, 'Deliver now …'],
            ['deliveries', 'Retry these …'],
            ['tokens', 'New token …'],
        ]) {
            await page.goto(page.url().replace(/#.*/, `#/${place}`));
            await page.getByRole('button', { name: button }).click();
            await page.getByRole('dialog').waitFor();
            await page.getByRole('dialog').locator('.block.loading').waitFor({ state: 'detached' });
            await audit(button);
            assert.deepEqual(await page.evaluate(accessibility), [], button);
            await page.keyboard.press('Escape');
            await page.getByRole('dialog').waitFor({ state: 'detached' });
        }
    });

    await test('names, headings, tables and references are in order, and the dialogs’ too', async () => {
        const page = await open('overview');
        await walk(page, async (place) => assert.deepEqual(await page.evaluate(accessibility), [], place));
        await page.goto(page.url().replace(/#.*/, `#/hooks/${hook}`));
        for (const name of ['Rotate secret', 'Recover …', 'Replay …', 'Delete']) {
            await page.getByRole('button', { name }).click();
            await page.getByRole('dialog').waitFor();
            assert.deepEqual(await page.evaluate(accessibility), [], name);
            assert.deepEqual(await axe(page), [], name);
            await page.keyboard.press('Escape');
            await page.getByRole('dialog').waitFor({ state: 'detached' });
        }
    });

    for (const colorScheme of ['light', 'dark'])
        await test(`texts have the contrast that WCAG AA asks for, ${colorScheme}`, async () => {
            const page = await open('overview', { colorScheme });
            const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
            assert.equal(dark, colorScheme === 'dark' ? 'rgb(15, 18, 23)' : 'rgb(245, 246, 248)');
            await walk(page, async (place) => assert.deepEqual(await page.evaluate(contrast), [], place));
            await page.goto(page.url().replace(/#.*/, `#/hooks/${hook}`));
            await page.getByRole('button', { name: 'Ping' }).click();
            await page.locator('.block.error').getByText('failed').waitFor();
            await page.getByRole('button', { name: 'Delete' }).click();
            await page.getByRole('dialog').waitFor();
            assert.deepEqual(await page.evaluate(contrast), [], 'ping and dialog');
        });

    await test('nothing makes the page scroll sideways on a phone', async () => {
        const page = await open('', {
            as: null,
            viewport: { width: 360, height: 740 },
            hasTouch: true,
            isMobile: true,
        });
        await page.getByLabel('Token').waitFor();
        assert.deepEqual(await page.evaluate(overflow), [], 'sign in');
        await close(page);
        const phone = await open('overview', { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
        await walk(phone, async (place) => assert.deepEqual(await phone.evaluate(overflow), [], place));
        await phone.goto(phone.url().replace(/#.*/, `#/hooks/${hook}`));
        await phone.getByRole('button', { name: 'Replay …' }).tap();
        await phone.getByRole('dialog').waitFor();
        assert.deepEqual(await phone.evaluate(overflow), [], 'a dialog');
    });
}

async function colourTest() {
    await test('the colours can be chosen, and the choice is kept', async () => {
        const page = await open('event-types', { colorScheme: 'light' });
        const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        await page.getByRole('button', { name: 'Colours: system' }).click();
        await page.getByRole('button', { name: 'Colours: light' }).click();
        await page.getByRole('button', { name: 'Colours: dark' }).waitFor();
        assert.equal(await ground(), 'rgb(15, 18, 23)');
        await page.reload();
        await page.getByRole('button', { name: 'Colours: dark' }).waitFor();
        assert.equal(await ground(), 'rgb(15, 18, 23)');
        await page.getByRole('button', { name: 'Colours: dark' }).click();
        assert.equal(await ground(), 'rgb(245, 246, 248)');
    });
}

async function manyTest() {
    await test('a thousand hooks are listed, searched and paged', async () => {
        sql(`SET ROLE many;
             SELECT count(whisperer.create_hook('package-created', 'http://127.0.0.1:9/many/' || n, description => 'number ' || n))
             FROM generate_series(1, 1000) n;
             SELECT count(whisperer.pause_hook(id)) FROM whisperer.hook WHERE owner = 'many'::regrole AND id % 10 = 0;`);
        const page = await open('', { as: null });
        let last_asked = false, release;
        const released = new Promise((resolve) => (release = resolve));
        await page.route(
            (url) => url.pathname.endsWith('/whisperer/hooks/') && url.searchParams.has('cursor'),
            async (route) => {
                await released;
                last_asked = true;
                await route.continue();
            },
        );
        await page.goto(page.url().replace(/#.*/, '#/hooks'));
        await page.getByLabel('Token').fill(token_other);
        await page.keyboard.press('Enter');
        await see(page, '200 hooks so far');
        await see(page, 'number 999');
        await see(page, 'Page 1 of 4');
        assert.ok(!last_asked, 'the first are shown before the second page has come');
        assert.deepEqual(await page.evaluate(accessibility), []);
        release();
        await see(page, '1,000 hooks');
        const lines = page.getByRole('table', { name: 'Hooks' }).locator('tbody tr');
        assert.equal(await lines.count(), 50, 'a page of them is in the document');
        await see(page, 'Page 1 of 20');
        await page.getByRole('button', { name: 'Next' }).click();
        await see(page, 'Page 2 of 20');
        await page.getByLabel('Search hooks').fill('number 777');
        await until(async () => (await lines.count()) === 1, 'one is found');
        await page.getByLabel('Search hooks').fill('');
        await page.getByLabel('State').selectOption('paused');
        await see(page, '100 hooks');
    });
}

export async function everyone() {
    const hook = prepare();
    await until(() => deliveriesOf(hook, 'failed') === 1, 'the delivery has failed');
    await keyboardTest();
    await arrivalTest();
    await viewTests(hook);
    await colourTest();
    await manyTest();
}
