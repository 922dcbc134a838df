// How a hook is doing, in one word, from what hook_stats says of it.

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

export function needsAttention(hook) {
    return health(hook).rank <= 3;
}

const delivery_kinds = { delivered: 'good', failed: 'bad', pending: 'warn', cancelled: 'rest' };

export function deliveryKind(state) {
    return delivery_kinds[state] ?? 'rest';
}
