// The console end to end, in a browser: TAP on stdout.  Arguments: the parts to run, default all.  By environment:
// CONSOLE_URL, CONSOLE_URL_OF_TWO (of databases demo and branch), CONSOLE_TOKEN (of role shop), CONSOLE_TOKEN_OTHER (of role many), RECEIVER_URL, PLAYWRIGHT, CHROMIUM, and
// what psql needs to be a superuser of the database.
import { activity } from './activity.mjs';
import { startBrowser, stopBrowser } from './browser.mjs';
import { registerTypes, sql } from './database.mjs';
import { databases } from './databases.mjs';
import { deliveries } from './deliveries.mjs';
import { everyone } from './everyone.mjs';
import { fields } from './fields.mjs';
import { forms } from './forms.mjs';
import { hooks } from './hooks.mjs';
import { hostile } from './hostile.mjs';
import { portal } from './portal.mjs';
import { retries } from './retries.mjs';
import { screenshots } from './screenshots.mjs';
import { signing, throttled } from './signing.mjs';
import { tokens } from './tokens.mjs';

const parts = { signing, portal, tokens, hooks, fields, forms, deliveries, retries, databases, activity, hostile, everyone, throttled };
const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(parts);

registerTypes('shop', 'package-created', 'package-shipped', 'order-paid');
sql("SELECT whisperer.allow('package-created', 'many', 'subscribe')");
await startBrowser();
let failed;
try {
    if (process.env.SCREENSHOTS) await screenshots();
    else for (const part of wanted) await parts[part]();
} finally {
    failed = await stopBrowser();
}
process.exit(failed === 0 ? 0 : 1);
