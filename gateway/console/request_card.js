// A delivery's request as curl, for who wants to see or repeat it.  What was made of secrets is not in it: the gateway says
// *** in its place, and time and signature are of each attempt.
import { get } from './api.js';
import { h, replace } from './dom.js';
import { count, missing } from './format.js';
import { button, card, copyButton, empty, errorBox, loading } from './ui.js';

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export function asCurl({ method, url, headers, body }) {
    const parts = [`curl -X ${method} ${quoted(url)}`];
    for (const [name, value] of Object.entries(headers)) if (!missing(value)) parts.push(`-H ${quoted(`${name}: ${value}`)}`);
    const is_gzipped = headers['Content-Encoding'] === 'gzip';
    if (!missing(body)) parts.push(is_gzipped ? '--data-binary @-' : `--data-raw ${quoted(body)}`);
    const curl = parts.join(' \\\n    ');
    return is_gzipped && !missing(body) ? `printf %s ${quoted(body)} | gzip -c |\n${curl}` : curl;
}

function shown(request) {
    const text = asCurl(request);
    const why = missing(request.body_bytes)
        ? 'Its body is made by the transform of the hook, and is not kept.'
        : missing(request.body) && `Its body has ${count(request.body_bytes)} bytes, too many to show here.`;
    return [
        h('p', { class: 'faint' }, 'As the hook is now. Secrets are masked; time and signature are made for each attempt.'),
        h('div', { class: 'code' }, h('pre', { tabindex: '0', role: 'region', 'aria-label': 'Request, as curl' }, text), copyButton(text)),
        why && h('p', {}, why),
    ];
}

// Asked for only when somebody wants it: the database makes it anew.
export function requestCard(id) {
    const box = h('div', { role: 'status' });
    async function show() {
        replace(box, loading());
        try {
            const { data } = await get(`hook_events/${id}/request/`);
            replace(box, shown(data));
        } catch (error) {
            if (error.status !== 404) return replace(box, errorBox(error, show));
            replace(box, empty('There is no such request any more.', 'The hook is deleted or takes other events now, or the event is gone.'));
        }
    }
    return card('Request', button('Show as curl', show, { 'data-key': 'curl' }), box);
}
