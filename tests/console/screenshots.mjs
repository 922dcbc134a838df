// The pictures of the documentation: docs/images/console-<view>-<light|dark>.png, on data that looks like a day's work.
import assert from 'node:assert/strict';
import { mkdirSync, statSync } from 'node:fs';

import { close, open, receiver_url, test, until } from './browser.mjs';
import { writePast } from './activity.mjs';
import { attempts, deliver, idle, makeHook, registerTypes, script, sql } from './database.mjs';

const folder = 'docs/images';
const bytes_max = 200000;

// Everything goes to one path of the receiver, so that hooks can have the addresses that they would have.
const sink = '/sink';
const url = (host, path) => `https://${host}.example.com/${path}`;

function shipAndCreate(from, to) {
    const carriers = ['north express', 'harbour freight', 'city bikes'];
    for (let i = from; i <= to; i++) {
        const order_number = String(248398923100 + i);
        deliver('shop', 'package-created', JSON.stringify({ id: 60 + i, transfer_id: 49, order_number, carrier: carriers[i % 3] }));
        deliver('shop', 'package-shipped', JSON.stringify({ id: 60 + i, order_number, weight_kg: 1.25 * i }));
    }
}

async function prepareTroubled() {
    const partner = makeHook('shop', 'package-shipped', url('partner', 'inbox'), `${attempts(1)}, description => 'Partner inbox'`);
    writePast(partner, { busy: 30, failing: 0.2, bucket: 21 });
    await script(receiver_url, sink, ['status/503']);
    shipAndCreate(1, 12);
    await until(() => sql(`SELECT circuit FROM whisperer.hook_stats WHERE hook_id = ${partner}`) === 'open', 'the circuit opens');
}

async function prepareBilling() {
    const schedule = `retry_countdown_config => '{"choice": "schedule", "kwargs": {"seconds": [0, 0, 7200]}}'`;
    const billing = makeHook(
        'shop',
        'order-paid',
        url('billing', 'webhooks'),
        `${schedule}, description => 'Billing', filter => '{"status": "paid"}'`,
    );
    writePast(billing, { busy: 90, failing: 0.06, bucket: 17 });
    await script(receiver_url, sink, ['status/502', 'status/503', 'ok']);
    deliver(
        'shop',
        'order-paid',
        JSON.stringify({
            id: 7,
            order_number: '248398923123',
            status: 'paid',
            total: '129.90',
            currency: 'EUR',
            items: [
                { sku: 'KB-204', quantity: 1 },
                { sku: 'CB-011', quantity: 2 },
            ],
        }),
    );
    return billing;
}

function prepareOthers() {
    const others = {
        warehouse: [
            'package-created',
            url('warehouse', 'events'),
            `description => 'Warehouse: label printing', config => '{"tenant": "north"}'`,
        ],
        crm: ['customer-updated', url('crm', 'api/hooks'), `description => 'CRM sync', rate_limit => 20`],
        search: ['package-*', url('search', 'index'), `ordering => 'key', description => 'Search index'`],
        archive: ['*', url('archive', ''), `description => 'Archive of everything'`],
    };
    const ids = Object.fromEntries(
        Object.entries(others).map(([name, [type, target, more]]) => [name, makeHook('shop', type, target, more)]),
    );
    sql(`SET ROLE shop; SELECT whisperer.pause_hook(${ids.crm});`);
    writePast(ids.warehouse, { busy: 240, failing: 0.01, bucket: 12 });
    writePast(ids.search, { busy: 300, failing: 0, bucket: 10 });
    writePast(ids.archive, { busy: 400, failing: 0.002, bucket: 9 });
    shipAndCreate(13, 21);
}

const shots = {
    overview: [
        'overview',
        async (page) => {
            await page.getByRole('table', { name: 'Hooks in need of attention' }).waitFor();
            await page.locator('.plot rect.series-1').first().waitFor();
        },
    ],
    hooks: ['hooks', (page) => page.getByRole('table', { name: 'Hooks' }).waitFor()],
    hook: [null, (page) => page.locator('.plot rect.series-1').first().waitFor()],
    // The hook that is looked for has failed deliveries; what one would do about it is asked and left.
    retry: [
        null,
        async (page) => {
            await page.getByRole('button', { name: 'Retry these …' }).click();
            await page.getByRole('dialog').getByText('will be tried again').waitFor();
        },
    ],
    form: [
        null,
        async (page) => {
            await page.getByLabel('Waits in seconds').waitFor();
            await page.getByText('Of the latest').waitFor();
            await page.getByRole('group', { name: 'Filter', exact: true }).evaluate((node) => {
                node.closest('fieldset').scrollIntoView();
                window.scrollBy(0, -70);
            });
        },
    ],
    delivery: [null, (page) => page.getByRole('region', { name: 'Payload, JSON' }).waitFor()],
};

export async function screenshots() {
    sql(`ALTER SYSTEM SET whisperer.divert_to = '${receiver_url}${sink}'`);
    sql('SELECT pg_reload_conf()');
    registerTypes('shop', 'order-refunded', 'customer-updated');
    await prepareTroubled();
    const billing = await prepareBilling();
    const done = `SELECT replace(event_id::text, '-', '') || '-' || hook_id FROM whisperer.delivery WHERE hook_id = ${billing} AND state = 'delivered'`;
    const delivery = await until(() => sql(done), 'the third attempt succeeds');
    prepareOthers();
    idle();
    // What probes the open circuit must not close it while the pictures are taken.
    await script(receiver_url, sink, ['status/503']);
    shots.hook[0] = `hooks/${billing}`;
    shots.retry[0] = 'deliveries?event_type=package-shipped';
    shots.form[0] = `hooks/${billing}/edit`;
    shots.delivery[0] = `deliveries/${delivery}`;
    mkdirSync(folder, { recursive: true });
    for (const [name, [place, complete]] of Object.entries(shots))
        for (const colorScheme of ['light', 'dark'])
            await test(`picture of ${name}, ${colorScheme}`, async () => {
                const page = await open(place, { colorScheme });
                await complete(page);
                await page.evaluate(() => document.activeElement.blur());
                const path = `${folder}/console-${name}-${colorScheme}.png`;
                await page.screenshot({ path });
                assert.ok(statSync(path).size < bytes_max, 'the picture is small');
                await close(page);
            });
}
