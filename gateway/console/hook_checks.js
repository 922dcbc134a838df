// What can be seen to be wrong with a hook before the server is asked.  Each check takes a field's text and answers
// what is wrong, or null.  The server has the last word.
import { jsonFault } from './json_text.js';

const url_bytes_max = 2048;
const json_bytes_max = 16384;
const rate_max = 1000000;
const choices = ['fixed', 'linear', 'exponential', 'random', 'schedule', 'custom'];
const retry_keys = ['choice', 'kwargs', 'max_retries', 'jitter', 'give_up', 'only_if'];
const not_object = 'It must be a JSON object: { ... }.';

const bytes = (text) => new TextEncoder().encode(text).length;
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const blank = (text) => text.trim() === '';

export function checkEventType(text) {
    const isPattern = (name) => name !== '' && [...name].length <= 128 && !/[\x00-\x1f\x7f]/.test(name);
    if (text.split(',').every((name) => isPattern(name.trim()))) return null;
    return 'A name has 1 to 128 characters; a * at the end stands for everything that begins so. Several have commas between.';
}

export function checkUrl(text) {
    const url = text.trim();
    if (bytes(url) > url_bytes_max) return `It is longer than ${url_bytes_max} bytes.`;
    if (!/^https?:\/\//i.test(url)) return 'It must begin with https:// or http://.';
    if (/[\x00-\x20\x7f\\]/.test(url)) return 'It must hold no space, backslash or control character; write a space as %20.';
    if (url.includes('#')) return 'It must have no # and nothing behind it; that part is never sent.';
    const authority = url.replace(/^https?:\/\//i, '').split(/[/?]/)[0];
    if (authority.includes('@')) return 'It must hold no user name or password; put credentials into auth of config.';
    if (authority === '' || authority.startsWith(':')) return 'It lacks a host.';
    return URL.canParse(url) ? null : 'It is not a valid URL.';
}

function checkJson(text, more) {
    if (blank(text)) return null;
    const fault = jsonFault(text);
    if (fault) return `This is not JSON: ${fault}`;
    if (bytes(text) > json_bytes_max) return 'It is too long.';
    return more(JSON.parse(text));
}

export const checkFilter = (text) => checkJson(text, () => null);
export const checkConfig = (text) => checkJson(text, (value) => (isObject(value) ? null : not_object));

export function checkSigning(text) {
    return checkJson(text, (value) => {
        if (!isObject(value)) return not_object;
        const missing = ['header', 'value'].find((key) => typeof value[key] !== 'string');
        return missing === undefined ? null : `"${missing}" is missing, or no text.`;
    });
}

const checkNames = (text, names) =>
    checkJson(text, (value) => (Array.isArray(value) && value.every((name) => names.includes(name)) ? null : `A JSON list of ${names.join(', ')}.`));
export const checkSignatures = (text) => checkNames(text, ['standard', 'whisperer']);
export const checkMetadata = (text) => checkNames(text, ['time', 'object', 'source', 'attempt', 'idempotency_key']);

export function checkBatch(text) {
    return checkJson(text, (value) => {
        if (!isObject(value)) return not_object;
        const known = ['size', 'wait', 'bytes', 'form'];
        const unknown = Object.keys(value).find((key) => !known.includes(key));
        return unknown === undefined ? null : `Nobody knows the key "${unknown}"; known are ${known.join(', ')}.`;
    });
}

const isStatuses = (list) => Array.isArray(list) && list.every((status) => Number.isInteger(status) && status >= 300 && status <= 999);

export function checkRetries(text) {
    return checkJson(text, (value) => {
        if (!isObject(value)) return not_object;
        if (!choices.includes(value.choice)) return `"choice" must be one of ${choices.join(', ')}.`;
        const unknown = Object.keys(value).find((key) => !retry_keys.includes(key));
        if (unknown !== undefined) return `Nobody knows the key "${unknown}"; known are ${retry_keys.join(', ')}.`;
        const bad = ['give_up', 'only_if'].find((key) => !isStatuses(value[key] ?? []));
        return bad === undefined ? null : `"${bad}" must be a list of HTTP statuses from 300 to 999: [400, 404].`;
    });
}

export function checkFunction(text) {
    return blank(text) || text.includes('.') ? null : 'Write it with its schema: schema.function.';
}

export function checkPayloadKey(text) {
    const key = text.trim();
    if (key === '' || (/^[A-Za-z0-9._-]{1,64}$/.test(key) && key !== 'event')) return null;
    return 'Letters, digits and . _ - only, at most 64, and not "event".';
}

export function checkRate(text) {
    return blank(text) || (Number(text) > 0 && Number(text) <= rate_max) ? null : `A number above 0 and at most ${rate_max}.`;
}

export function checkTimeout(text) {
    return blank(text) || (Number(text) >= 1 && Number(text) <= 300) ? null : 'A number of seconds from 1 to 300.';
}

export function checkMaxInFlight(text) {
    const count = Number(text);
    return blank(text) || (Number.isInteger(count) && count >= 1 && count <= 10000) ? null : 'A whole number from 1 to 10000.';
}

// "Name: value" lines as {headers}, or {fault}.
export function readHeaders(text) {
    const headers = {};
    for (const line of text
        .split('\n')
        .map((one) => one.trim())
        .filter(Boolean)) {
        const [, name, value] = /^([^:\s]+)\s*:\s*(.*)$/.exec(line) ?? [];
        if (!name) return { fault: `"${line}" is not of the form Name: value.` };
        if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) return { fault: `"${name}" cannot be the name of a header.` };
        if (Object.keys(headers).some((other) => other.toLowerCase() === name.toLowerCase())) return { fault: `"${name}" is there twice.` };
        Object.defineProperty(headers, name, { value, enumerable: true });
    }
    return { headers };
}

export const checkHeaders = (text) => readHeaders(text).fault ?? null;
