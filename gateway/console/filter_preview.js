// Below the filter of a form: which of the latest events it would let through, while it is being written.  Only a help:
// the form works without it.
import { sendText } from './api.js';
import { h, replace } from './dom.js';
import { when } from './format.js';
import { checkEventType, checkFilter } from './hook_checks.js';
import { objectText } from './json_text.js';

const pause_ms = 400;

const mark = (passes) => (passes === null ? 'cannot be told' : passes ? 'passes' : 'is left out');

function summary(results) {
    if (results.length === 0) return 'There is no recent event to try it on.';
    const count = results.filter((event) => event.passes).length;
    const events = results.length === 1 ? 'Of the latest event' : `Of the latest ${results.length} events`;
    return `${events} ${count} would pass.`;
}

function list(results) {
    return h(
        'ul',
        {},
        results.map((event) => h('li', {}, event.event_type, ', ', when(event.created_date), ': ', mark(event.passes))),
    );
}

// fields: those of makeFields.
export function previewFilter(fields, signal) {
    const box = h('div', { class: 'hint', role: 'status', 'aria-label': 'What the filter lets through' });
    fields.filter.node.append(box);
    let timer = null;
    let asked = 0;
    async function show() {
        const mine = ++asked;
        const filter = fields.filter.value.trim();
        const event_type = fields.event_type.value.trim();
        if (filter === '' || checkFilter(filter) || checkEventType(event_type)) return replace(box);
        const body = objectText(
            new Map([
                ['event_type', JSON.stringify(event_type)],
                ['filter', filter],
            ]),
        );
        try {
            const { data } = await sendText('POST', 'test_filter/', body, signal);
            if (mine === asked) replace(box, summary(data.results), list(data.results));
        } catch (error) {
            if (mine === asked && !signal.aborted) replace(box, error.fields?.filter?.join(' ') ?? '');
        }
    }
    const plan = () => {
        clearTimeout(timer);
        timer = setTimeout(show, pause_ms);
    };
    for (const field of [fields.filter, fields.event_type]) field.input.addEventListener('input', plan, { signal });
    signal.addEventListener('abort', () => clearTimeout(timer));
    plan();
}
