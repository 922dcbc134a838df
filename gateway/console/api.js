// Talks to the HTTP API.  Every failure is an ApiError; a 401 ends the session; when the server says Retry-After,
// nothing is asked until then: reading is tried again by itself, writing is left to the person.
import { database } from './router.js';
import { token } from './session.js';

const base = new URL('../', document.baseURI); // a reverse proxy may serve all of it below a path
const reads_again_max = 3;
const wait_max_s = 60;

export class ApiError extends Error {
    constructor(status, { code, message, hint, errors, request_id }, retry_after_s = null) {
        super(message);
        Object.assign(this, { status, code, hint, fields: errors ?? {}, request_id, retry_after_s });
    }
}

// Told of what concerns the whole page: signed_out(), waiting(seconds | null), unavailable(databases that an answer lacks).
export const listeners = { signed_out: () => {}, waiting: () => {}, unavailable: () => {} };

let not_before_ms = 0;
let waiting = 0;

function retryAfter(response) {
    const value = response.headers.get('Retry-After');
    if (value === null) return null;
    const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
    return Number.isFinite(seconds) ? Math.min(Math.max(Math.ceil(seconds), 1), wait_max_s) : null;
}

function pause(milliseconds, signal) {
    return new Promise((resolve, reject) => {
        const timer = setTimeout(resolve, milliseconds);
        signal?.addEventListener('abort', () => {
            clearTimeout(timer);
            reject(signal.reason);
        });
    });
}

async function waitTurn(signal) {
    while (Date.now() < not_before_ms) {
        const left_ms = not_before_ms - Date.now();
        listeners.waiting(Math.ceil(left_ms / 1000));
        waiting++;
        try {
            await pause(left_ms, signal);
        } finally {
            if (--waiting === 0) listeners.waiting(null);
        }
    }
}

async function failure(response) {
    const text = await response.text();
    let said = {};
    try {
        said = JSON.parse(text);
    } catch {
        // A proxy may answer in its own words.
    }
    said.message ||= `The server answered ${response.status} ${response.statusText}`.trim();
    said.request_id ||= response.headers.get('X-Request-Id');
    return new ApiError(response.status, said, retryAfter(response));
}

async function send(method, url, { body, signal, as }) {
    const headers = { Authorization: `Bearer ${as ?? token()}`, Accept: 'application/json' };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    try {
        return await fetch(url, {
            method,
            headers,
            body,
            signal,
            cache: 'no-store',
            credentials: 'omit',
            redirect: 'error',
        });
    } catch (error) {
        if (signal?.aborted) throw error;
        throw new ApiError(0, {
            code: 'unreachable',
            message: 'The gateway cannot be reached.',
            hint: 'See whether it runs, and try again.',
        });
    }
}

// Answers {data, text}: what the JSON says, and the JSON itself.  body: JSON text.
async function call(method, path, { query, body, signal, as } = {}) {
    const url = new URL(`whisperer/${path}`, base);
    url.search = query instanceof URLSearchParams ? query : new URLSearchParams(query ?? {});
    if (path !== 'session/' && database() && !url.searchParams.has('database')) url.searchParams.set('database', database());
    for (let tried = 1; ; tried++) {
        if (method === 'GET') await waitTurn(signal);
        const response = await send(method, url, { body, signal, as });
        if (response.ok) {
            const text = await response.text();
            const data = text ? JSON.parse(text) : null;
            if (Array.isArray(data?.results) && Array.isArray(data.unavailable)) listeners.unavailable(data.unavailable);
            return { data, text };
        }
        const error = await failure(response);
        if (response.status === 401 && as === undefined) listeners.signed_out();
        if (error.retry_after_s !== null) not_before_ms = Date.now() + error.retry_after_s * 1000;
        const again = method === 'GET' && as === undefined && error.retry_after_s !== null && tried < reads_again_max;
        if (!again) throw error;
    }
}

// as: a token to use in place of the session's.
export const get = (path, query, signal, as) => call('GET', path, { query, signal, as });
export const post = (path, value = {}, query) => call('POST', path, { query, body: JSON.stringify(value) });
export const sendText = (method, path, body, signal) => call(method, path, { body, signal });
export const remove = (path, signal) => call('DELETE', path, { signal });

// The query of the next page; only that of the address is used.
export function nextQuery(next) {
    return next ? new URL(next, base).searchParams : null;
}

// Reads a list page by page, telling of each, up to a number of items.
export async function getAll(path, query, { signal, max, page = () => {} }) {
    const results = [];
    let next = new URLSearchParams({ ...query, limit: 200 });
    while (next && results.length < max) {
        const { data } = await get(path, next, signal);
        results.push(...data.results);
        next = nextQuery(data.next);
        page(results, next !== null);
    }
    return { results, complete: next === null };
}
