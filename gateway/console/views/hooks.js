// The hooks: how each is doing at a glance.  All of them are read once and joined with their figures; searching,
// sorting and paging then happen here, with fifty rows in the page at a time.  Of many the first are shown before the
// rest and the figures have come.
import { getAll } from '../api.js';
import { h, replace } from '../dom.js';
import { count, missing, nothing, percent, plural, seconds, shorten } from '../format.js';
import { attemptsWords, endedWords, gathered, health, hookKey, needsAttention, withFigures } from '../health.js';
import { poll } from '../poll.js';
import { hashOf, note } from '../router.js';
import { elsewhere } from '../session.js';
import { announce, badge, empty, errorBox, head, link, linkButton, loading, pager, renew, table } from '../ui.js';

const hooks_max = 5000;
const page_rows = 50;
const refresh_ms = (hooks) => (hooks > 300 ? 60000 : 15000);

const sorts = {
    attention: ['Needs attention first', (a, b) => health(a).rank - health(b).rank || b.id - a.id],
    newest: ['Newest first', (a, b) => b.id - a.id],
    pending: ['Most pending', (a, b) => (b.pending ?? 0) - (a.pending ?? 0) || b.id - a.id],
    slowest: ['Slowest (p95)', (a, b) => (b.response_time_p95 ?? -1) - (a.response_time_p95 ?? -1) || b.id - a.id],
    type: ['Event type', (a, b) => a.event_type.localeCompare(b.event_type) || b.id - a.id],
};

const states = {
    '': ['All but deleted', () => true],
    attention: ['Needs attention', needsAttention],
    active: ['Active', (hook) => hook.state === 'active'],
    paused: ['Paused', (hook) => hook.state === 'paused'],
    disabled: ['Disabled', (hook) => hook.state === 'disabled'],
    deleted: ['Deleted', () => true],
};

// What hook_stats shows a role for monitoring of other people's hooks has no URL and no page.
function join(hooks, stats) {
    const by_key = new Map(gathered(stats).map((row) => [hookKey(row), row]));
    const joined = hooks.map((hook) => ({ ...withFigures(hook, by_key.get(hookKey(hook))), mine: true }));
    for (const hook of hooks) by_key.delete(hookKey(hook));
    const others = [...by_key.values()].map((row) => ({ ...row, id: row.hook_id, mine: false }));
    return { joined, others };
}

async function load(deleted, signal, progress) {
    if (deleted) {
        const { results, complete } = await getAll('hooks/', { state: 'deleted' }, { signal, max: hooks_max, page: progress });
        return { rows: join(results, []).joined, complete };
    }
    const [hooks, stats] = await Promise.all([
        getAll('hooks/', {}, { signal, max: hooks_max, page: progress }),
        getAll('hook_stats/', {}, { signal, max: hooks_max }),
    ]);
    const { joined, others } = join(hooks.results, stats.results);
    return { rows: hooks.complete ? [...joined, ...others] : joined, complete: hooks.complete };
}

function hookCell(hook) {
    const name = shorten(hook.event_type, 60);
    return [
        hook.mine
            ? link(name, hashOf(['hooks', hook.id], { database: elsewhere(hook) }), {
                  class: 'strong',
                  'data-key': `hook-${hookKey(hook)}`,
                  title: hook.event_type,
              })
            : h('span', { class: 'strong' }, name),
        h('span', { class: 'url', title: hook.target_url }, hook.target_url ?? `of ${hook.owner ?? 'another role'}`),
        elsewhere(hook) && h('span', { class: 'faint' }, `in database ${hook.database}`),
        hook.description && h('span', { class: 'faint clipped', title: hook.description }, shorten(hook.description, 90)),
    ];
}

// Without its figures nobody knows how an active hook is doing.
const hasFigures = (hook) => !missing(hook.delivered);

function healthCell(hook) {
    if (hook.state === 'active' && !hasFigures(hook)) return nothing;
    const { kind, word, reason } = health(hook);
    return badge(kind, word, reason);
}

function clipped(text) {
    return text && h('span', { class: 'clipped', title: text }, shorten(text, 120));
}

function successCell(hook) {
    if (!hasFigures(hook)) return nothing;
    const ever = attemptsWords(hook.delivered_total, hook.failed_attempts_total);
    return [
        percent(hook.success_rate),
        h('span', { class: 'faint under' }, endedWords(hook.delivered + hook.failed)),
        h('span', { class: 'faint under' }, `${ever} ever`),
    ];
}

const columns = [
    { label: 'Health', class: 'tight', cell: healthCell },
    { label: 'Hook', class: 'main-cell', head: true, cell: hookCell },
    { label: 'Pending', class: 'number', cell: (hook) => count(hook.pending) },
    { label: 'Success', class: 'number medium-up', cell: successCell },
    { label: 'p50', class: 'number medium-up', cell: (hook) => seconds(hook.response_time_p50) },
    { label: 'p95', class: 'number medium-up', cell: (hook) => seconds(hook.response_time_p95) },
    {
        label: 'Last error',
        class: 'error-cell wide-up',
        cell: (hook) => clipped(hook.last_error),
    },
];

function controls(query, change) {
    const search = h('input', {
        type: 'search',
        'aria-label': 'Search hooks',
        placeholder: 'Search event type, URL, description, id',
        autocomplete: 'off',
        input: change,
    });
    const select = (label, choices, value) => {
        const node = h(
            'select',
            { 'aria-label': label, change },
            Object.entries(choices).map(([key, [text]]) => h('option', { value: key }, text)),
        );
        node.value = value in choices ? value : Object.keys(choices)[0];
        return node;
    };
    search.value = query.get('q') ?? '';
    return {
        search,
        state: select('State', states, query.get('state') ?? ''),
        sort: select('Order', sorts, query.get('sort') ?? 'attention'),
    };
}

function matches(hook, words) {
    if (words.replace('#', '') === String(hook.id)) return true;
    const text = `${hook.event_type} ${hook.target_url ?? ''} ${hook.description ?? ''} ${hook.owner ?? ''}`.toLowerCase();
    return words.split(/\s+/).every((word) => text.includes(word));
}

function nothingFound(rows, deleted) {
    if (rows.length > 0) return empty('No hook matches.', 'Search for less, or choose another state.');
    if (deleted) return empty('No hook was deleted.');
    return empty(
        'There is no hook yet.',
        'A hook sends the events of a type to a URL.',
        linkButton('Create the first one', hashOf(['hooks', 'new']), 'primary'),
    );
}

// What is shown, and where one is in it, as words.
function summary(found, rows, { complete, deleted, is_begun }) {
    if (is_begun) return `${plural(found.length, 'hook')} so far …`;
    const troubled = deleted ? 0 : rows.filter(needsAttention).length;
    const parts = [plural(found.length, 'hook'), troubled > 0 && `${count(troubled)} in need of attention`];
    if (!complete) parts.push(`only the newest ${count(hooks_max)} were read`);
    return parts.filter(Boolean).join(', ');
}

function remember(input, at) {
    const sort = input.sort.value === 'attention' ? '' : input.sort.value;
    note(['hooks'], { q: input.search.value, state: input.state.value, sort, page: at > 1 ? at : '' });
}

export async function hooksView(page, { signal, query }) {
    let rows = [];
    let known = { complete: true, deleted: null, is_begun: false };
    let at = Number(query.get('page') ?? 1) || 1;
    const input = controls(query, () => {
        at = 1;
        show();
    });
    const deleted = () => input.state.value === 'deleted';
    const said = h('p', { class: 'faint', role: 'status' });
    const list = h('div', {}, loading());
    replace(
        page,
        head('Hooks', linkButton('New hook', hashOf(['hooks', 'new']), 'primary')),
        h('div', { class: 'filters' }, input.search, input.state, input.sort, said),
        list,
    );

    function draw() {
        if (signal.aborted) return;
        const words = input.search.value.trim().toLowerCase();
        const found = rows.filter((hook) => states[input.state.value][1](hook) && matches(hook, words)).sort(sorts[input.sort.value][1]);
        const pages = Math.max(1, Math.ceil(found.length / page_rows));
        const text = summary(found, rows, known);
        if (said.textContent !== text) said.textContent = text;
        // What was asked for may be in what has not come yet.
        if (known.is_begun && (found.length === 0 || at > pages)) return replace(list, loading());
        at = Math.min(Math.max(at, 1), pages);
        remember(input, at);
        if (found.length === 0) return replace(list, nothingFound(rows, known.deleted));
        const step = (by) => () => {
            at += by;
            draw();
            announce(`Page ${at} of ${pages}`);
        };
        const shown = found.slice((at - 1) * page_rows, at * page_rows);
        const steps = { newer: at > 1 ? step(-1) : null, older: at < pages ? step(1) : null };
        renew(list, table('Hooks', columns, shown), pages > 1 && pager(`Page ${at} of ${pages}`, steps));
    }

    async function read() {
        const wanted = deleted();
        // Drawn once before all is there: what comes in parts moves what somebody is about to click.
        const progress = (found, more) => {
            if (wanted !== deleted() || !more || (rows.length > 0 && !known.is_begun)) return;
            const is_first = rows.length === 0;
            rows = found.map((hook) => ({ ...hook, mine: true }));
            known = { complete: true, deleted: wanted, is_begun: true };
            if (is_first) draw();
            else said.textContent = summary(rows, rows, known);
        };
        try {
            const answer = await load(wanted, signal, progress);
            if (wanted !== deleted()) return;
            rows = answer.rows;
            known = { complete: answer.complete, deleted: wanted, is_begun: false };
            draw();
        } catch (error) {
            if (error.name === 'AbortError') return;
            if (rows.length === 0 || known.is_begun) replace(list, errorBox(error, read));
            else said.textContent = error.message;
        }
    }

    // Those that are deleted are read only when they are asked for.
    function show() {
        if (known.deleted === deleted()) return draw();
        rows = [];
        replace(list, loading());
        read();
    }

    await poll(read, () => refresh_ms(rows.length), signal);
}
