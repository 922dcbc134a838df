// One hook: how it is doing, its charts, what it is, its latest deliveries, and what can be done with it.
import { get } from '../api.js';
import { deliveryTable } from '../delivery_table.js';
import { h, replace } from '../dom.js';
import { count, missing, percent, seconds, when } from '../format.js';
import { attemptsWords, endedWords, gathered, health, withFigures } from '../health.js';
import { chanceButton, deleteButton, deliverNowButton, pauseButton, rotateButton } from '../hook_actions.js';
import { members, pretty } from '../json_text.js';
import { exampleButton, pingButton } from '../ping.js';
import { poll } from '../poll.js';
import { rateCharts } from '../rate_charts.js';
import { database, go, hashOf } from '../router.js';
import { hour_ms, totals } from '../series.js';
import { badge, card, empty, errorBox, facts, head, link, linkButton, loading, renew, snippet, tile, tiles } from '../ui.js';

const refresh_ms = 5000;
const latest = 10;

function circuit({ circuit: state, circuit_reason: reason, circuit_retry_at: at }) {
    return [state, reason && `: ${reason}`, at && [', next try ', when(at)]];
}

// hour: what delivery_rate says of the last one.
function figures(stats, hour) {
    if (!stats) return null;
    const { kind } = health(stats);
    const trouble = stats.failing_since || stats.last_error;
    return [
        tiles(
            tile('Pending', count(stats.pending)),
            tile('Delivered', count(stats.delivered), { note: 'last hour' }),
            tile('Failed', count(stats.failed), { note: 'last hour', kind: stats.failed > 0 ? 'bad' : null }),
            tile('Success', percent(stats.success_rate), {
                note: `${endedWords(stats.delivered + stats.failed)}, ${attemptsWords(hour.delivered, hour.failed_attempts)}, last hour`,
            }),
            tile('p50', seconds(stats.response_time_p50), { note: 'response' }),
            tile('p95', seconds(stats.response_time_p95), { note: 'response' }),
        ),
        (trouble || stats.circuit !== 'closed' || stats.function_error) &&
            h(
                'div',
                { class: `card ${kind}` },
                facts([
                    stats.circuit !== 'closed' && ['Circuit', circuit(stats)],
                    stats.failing_since && ['Failing since', when(stats.failing_since)],
                    stats.last_error && ['Last error', stats.last_error],
                    stats.function_error && ['Function error', [stats.function_error, ' at ', when(stats.function_error_at)]],
                    stats.function_timeouts > 0 && ['Time-outs in a row', count(stats.function_timeouts)],
                ]),
            ),
    ];
}

function title(hook) {
    const { kind, word } = health(hook);
    const where = database() && h('p', { class: 'faint' }, `In database ${database()}.`);
    const reason = hook.state_reason && h('span', { class: 'faint breakable' }, ` ${hook.state_reason}`);
    return [h('p', { class: 'lead breakable' }, hook.target_url), where, h('p', { role: 'status' }, badge(kind, word), reason)];
}

function json(texts, name, hook) {
    return missing(hook[name]) ? null : snippet(pretty(texts.get(name)), name);
}

function details(hook, texts) {
    return card(
        'Details',
        facts([
            ['Hook', String(hook.id)],
            ['Event type', hook.event_type],
            ['Target URL', hook.target_url],
            hook.name && ['Name', hook.name],
            ['Description', hook.description],
            ['Owner', hook.owner],
            ['Order', hook.ordering],
            ['Priority', hook.priority],
            ['Format', hook.payload_key ? `${hook.format}, with the data as ${hook.payload_key}` : hook.format],
            ['Signature of its own', json(texts, 'signing', hook)],
            ['Other signatures', missing(hook.signatures) ? 'standard and whisperer' : hook.signatures.join(', ') || 'none'],
            missing(hook.metadata_headers) ? null : ['Metadata headers', hook.metadata_headers.join(', ')],
            missing(hook.batch) ? null : ['Batches', json(texts, 'batch', hook)],
            hook.encoding && ['Compression', hook.encoding],
            ['Rate limit', missing(hook.rate_limit) ? 'none' : `${hook.rate_limit} attempts/s`],
            missing(hook.timeout) ? null : ['Time-out', `${hook.timeout} s`],
            missing(hook.max_in_flight) ? null : ['Requests at once', `${hook.max_in_flight} at most`],
            ['Filter', json(texts, 'filter', hook) ?? 'none'],
            [
                'Retries',
                json(texts, 'retry_countdown_config', hook) ?? 'default: after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h',
            ],
            ['Config', json(texts, 'config', hook)],
            hook.transform && ['Transform', h('code', {}, hook.transform)],
            hook.callback && ['Callback', h('code', {}, hook.callback)],
            ['Created', when(hook.created_at)],
            ['Modified', when(hook.modified_at)],
        ]),
    );
}

function actions(hook, pending, ping_box, read) {
    if (hook.state === 'deleted') return [];
    return [
        hook.state === 'active' && pingButton(hook.id, ping_box),
        hook.state === 'active' && exampleButton(hook, ping_box),
        deliverNowButton(hook, read),
        pauseButton(hook, read),
        linkButton('Edit', hashOf(['hooks', hook.id, 'edit'])),
        rotateButton(hook, read),
        chanceButton(hook, 'recover', read),
        chanceButton(hook, 'replay', read),
        deleteButton(hook, pending, () => go(['hooks'])),
    ];
}

// What is read again and again; the hook itself as well, for its state changes by itself.
async function readAll(id, signal) {
    const [hook, stats, items] = await Promise.all([
        get(`hooks/${id}/`, {}, signal),
        get('hook_stats/', { hook: id }, signal),
        get('hook_events/', { webhook: id, limit: latest }, signal),
    ]);
    const [figures] = gathered(stats.data.results);
    return {
        hook: hook.data,
        texts: members(hook.text),
        stats: figures ?? null,
        items: items.data.results,
    };
}

const shown = new WeakMap();

// What did not change is left alone: a screen reader would read it again, a selection would be lost.
function renewIfChanged(box, value, content) {
    const text = JSON.stringify(value);
    if (shown.get(box) === text) return;
    shown.set(box, text);
    renew(box, content());
}

function frame(id, hook, boxes, charts) {
    const all = link('All of this hook', hashOf(['deliveries'], { webhook: id, database: database() }));
    return [
        h('p', { class: 'trail' }, link('Hooks', hashOf(['hooks'])), ` / ${id}`),
        h('div', { class: 'head' }, h('h1', { tabindex: '-1', class: 'breakable' }, hook.event_type), boxes.actions),
        boxes.title,
        boxes.fault,
        boxes.ping,
        boxes.figures,
        charts.node,
        h(
            'div',
            { class: 'columns' },
            h(
                'section',
                { 'aria-label': 'Deliveries' },
                h('div', { class: 'head' }, h('h2', {}, 'Latest deliveries'), all),
                boxes.deliveries,
            ),
            boxes.details,
        ),
    ];
}

export async function hookView(page, { signal, path }) {
    const id = path[1];
    const boxes = Object.fromEntries(
        ['actions', 'title', 'ping', 'figures', 'details', 'deliveries', 'fault'].map((name) => [name, h('div')]),
    );
    boxes.ping.setAttribute('role', 'status');
    boxes.actions.className = 'actions';
    const charts = rateCharts({ hook: id, signal });
    let last = null;
    let asked = 0;
    replace(page, loading());

    function draw(answer) {
        const { hook, texts, stats, items, rows } = answer;
        const hour = totals(rows, Date.now() - hour_ms);
        if (!last) replace(page, frame(id, hook, boxes, charts));
        last = answer;
        const doing = withFigures(hook, stats);
        renewIfChanged(boxes.actions, doing.state, () => actions(doing, () => last.stats?.pending, boxes.ping, read));
        renewIfChanged(boxes.title, [doing.state, stats], () => title(doing));
        renewIfChanged(boxes.details, hook, () => details(hook, texts));
        renewIfChanged(boxes.figures, [stats, hour], () => figures(stats, hour));
        renewIfChanged(boxes.deliveries, items, () =>
            items.length > 0
                ? deliveryTable(items, { brief: true })
                : empty('No delivery yet.', 'One appears here when its first result is known.'),
        );
    }

    // Also after every action: an answer that was asked for earlier may come later, and is old.
    async function read() {
        const number = ++asked;
        try {
            const [answer, rows] = await Promise.all([readAll(id, signal), charts.refresh()]);
            if (number !== asked) return;
            // It is changed where it is from, and all of it is shown there.
            if (answer.hook.is_copy) return void go(['hooks', id], { database: null });
            draw({ ...answer, rows });
            replace(boxes.fault);
        } catch (error) {
            if (error.name === 'AbortError' || number !== asked) return;
            if (!last) replace(page, head(`Hook ${id}`), errorBox(error, read));
            else replace(boxes.fault, errorBox(error));
        }
    }
    await poll(read, refresh_ms, signal);
}
