// Tokens of one's roles for the HTTP API and this console: made, shown once, revoked.
import { get, getAll, listeners, nextQuery, post, remove } from '../api.js';
import { confirmThen, formDialog, showSecret } from '../dialogs.js';
import { h, replace } from '../dom.js';
import { makeField } from '../form.js';
import { fromLocalInput, localInput, plural, when } from '../format.js';
import { note } from '../router.js';
import { session, tokenId } from '../session.js';
import { announce, badge, button, empty, errorBox, head, loading, notify, pager, renew, table } from '../ui.js';

const month_ms = 30 * 24 * 3600 * 1000;
const wordOf = ({ revoked_at, expires_at }) => (revoked_at ? 'revoked' : expires_at && new Date(expires_at) <= new Date() ? 'expired' : 'good');
const kinds = { good: 'good', revoked: 'bad', expired: 'rest' };
const isMine = ({ id }) => id === tokenId();

function columns(done) {
    return [
        { label: 'State', class: 'tight', cell: (one) => badge(kinds[wordOf(one)], wordOf(one), one.revoked_at && `Revoked at ${one.revoked_at}`) },
        {
            label: 'Token',
            class: 'main-cell',
            head: true,
            cell: (one) => [
                h('span', { class: 'strong' }, one.description),
                h('span', { class: 'faint clipped' }, `${one.kind === 'portal' ? 'whap' : 'what'}_${one.id}_…`, isMine(one) && ', the one that you use'),
            ],
        },
        { label: 'Role', class: 'breakable', cell: (one) => one.role },
        { label: 'Made', class: 'tight wide-up', cell: (one) => when(one.created_at) },
        { label: 'Last used', class: 'tight medium-up', cell: (one) => when(one.last_used_at) },
        { label: 'Ends', class: 'tight', cell: (one) => (one.expires_at ? when(one.expires_at) : 'never') },
        { label: 'Revoke', class: 'tight', cell: (one) => wordOf(one) === 'good' && revokeButton(one, done) },
    ];
}

function revokeButton(one, done) {
    const run = async () => {
        await remove(`api_tokens/${one.id}/`);
        notify(`Token ${one.id} was revoked. It may be good for three seconds more.`);
        if (isMine(one)) listeners.signed_out();
        else await done();
    };
    const text = isMine(one)
        ? 'It is the one that you use: you are signed out. Whoever else uses it is let in no more. This cannot be undone.'
        : 'Whoever uses it is let in no more. This cannot be undone.';
    const ask = () => confirmThen({ title: `Revoke token ${one.id}?`, text, label: 'Revoke token', kind: 'danger', run });
    return button('Revoke', ask, { small: true, 'aria-label': `Revoke token ${one.id}`, 'data-key': `revoke-${one.id}` });
}

// None may end later than the one that makes it.
function latestEnd(tokens) {
    const end = tokens.find(isMine)?.expires_at;
    return end ? new Date(end) : null;
}

function makeToken(tokens, done) {
    const end = latestEnd(tokens);
    const month = new Date(Date.now() + month_ms);
    const own_end = end !== null && end < month;
    const description = makeField({ name: 'description', label: 'What it is for', required: true, hint: 'For people: who or what uses it.' });
    const role = makeField({
        name: 'role',
        label: 'Role',
        value: session.role,
        required: true,
        suggestions: [...new Set(tokens.map((one) => one.role).filter(Boolean))],
        hint: 'Yours, or one that it is a member of.',
    });
    const expires_at = makeField({
        name: 'expires_at',
        label: 'Ends',
        kind: 'datetime-local',
        value: own_end ? '' : localInput(month),
        hint: end === null ? 'Empty: never.' : `Empty: with the token that you use, at ${localInput(end).replace('T', ' ')}; not later.`,
    });
    formDialog('New token', [description, role, expires_at], {
        text: 'Whoever has it does what its role may, over HTTP and in this console.',
        label: 'Make token',
        run: async () => {
            const body = { description: description.value.trim(), role: role.value, expires_at: fromLocalInput(expires_at.value) };
            const { data } = await post('api_tokens/', body);
            const hand_over = 'Nobody can read it back. Give it to whoever needs it over a channel that you trust; if it is lost, revoke it and make another.';
            showSecret('The new token', data.token, `Token ${data.id} of role ${data.role}.`, { label: 'Token', hand_over, help: () => null });
            await done();
        },
    });
}

// Only those of the newest that are good: of whom one makes another, mostly.
async function knownTokens() {
    const { results } = await getAll('api_tokens/', { is_active: 'true' }, { max: 1000 });
    return results;
}

export async function tokensView(page, { signal, query }) {
    const list = h('div', {}, loading());
    const state = h('select', { 'aria-label': 'State', change: () => show([null]) }, h('option', { value: '' }, 'Good ones'), h('option', { value: 'all' }, 'All'));
    state.value = query.get('state') === 'all' ? 'all' : '';
    let trail = [null];

    async function show(pages) {
        trail = pages;
        note(['tokens'], { state: state.value });
        try {
            const wanted = trail.at(-1) ?? new URLSearchParams(state.value === 'all' ? {} : { is_active: 'true' });
            const { data } = await get('api_tokens/', wanted, signal);
            draw(data);
        } catch (error) {
            if (error.name !== 'AbortError')
                replace(
                    list,
                    errorBox(error, () => show(trail)),
                );
        }
    }
    const again = () => show(trail);

    function draw({ results, next }) {
        const following = nextQuery(next);
        const n = trail.length;
        const pages = pager(`Page ${n}`, {
            newer: n > 1 ? () => show(trail.slice(0, -1)) : null,
            older: following ? () => show([...trail, following]) : null,
        });
        if (results.length === 0) replace(list, empty('There is no token.'));
        else renew(list, table('Tokens, newest first', columns(again), results), (n > 1 || following) && pages);
        announce(plural(results.length, 'token'));
    }

    const make = button('New token …', async () => makeToken(await knownTokens(), again), { kind: 'primary' });
    replace(page, head('Tokens', make), h('div', { class: 'filters' }, state), list);
    await show(trail);
}
