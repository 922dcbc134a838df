// Everything at a glance: do the workers run, how far behind are they, how much is delivered, which hooks are in trouble.
import { get, getAll } from '../api.js';
import { makeChart } from '../chart.js';
import { h, replace } from '../dom.js';
import { count, percent, plural, rate, seconds } from '../format.js';
import { attemptsWords, endedWords, gathered, health, hookKey, needsAttention, shaky_below } from '../health.js';
import { poll } from '../poll.js';
import { rateCharts } from '../rate_charts.js';
import { hashOf } from '../router.js';
import { hour_ms, lagPoints, noteLag, totals } from '../series.js';
import { elsewhere } from '../session.js';
import { badge, card, empty, errorBox, head, link, linkButton, loading, renew, table, tile, tiles } from '../ui.js';

const refresh_ms = 5000;
const hooks_every = 6;
const hooks_max = 5000;
const troubled_max = 8;

const worker_kinds = { running: 'good', idle: 'good', paused: 'rest', down: 'bad' };

function workersLine(workers) {
    const word = { running: 'delivering', idle: 'idle' };
    const odd = workers.filter(({ state, reason }) => reason || worker_kinds[state] !== 'good');
    const shown = odd.length > 0 ? odd : workers.slice(0, 1);
    return h(
        'ul',
        { class: 'plain workers' },
        shown.map(({ worker, state, reason, database }) =>
            h(
                'li',
                {},
                badge(worker_kinds[state] ?? 'warn', word[state] ?? state),
                ' ',
                h(
                    'span',
                    { class: 'faint' },
                    odd.length > 0 ? [[database, `worker ${worker}`].filter(Boolean).join(', '), reason].filter(Boolean).join(': ') : plural(workers.length, 'worker'),
                ),
            ),
        ),
    );
}

const sum = (rows, name) => rows.reduce((total, row) => total + (row[name] ?? 0), 0);
const most = (rows, name) => rows.reduce((found, row) => (row[name] === null ? found : Math.max(found ?? 0, row[name])), null);

function figures(workers, rows, now_ms) {
    const hour = totals(rows, now_ms - hour_ms);
    const ended = hour.delivered + hour.failed;
    const share = ended > 0 ? hour.delivered / ended : null;
    const lag_events = most(workers, 'lag_events');
    return tiles(
        tile('Lag', seconds(most(workers, 'lag_seconds')), { note: plural(lag_events ?? 0, 'event') }),
        tile('Rate', `${rate(sum(workers, 'rate'))}/s`, { note: 'deliveries' }),
        tile('In flight', count(sum(workers, 'in_flight')), { note: `${count(sum(workers, 'queued'))} queued` }),
        tile('Delivered', count(hour.delivered), { note: 'last hour' }),
        tile('Failed attempts', count(hour.failed_attempts), { note: 'last hour' }),
        tile('Success', percent(share), {
            note: `${endedWords(ended)}, ${attemptsWords(hour.delivered, hour.failed_attempts)}, last hour`,
            kind: share !== null && share < shaky_below ? 'bad' : null,
        }),
    );
}

const trouble_columns = [
    { label: 'Health', class: 'tight', cell: (hook) => badge(health(hook).kind, health(hook).word) },
    {
        label: 'Hook',
        class: 'main-cell',
        head: true,
        cell: (hook) => [
            hook.target_url
                ? link(hook.event_type, hashOf(['hooks', hook.hook_id], { database: elsewhere(hook) }), {
                      class: 'strong breakable',
                      'data-key': `hook-${hookKey(hook)}`,
                  })
                : h('span', {}, hook.event_type),
            h('span', { class: 'url', title: hook.target_url }, hook.target_url ?? `#${hook.hook_id}`),
        ],
    },
    { label: 'Pending', class: 'number', cell: (hook) => count(hook.pending) },
    {
        label: 'Reason',
        class: 'error-cell',
        cell: (hook) => h('span', { class: 'clipped', title: health(hook).reason }, health(hook).reason),
    },
];

function troubleCard(hooks) {
    if (hooks.length === 0)
        return card(
            'Hooks',
            empty(
                'There is no hook yet.',
                'A hook sends the events of a type to a URL.',
                linkButton('Create the first one', hashOf(['hooks', 'new']), 'primary'),
            ),
        );
    const troubled = hooks.filter(needsAttention).sort((a, b) => health(a).rank - health(b).rank);
    if (troubled.length === 0) return card('Hooks', h('p', {}, `All is well with ${plural(hooks.length, 'hook')}.`));
    return card(
        `${plural(troubled.length, 'hook')} of ${count(hooks.length)} in need of attention`,
        table('Hooks in need of attention', trouble_columns, troubled.slice(0, troubled_max)),
        troubled.length > troubled_max && link('Show all', hashOf(['hooks'], { state: 'attention' })),
    );
}

export async function overviewView(page, { signal }) {
    const boxes = {
        fault: h('div'),
        workers: h('div', { role: 'status' }),
        figures: h('div'),
        trouble: h('div', {}, loading()),
    };
    const lag = makeChart({
        title: 'Lag',
        kind: 'lines',
        format: seconds,
        series: [{ name: 'lag', key: 'lag_s' }],
        colour: 4,
    });
    const charts = rateCharts({ signal, more: [lag] });
    let round = 0;
    replace(page, head('Overview'), boxes.fault, boxes.workers, boxes.figures, charts.node, boxes.trouble);

    // All hooks' figures, or null while the last ones are new enough.
    async function readHooks() {
        if (round++ % hooks_every !== 0) return null;
        const { results } = await getAll('hook_stats/', {}, { signal, max: hooks_max });
        return gathered(results);
    }

    // Drawn in one go: what came in parts would move what somebody is about to click.
    async function read() {
        try {
            const [status, rows, hooks] = await Promise.all([get('status/', {}, signal), charts.refresh(), readHooks()]);
            const workers = status.data.results;
            const now_ms = Date.now();
            noteLag(most(workers, 'lag_seconds') ?? 0, now_ms);
            lag.update(lagPoints(now_ms));
            const line = workersLine(workers);
            if (line.textContent !== boxes.workers.textContent) replace(boxes.workers, line);
            replace(boxes.figures, figures(workers, rows, now_ms));
            if (hooks) renew(boxes.trouble, troubleCard(hooks));
            replace(boxes.fault);
        } catch (error) {
            if (error.name === 'AbortError') return;
            round = 0;
            replace(boxes.fault, errorBox(error));
        }
    }
    await poll(read, refresh_ms, signal);
}
