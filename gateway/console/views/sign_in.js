// Sign in: the token is tried, and kept only if the server knows it.
import { get } from '../api.js';
import { h, replace } from '../dom.js';
import { makeField, onSubmit } from '../form.js';
import { signIn } from '../session.js';

const token_form = /^what_\w+$/;

function checkToken(text) {
    return /^[\x21-\x7e]+$/.test(text.trim()) ? null : 'A token is one word, without spaces.';
}

// "why": said when a session ended.  done(): where to go after that.
export function signInView(page, { why, done }) {
    const field = makeField({
        name: 'token',
        label: 'Token',
        kind: 'password',
        required: true,
        check: checkToken,
        hint: 'It begins with what_ and was shown once, when it was made.',
    });
    const box = h('div');
    const submit = h('button', { type: 'submit', class: 'button primary' }, 'Sign in');
    const form = h(
        'form',
        { novalidate: true, class: 'card narrow' },
        h('h1', { tabindex: '-1' }, 'Sign in'),
        why && h('p', { class: 'block warn', role: 'status' }, why),
        field.node,
        box,
        h('div', { class: 'actions' }, submit),
    );
    onSubmit(form, submit, [field], box, async () => {
        const token = field.value.trim();
        try {
            const { data } = await get('session/', {}, null, token);
            signIn(token, data);
        } catch (error) {
            if (error.status !== 401 && error.status !== 403) throw error;
            const odd = token_form.test(token) ? '' : ' Tokens begin with what_.';
            field.setError(`The server does not know this token, or it has expired or was revoked.${odd}`);
            return field.focus();
        }
        done();
    });
    replace(
        page,
        form,
        h(
            'details',
            { class: 'narrow help' },
            h('summary', {}, 'Where do I get a token?'),
            h('p', {}, 'From whoever administers the database. In psql:'),
            h('pre', { class: 'snippet' }, "SELECT whisperer.create_api_token('your_role', 'console', now() + '30 days');"),
            h('p', {}, 'The console then shows and does what that role may. The token is kept in this tab only, until it is closed.'),
        ),
    );
    field.focus();
}
