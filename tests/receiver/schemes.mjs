// node schemes.mjs LOG SECRET FOLDER: verifies each recorded request to /ok/github, stripe, slack or shopify... with the
// library of that name, which npm installed in the folder, and prints path, number and what it says: true or false.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

import { bytes, header } from './signatures.mjs';

const [, , log, secret, folder] = process.argv;
const require = createRequire(`${folder}/`);

// A module that cannot be required, and is not in this file's folders.
function load(name) {
    const at = `${folder}/node_modules/${name}`;
    const { '.': exported } = JSON.parse(readFileSync(`${at}/package.json`, 'utf8')).exports;
    return import(pathToFileURL(`${at}/${(exported.node ?? exported).import}`));
}

const accepts = {
    github: async (request) => (await load('@octokit/webhooks-methods')).verify(secret, bytes(request).toString(), header(request, 'x-hub-signature-256')),
    stripe: (request) => Boolean(require('stripe').webhooks.constructEvent(bytes(request), header(request, 'stripe-signature'), secret)),
    slack: (request) =>
        require('@slack/bolt').isValidSlackRequest({
            signingSecret: secret,
            body: bytes(request).toString(),
            headers: Object.fromEntries(['x-slack-signature', 'x-slack-request-timestamp'].map((name) => [name, header(request, name)])),
        }),
    shopify: async (request) => {
        require('@shopify/shopify-api/adapters/node');
        const { shopifyApi, ApiVersion, LogSeverity } = require('@shopify/shopify-api');
        const api = shopifyApi({
            apiSecretKey: secret,
            apiKey: 'key',
            hostName: 'you.example',
            apiVersion: Object.values(ApiVersion)[0],
            isEmbeddedApp: false,
            scopes: ['read_products'],
            logger: { level: LogSeverity.Error },
        });
        const headers = {};
        for (let i = 0; i < request.headers.length; i += 2) headers[request.headers[i].toLowerCase()] = request.headers[i + 1];
        return (await api.webhooks.validate({ rawBody: bytes(request).toString(), rawRequest: { headers, method: 'POST', url: '/' }, rawResponse: {} })).valid;
    },
};

for (const line of readFileSync(log, 'utf8').trim().split('\n').filter(Boolean)) {
    const request = JSON.parse(line);
    const scheme = /^\/ok\/([a-z]+)/.exec(request.path)?.[1];
    if (!accepts[scheme]) continue;
    let said;
    try {
        said = await accepts[scheme](request);
    } catch (error) {
        console.error(`${request.path}: ${error.message}`);
        said = false;
    }
    console.log(`${request.path} ${said}`);
}
