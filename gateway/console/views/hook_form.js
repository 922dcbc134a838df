// Creating and editing a hook.  What can be seen to be wrong is said beside the field before anything is sent; what
// the server says comes to the same place.  JSON is edited and sent as text, so that no number in it is rounded.
import { get, getAll, sendText } from '../api.js';
import { showPublicKey, showSecret } from '../dialogs.js';
import { h, replace } from '../dom.js';
import { previewFilter } from '../filter_preview.js';
import { onSubmit } from '../form.js';
import { changes, columnTexts, layOut, makeFields } from '../hook_fields.js';
import { members, objectText } from '../json_text.js';
import { go, hashOf } from '../router.js';
import { empty, head, linkButton, loading, notify } from '../ui.js';
import { isSigningKey } from '../verify_help.js';

async function loadHook(id, signal) {
    const { data, text } = await get(`hooks/${id}/`, {}, signal);
    return { values: data, texts: members(text) };
}

// Only suggestions: the form works without them.
async function typeNames(signal) {
    try {
        const { results } = await getAll('hooks/registry/', {}, { signal, max: 1000 });
        return results.filter((type) => type.may_subscribe).map((type) => type.name);
    } catch (error) {
        if (error.name === 'AbortError' || error.status === 401) throw error;
        return [];
    }
}

async function create(fields, signal) {
    const { data } = await sendText('POST', 'hooks/', objectText(changes(fields, null)), signal);
    if (data.secret_key && fields.secret.value === 'make')
        await showSecret(
            'The hook was created',
            data.secret_key,
            'Its requests are signed with this secret. The receiver verifies them with it.',
        );
    else if (fields.secret.value === 'own' && isSigningKey(fields.secret_key.value)) await showPublicKey('The hook was created', fields.secret_key.value);
    else notify('The hook was created.');
    if (!signal.aborted) go(['hooks', data.id]);
}

async function save(id, fields, before, signal) {
    const entries = changes(fields, before);
    if (entries.size > 0) await sendText('PATCH', `hooks/${id}/`, objectText(entries), signal);
    notify(entries.size > 0 ? 'Saved.' : 'Nothing was changed.');
    go(['hooks', id]);
}

export async function hookFormView(page, { signal, path, query }) {
    const id = path[1] === 'new' ? null : path[1];
    const title = id === null ? 'New hook' : `Edit hook ${id}`;
    replace(page, head(title), loading());
    const [hook, types] = await Promise.all([id === null ? null : loadHook(id, signal), typeNames(signal)]);
    if (hook?.values.state === 'deleted')
        return replace(page, head(title), empty('This hook is deleted.', 'A deleted hook cannot be changed.'));
    const fields = makeFields(hook, types, query.get('event_type') ?? '');
    const before = hook && columnTexts(fields);
    const box = h('div');
    const submit = h('button', { type: 'submit', class: 'button primary' }, id === null ? 'Create hook' : 'Save');
    const cancel = linkButton('Cancel', hashOf(id === null ? ['hooks'] : ['hooks', id]));
    const form = h(
        'form',
        { novalidate: true, class: 'hook-form', 'aria-label': title },
        layOut(fields, hook),
        box,
        h('div', { class: 'actions' }, cancel, submit),
    );
    onSubmit(form, submit, Object.values(fields), box, () => (id === null ? create(fields, signal) : save(id, fields, before, signal)));
    replace(page, head(title), form);
    previewFilter(fields, signal);
    fields.event_type.focus();
}
