// Deliveries, newest first.  However many there are, one page of them is read, and the next by the server's cursor.
import { get, getAll, nextQuery } from '../api.js';
import { deliveryTable } from '../delivery_table.js';
import { h, replace } from '../dom.js';
import { makeField, validateAll } from '../form.js';
import { fromLocalInput, localInput } from '../format.js';
import { retryDialog } from '../retry_many.js';
import { note } from '../router.js';
import { session } from '../session.js';
import { announce, button, empty, errorBox, head, loading, pager, renew } from '../ui.js';

const states = [
    ['', 'any'],
    ['pending', 'pending'],
    ['delivered', 'delivered'],
    ['failed', 'failed'],
    ['cancelled', 'cancelled'],
];
const narrow_px = 700;
const none = 'A delivery appears when its first result is known, or when it has to wait.';
const whole = (text) => (/^\d*$/.test(text.trim()) ? null : 'A whole number.');

function checkUuid(text) {
    const digits = text.trim().replace(/-/g, '');
    return digits === '' || /^[0-9a-f]{32}$/i.test(digits) ? null : 'An event id has 32 hex digits.';
}

function timeOf(text) {
    const at = new Date(text ?? '');
    return text && !Number.isNaN(at.getTime()) ? localInput(at) : '';
}

// Named as the API names its filters.
function makeFilters(query) {
    const value = (name) => query.get(name) ?? '';
    const databases = [['', 'any'], ...session.databases.map((name) => [name, name])];
    return [
        makeField({ name: 'state', label: 'State', kind: 'select', options: states, value: value('state') }),
        makeField({ name: 'webhook', label: 'Hook', value: value('webhook'), inputmode: 'numeric', check: whole }),
        makeField({ name: 'event_type', label: 'Event type', value: value('event_type'), suggestions: [] }),
        makeField({ name: 'object_id', label: 'Object', value: value('object_id') }),
        makeField({
            name: 'response_http_status',
            label: 'HTTP status',
            value: value('response_http_status'),
            inputmode: 'numeric',
            check: whole,
        }),
        makeField({ name: 'uuid', label: 'Event id', value: value('uuid'), check: checkUuid }),
        makeField({
            name: 'created_date__gte',
            label: 'Recorded since',
            kind: 'datetime-local',
            value: timeOf(value('created_date__gte')),
        }),
        makeField({
            name: 'created_date__lt',
            label: 'Recorded before',
            kind: 'datetime-local',
            value: timeOf(value('created_date__lt')),
        }),
        session.databases.length > 0 &&
            makeField({ name: 'database', label: 'Database', kind: 'select', options: databases, value: value('database') }),
    ].filter(Boolean);
}

function valuesOf(filters) {
    return Object.fromEntries(
        filters.map(({ name, value }) => [name, name.startsWith('created_date') ? fromLocalInput(value) : value.trim()]),
    );
}

// Only suggestions.
async function suggestTypes(field, signal) {
    try {
        const { results } = await getAll('hooks/registry/', {}, { signal, max: 1000 });
        replace(
            field.input.list,
            results.map((type) => h('option', { value: type.name })),
        );
    } catch {
        // The filter works without them.
    }
}

// The list: pages of it come by the server's cursors, so only those that were seen can be gone back to.
function makeList(signal) {
    const node = h('div');
    // The queries that led to the pages so far; the last is the one shown.
    let trail = [];

    function draw({ results, next }, said) {
        const following = nextQuery(next);
        const n = trail.length;
        const turn = (pages, text) => () => {
            trail = pages;
            return show(text);
        };
        const pages = pager(`Page ${n}`, {
            newer: n > 1 ? turn(trail.slice(0, -1), `Page ${n - 1}`) : null,
            older: following ? turn([...trail, following], `Page ${n + 1}`) : null,
        });
        if (results.length === 0) replace(node, empty('No delivery matches.', none));
        else renew(node, deliveryTable(results), (n > 1 || following) && pages);
        announce(said ?? `${results.length}${following ? ' or more' : ''} deliveries`);
    }

    async function show(said) {
        const current = trail.at(-1);
        if (node.childElementCount === 0) replace(node, loading());
        try {
            const { data } = await get('hook_events/', current, signal);
            if (current === trail.at(-1)) draw(data, said);
        } catch (error) {
            if (error.name !== 'AbortError')
                replace(
                    node,
                    errorBox(error, () => show(said)),
                );
        }
    }

    const start = (query) => {
        trail = [query];
        return show();
    };
    return { node, start, again: () => show(), filter: () => trail[0] };
}

function makeForm(filters, { start, clear }) {
    const form = h(
        'form',
        { novalidate: true, class: 'card filter-form', role: 'search', 'aria-label': 'Filter deliveries' },
        h(
            'div',
            { class: 'fields' },
            filters.map((field) => field.node),
        ),
        h('div', { class: 'actions' }, button('Clear', clear), h('button', { type: 'submit', class: 'button primary' }, 'Filter')),
    );
    form.addEventListener('submit', (event) => {
        event.preventDefault();
        if (validateAll(filters)) start();
    });
    const open = filters.some((field) => field.value !== '') || window.innerWidth > narrow_px;
    return h('details', { class: 'filter-panel', open }, h('summary', {}, 'Filter'), form);
}

// Of the filter that the list is shown by, whatever stands in the fields meanwhile.
function retryThese(filters, list) {
    const query = list.filter();
    const parts = filters.filter(({ name }) => query.has(name)).map(({ name, label }) => `${label}: ${query.get(name)}`);
    const all = parts.length > 0 ? `All that the filter lets through. ${parts.join('; ')}.` : 'All deliveries: there is no filter.';
    // A list is of all databases, a change of one.
    const only = session.databases.length > 0 && !query.has('database') ? session.databases[0] : null;
    if (only) query.set('database', only);
    const what = only ? `${all} In database ${only} alone: for another one, filter by it.` : all;
    retryDialog({ title: 'Retry these', what, query, done: list.again });
}

export async function deliveriesView(page, { signal, query }) {
    const filters = makeFilters(query);
    const list = makeList(signal);

    function start() {
        const values = valuesOf(filters);
        note(['deliveries'], values);
        return list.start(new URLSearchParams(Object.entries(values).filter(([, value]) => value)));
    }

    function clear() {
        for (const field of filters) {
            field.input.value = '';
            field.setError(null);
        }
        return start();
    }

    const retry = button('Retry these …', () => retryThese(filters, list));
    replace(page, head('Deliveries', retry, button('Refresh', start)), makeForm(filters, { start, clear }), list.node);
    suggestTypes(
        filters.find((field) => field.name === 'event_type'),
        signal,
    );
    await start();
}
