// The browser of the tests, and what every page of it is watched for: a dialog, a script error, an error on the
// console, a violation of the content security policy, a request that leaves the origin.  Any of them fails the test
// during which it happens.  Results are TAP lines.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const { chromium } = createRequire(`${process.env.PLAYWRIGHT}/`)('playwright-core');

export const console_url = process.env.CONSOLE_URL;
export const receiver_url = process.env.RECEIVER_URL;
export const token = process.env.CONSOLE_TOKEN;
export const token_other = process.env.CONSOLE_TOKEN_OTHER;
export const wait_ms = Number(process.env.WHISPERER_TEST_WAIT_S ?? 30) * 1000;

let browser;
let number = 0;
let failed = 0;
let problems = [];
let latest = null;

export async function startBrowser() {
    const args = ['--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', ...(process.getuid() === 0 ? ['--no-sandbox'] : [])];
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args });
}

export async function stopBrowser() {
    await browser.close();
    console.log(`1..${number}`);
    return failed;
}

// An answer of 4xx or 5xx is an error on Chromium's console; those are the tests' own doing.
function watch(page, origin) {
    page.on('dialog', (dialog) => {
        problems.push(`a dialog: ${dialog.message()}`);
        dialog.dismiss();
    });
    page.on('pageerror', (error) => problems.push(`a script error: ${error.stack}`));
    page.on('console', (message) => {
        if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
            problems.push(`on the console: ${message.text()}`);
    });
    page.on('request', (request) => {
        if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).origin !== origin)
            problems.push(`a request to ${request.url()}`);
    });
}

// A page in a context of its own, signed in with a token if there is one, at a place of the console.  base: where that is.
// embeds: it is of another origin and shows the console, which nobody watches then.
export async function open(place, { as = token, base = console_url, embeds = false, ...options } = {}) {
    const context = await browser.newContext({
        viewport: { width: 1280, height: 800 },
        reducedMotion: 'reduce',
        ...options,
    });
    context.setDefaultTimeout(wait_ms);
    await context.exposeBinding('reportViolation', (source, what) => problems.push(`against the policy: ${what}`));
    await context.addInitScript(() =>
        addEventListener('securitypolicyviolation', (event) =>
            window.reportViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`),
        ),
    );
    const page = await context.newPage();
    if (!embeds) watch(page, new URL(base).origin);
    if (as) {
        // Once: a token that was given up must not come back with the next page.
        await page.goto(`${base}icon.svg`);
        await page.evaluate((text) => sessionStorage.setItem('whisperer-token', text), as);
    }
    latest = page;
    await page.goto(`${base}#/${place}`);
    return page;
}

export async function close(page) {
    await page.context().close();
}

export async function until(condition, what) {
    const end = Date.now() + wait_ms;
    for (;;) {
        const value = await condition();
        if (value) return value;
        if (Date.now() > end) throw new Error(`timed out waiting until ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 30));
    }
}

export async function see(page, text) {
    await page.getByText(text).first().waitFor();
}

// A column of JSON shows as a form; this is the JSON of it.
export async function asJson(page, name) {
    const field = page.locator(`[name="${name}"]`);
    await field.waitFor({ state: 'attached' });
    if (!(await field.isVisible())) await field.locator('xpath=ancestor::*[contains(@class,"field")][1]').getByRole('button', { name: /^As JSON/ }).click();
    return field;
}

function report(name, error) {
    console.log(`${error ? 'not ok' : 'ok'} ${++number} - ${name}`);
    if (!error) return;
    failed++;
    console.log(String(error.stack ?? error).replace(/^/gm, '# '));
}

// A test that throws says what its page showed, and the next one goes on.
export async function test(name, run) {
    problems = [];
    try {
        await run();
        assert.deepEqual(problems, [], 'nothing unwanted happens in the page');
        report(name, null);
    } catch (error) {
        report(name, error);
        for (const problem of problems) console.log(`# ${problem}`);
        const text = await latest?.evaluate(() => `${location.hash}\n${document.body.innerText}`).catch(() => 'no page');
        console.log(`# the page:\n${String(text).slice(0, 3000).replace(/^/gm, '#   ')}`);
    }
    for (const context of browser.contexts()) await context.close();
}
