// A delivery's request as curl, for who wants to see or repeat it.  What was made of secrets is not in it: the gateway says
// *** in its place, and time and signature are of each attempt.
import { get } from './api.js';
import { h, replace } from './dom.js';
import { count, missing, when } from './format.js';
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

// Only what a transform made is kept of a request.
function howItWasSent({ last_sent_at, hook_modified_at }) {
    if (missing(last_sent_at)) return h('p', {}, 'It was not sent yet. This is what would be sent now.');
    if (Date.parse(hook_modified_at) <= Date.parse(last_sent_at))
        return h('p', {}, 'As it was sent last, ', when(last_sent_at), ': the hook was not changed since.');
    return h(
        'p',
        { class: 'block warn' },
        'This is what would be sent now. It was sent last ',
        when(last_sent_at),
        ', and the hook was changed ',
        when(hook_modified_at),
        ': URL, headers and body may have been others then.',
    );
}

function shown(request) {
    const text = asCurl(request);
    const why = missing(request.body_bytes)
        ? "The hook's transform has not made its body yet, or makes the members of a batch, which is not kept as one."
        : missing(request.body) && `Its body has ${count(request.body_bytes)} bytes, too many to show here.`;
    return [
        howItWasSent(request),
        h('p', { class: 'faint' }, 'Secrets are masked; time and signature are made for each attempt.'),
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
