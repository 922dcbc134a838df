// How a hook is doing, in one word, from what hook_stats says of it.
import { count, plural } from './format.js';
import { elsewhere } from './session.js';

export const shaky_below = 0.95;
const failing_below = 0.5;

// {rank, kind, word, reason}; rank 0 needs a person first, kind is how it is coloured.
export function health(hook) {
    if (hook.state === 'deleted') return { rank: 9, kind: 'rest', word: 'deleted', reason: null };
    if (hook.state === 'disabled') return { rank: 0, kind: 'bad', word: 'disabled', reason: hook.state_reason };
    if (hook.state === 'paused') return { rank: 4, kind: 'rest', word: 'paused', reason: hook.state_reason };
    if (hook.circuit === 'open') return { rank: 1, kind: 'bad', word: 'circuit open', reason: hook.last_error ?? hook.circuit_reason };
    if (hook.circuit === 'half-open')
        return { rank: 2, kind: 'warn', word: hook.pending > 0 ? 'probing' : 'untested', reason: hook.last_error ?? hook.circuit_reason };
    const ended = (hook.delivered ?? 0) + (hook.failed ?? 0);
    const share = hook.success_rate;
    const all_fail = ended === 0 && hook.pending > 0 && hook.last_error;
    if (hook.failing_since || all_fail || (ended > 0 && share < failing_below))
        return { rank: 1, kind: 'bad', word: 'failing', reason: hook.last_error };
    if (ended > 0 && share < shaky_below) return { rank: 3, kind: 'warn', word: 'shaky', reason: hook.last_error };
    if (ended === 0) return { rank: 6, kind: 'calm', word: 'quiet', reason: null };
    return { rank: 5, kind: 'good', word: 'healthy', reason: null };
}

// Of several databases: which rows of figures are of one hook.  A delivery node has copies of its primary's hooks.
export function hookKey({ id, hook_id, database, is_copy }) {
    return elsewhere({ database }) === null || is_copy ? String(id ?? hook_id) : `${id ?? hook_id} ${database}`;
}

const most = (rows, name) => rows.reduce((found, row) => (row[name] === null ? found : Math.max(found ?? 0, row[name])), null);

// The rows of one hook as one: what is counted is added, and the rest is of where it does worst.
function together(rows) {
    if (rows.length === 1) return rows[0];
    const sum = (name) => rows.reduce((total, row) => total + row[name], 0);
    const [delivered, failed] = [sum('delivered'), sum('failed')];
    const first = rows.find((row) => !row.is_copy) ?? rows[0];
    const worst = rows.reduce((found, row) => (health(row).rank < health(found).rank ? row : found));
    return {
        ...worst,
        database: first.database,
        pending: sum('pending'),
        delivered,
        failed,
        success_rate: delivered + failed > 0 ? delivered / (delivered + failed) : null,
        delivered_total: sum('delivered_total'),
        failed_attempts_total: sum('failed_attempts_total'),
        response_time_p50: most(rows, 'response_time_p50'),
        response_time_p95: most(rows, 'response_time_p95'),
    };
}

// What a share of success is of, for a delivery that succeeds at the tenth attempt is a success, too.
export const endedWords = (ended) => (ended > 0 ? `of ${plural(ended, 'delivery', 'deliveries')} that ended` : 'no delivery ended');
export const attemptsWords = (good, bad) => (good + bad > 0 ? `${count(good)} of ${plural(good + bad, 'attempt')}` : 'no attempt');

// One row of figures for each hook.
export function gathered(rows) {
    const by_key = new Map();
    for (const row of rows) by_key.set(hookKey(row), [...(by_key.get(hookKey(row)) ?? []), row]);
    return [...by_key.values()].map(together);
}

// A hook with its figures.  That a receiver is gone the delivery node knows that has the hook.
export function withFigures(hook, figures) {
    const is_disabled = hook.state === 'active' && figures?.state === 'disabled';
    return { ...figures, ...hook, ...(is_disabled ? { state: 'disabled', state_reason: figures.state_reason } : {}) };
}

export function needsAttention(hook) {
    return health(hook).rank <= 3;
}

const delivery_kinds = { delivered: 'good', failed: 'bad', pending: 'warn', cancelled: 'rest' };

export function deliveryKind(state) {
    return delivery_kinds[state] ?? 'rest';
}
