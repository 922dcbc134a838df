// Runs the code that the console shows for verifying a request: each language must take a request that is signed as
// Standard Webhooks says, and no other.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// What reads [headers, body] and says true or false; %% is where the code that is shown stands.
const programs = {
    Python: ['python3', 'try.py', '%%\nimport json, sys\nheaders, body = json.load(sys.stdin)\nprint(str(is_genuine(headers, body.encode())).lower())'],
    'Node.js': ['node', 'try.mjs', "%%\nimport { readFileSync } from 'node:fs';\nconst [headers, body] = JSON.parse(readFileSync(0));\nconsole.log(isGenuine(headers, Buffer.from(body)));"],
    Perl: ['perl', 'try.pl', '%%\nuse JSON::PP; use Encode; local $/;\nmy ($headers, $body) = @{ decode_json(<STDIN>) };\nprint is_genuine($headers, encode_utf8($body)) ? "true" : "false";'],
    Java: ['java', 'Try.java', '%%'],
};
const java_main = `class Try {
    public static void main(String[] a) throws Exception { System.out.print(Webhook.isGenuine(a[0], a[1], a[2], a[3].getBytes("UTF-8"))); }
}

class Webhook {`;

function signed(secret, body, age_s = 0) {
    const timestamp = String(Math.floor(Date.now() / 1000) - age_s);
    const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : secret;
    const mac = createHmac('sha256', key).update(`msg_1.${timestamp}.${body}`).digest('base64');
    return { 'webhook-id': 'msg_1', 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${'A'.repeat(43)}= v1,${mac}` };
}

// False: the language is not there.
export function verifies(language, code, secret) {
    const [program, name, harness] = programs[language];
    if (spawnSync(program, ['-version']).error) return false;
    const folder = mkdtempSync(join(tmpdir(), 'verify-'));
    const file = join(folder, name);
    writeFileSync(file, language === 'Java' ? code.replace('class Webhook {', java_main) : harness.replace('%%', () => code));
    const says = (headers, body, key) => {
        const values = language === 'Java' ? [headers['webhook-id'], headers['webhook-timestamp'], headers['webhook-signature'], body] : [];
        const options = { input: JSON.stringify([headers, body]), encoding: 'utf8', env: { ...process.env, WEBHOOK_SECRET: key, LC_ALL: 'C.UTF-8' } };
        const { stdout, stderr } = spawnSync(program, [file, ...values], options);
        return stdout.trim() || stderr;
    };
    const body = '{"data":{"name":"Zoë"}}';
    for (const key of [secret, 'a secret of ones own']) assert.equal(says(signed(key, body), body, key), 'true', language);
    assert.equal(says(signed(secret, body), body.replace('Zo', 'Jo'), secret), 'false', `${language}: another body`);
    assert.equal(says(signed(secret, body, 600), body, secret), 'false', `${language}: an old one`);
    rmSync(folder, { recursive: true });
    return true;
}
