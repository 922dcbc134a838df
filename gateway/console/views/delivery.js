// One delivery: what became of it and why, what was sent, every attempt with its answer, and another try.
import { get, post } from '../api.js';
import { confirmThen } from '../dialogs.js';
import { outcome } from '../delivery_table.js';
import { h, replace } from '../dom.js';
import { count, missing, plural, seconds, when } from '../format.js';
import { deliveryKind } from '../health.js';
import { members, pretty, prettyNodes } from '../json_text.js';
import { requestCard } from '../request_card.js';
import { database, hashOf } from '../router.js';
import { badge, button, card, copyButton, empty, errorBox, facts, head, link, loading, renew, snippet, table } from '../ui.js';

const shown_bytes_max = 200000;

function payloadCard(text, item) {
    if (item.payload_link)
        return card(
            'Payload',
            empty(
                `The payload has ${count(item.payload_bytes)} bytes, too many to show here.`,
                `GET /whisperer/hook_events/${item.id}/payload/ has all of it.`,
            ),
        );
    if (item.expunged)
        return card('Payload', empty('Expunged: the data of this event was taken away.', 'Nobody can send it again.'), facts([['When', when(item.meta?.expunged_at)]]));
    if (missing(text) || text === 'null')
        return card('Payload', empty('The payload is not there any more.', 'Events are kept for the time of whisperer.retention.'));
    const body = pretty(text);
    const pre = h('pre', { tabindex: '0', role: 'region', 'aria-label': 'Payload, JSON' });
    const all = body.length <= shown_bytes_max;
    replace(pre, all ? prettyNodes(text) : body.slice(0, shown_bytes_max) + '\n…');
    const more = button(
        `Show all ${count(body.length)} characters`,
        () => {
            replace(pre, body);
            more.remove();
        },
        { small: true },
    );
    return card(
        'Payload',
        h(
            'div',
            { class: 'code' },
            pre,
            copyButton(() => body),
        ),
        !all && more,
    );
}

const attempt_columns = [
    { label: '#', class: 'number', cell: (attempt) => attempt.number },
    { label: 'When', class: 'tight', head: true, cell: (attempt) => when(attempt.requested_at) },
    { label: 'Answer', class: 'tight', cell: outcome },
    { label: 'Time', class: 'number', cell: (attempt) => seconds(attempt.response_time) },
    { label: 'Error', class: 'error-cell breakable', cell: (attempt) => attempt.error },
    {
        label: 'Response',
        class: 'main-cell',
        cell: (attempt) => snippet(attempt.response_content, `Response to attempt ${attempt.number}`),
    },
];

function attemptsCard(item) {
    const attempts = item.attempts ?? [];
    if (attempts.length === 0) return card('Attempts', empty('No attempt yet.'));
    return card(
        'Attempts',
        table('Attempts, the first first', attempt_columns, attempts),
        item.retry_count > attempts.length &&
            h('p', { class: 'faint' }, `${plural(item.retry_count, 'attempt')} were made; the first ${attempts.length} are kept.`),
    );
}

// While something else puts it off, by what why says, the countdown's time is none at which anything happens.
function nextAttempt({ state, why, next_attempt_at: at }) {
    const is_put_off = !missing(why) && !/^(waits for )?attempt /.test(why);
    return state === 'pending' && !is_put_off && ['Next attempt', when(at)];
}

function factsCard(item) {
    return card(
        'Details',
        facts([
            ['Event', [h('code', { class: 'breakable' }, item.uuid), ' ', link('at every hook', hashOf(['deliveries'], { uuid: item.uuid }))]],
            ['Hook', link(`#${item.webhook}`, hashOf(['hooks', item.webhook]))],
            database() && ['Database', database()],
            ['Object', item.object_id],
            ['Recorded', when(item.created_date)],
            ['Changed', when(item.modified_date)],
            ['Attempts', count(item.retry_count)],
            nextAttempt(item),
            ['Last answer', outcome(item)],
            ['Response time', seconds(item.response_time)],
            item.error && ['Error', item.error],
        ]),
    );
}

function retryAnswer(answer) {
    return h(
        'div',
        { class: `block ${answer.delivered ? 'good' : 'warn'}` },
        h('p', { class: 'block-title' }, answer.detail),
        facts([
            ['Delivered', answer.delivered ? 'yes' : 'no'],
            ['HTTP status', answer.response_status],
            ['Time', seconds(answer.response_time)],
            ['Answer', snippet(answer.response_content, 'Answer to the retry')],
        ]),
    );
}

function confirmForce(run) {
    confirmThen({
        title: 'Send it once more?',
        text: 'It is sent whatever its state is, with the same webhook-id: a receiver that had it before drops it.',
        label: 'Force retry',
        run,
    });
}

// What waits can go at once: for a receiver that was mended nobody waits for hours.  What is for later would come early.
function tryButtons(item, retry) {
    if (item.expunged) return [];
    const force = button('Force retry', () => confirmForce(() => retry(true)), { 'data-key': 'force' });
    if (item.state === 'pending' && item.retry_count > 0)
        return [button('Deliver now', () => retry(true, false), { kind: 'primary', 'data-key': 'retry' })];
    if (item.state === 'pending') return [force];
    const kind = item.state === 'failed' || item.state === 'cancelled' ? 'primary' : 'plain';
    return [button('Retry', () => retry(false), { kind, 'data-key': 'retry' }), force];
}

function contents(item, texts, result, request, actions) {
    return [
        h(
            'p',
            { class: 'trail' },
            link('Deliveries', hashOf(['deliveries'])),
            ' / ',
            link(`hook ${item.webhook}`, hashOf(['hooks', item.webhook])),
        ),
        head(item.event_type, actions),
        h('p', {}, badge(deliveryKind(item.state), item.state), ' ', h('span', { class: 'why breakable' }, item.why)),
        result,
        h('div', { class: 'columns' }, h('div', {}, payloadCard(texts.get('payload'), item), attemptsCard(item), item.expunged ? null : request), factsCard(item)),
    ];
}

export async function deliveryView(page, { signal, path }) {
    const id = path[1];
    const result = h('div', { role: 'status' });
    const request = requestCard(id);
    let asked = 0;
    replace(page, loading());

    // In a dialog an error is shown there.
    async function retry(force, in_dialog = force) {
        replace(result, loading('Waiting for the receiver …'));
        try {
            const { data } = await post(`hook_events/${id}/retry/`, force ? { force: true } : {});
            replace(result, retryAnswer(data));
        } catch (error) {
            replace(result, in_dialog ? null : errorBox(error));
            if (in_dialog) throw error;
            return;
        }
        await read();
    }

    function draw(item, texts) {
        const actions = [button('Refresh', read, { 'data-key': 'refresh' }), tryButtons(item, retry)];
        renew(page, contents(item, texts, result, request, actions));
    }

    // An answer that was asked for earlier may come later, and is old.
    async function read() {
        const number = ++asked;
        try {
            const { data, text } = await get(`hook_events/${id}/`, {}, signal);
            if (number === asked) draw(data, members(text));
        } catch (error) {
            if (error.name !== 'AbortError' && number === asked) replace(page, head('Delivery'), errorBox(error, read));
        }
    }
    await read();
}
