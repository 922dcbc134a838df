// Dialogs: native <dialog>, which keeps the focus inside, closes on Escape and gives the focus back.  What is outside
// of an open one cannot be reached, so each has its own place for errors and for what is said to screen readers.
import { h, newId, replace } from './dom.js';
import { onSubmit } from './form.js';
import { button, copyButton, errorBox } from './ui.js';
import { verifyHelp } from './verify_help.js';

export function openDialog(title, ...content) {
    const id = newId('dialog');
    const said = h('div', { class: 'unseen', role: 'status', 'data-announcer': true });
    const node = h('dialog', { class: 'dialog', 'aria-labelledby': id }, h('h2', { id }, title), content, said);
    node.addEventListener('close', () => node.remove());
    document.body.append(node);
    node.showModal();
    return node;
}

export function closeDialogs() {
    for (const node of document.querySelectorAll('dialog[open]')) node.close();
}

// Asks before something is done, then does it.
export function confirmThen({ title, text, label, kind = 'primary', run }) {
    const box = h('div');
    const cancel = button('Cancel', () => node.close(), { autofocus: true });
    const act = button(
        label,
        async () => {
            try {
                await run();
                node.close();
            } catch (error) {
                replace(box, errorBox(error));
            }
        },
        { kind },
    );
    const node = openDialog(title, h('p', {}, text), box, h('div', { class: 'actions' }, cancel, act));
    return node;
}

// A secret, or a token, is shown once: it is in the page while the dialog is open, and nowhere afterwards.
export function showSecret(title, secret, text, { label = 'Secret', hand_over = 'Give it to whoever runs the receiver, over a channel that you trust.', help = verifyHelp } = {}) {
    const id = newId('secret');
    const field = h('input', {
        id,
        type: 'text',
        readonly: true,
        class: 'secret',
        autocomplete: 'off',
        spellcheck: 'false',
    });
    field.value = secret;
    return new Promise((resolve) => {
        const node = openDialog(
            title,
            h('p', {}, text),
            h(
                'div',
                { class: 'field' },
                h('label', { for: id }, label),
                h('div', { class: 'joined' }, field, copyButton(secret, field)),
            ),
            h('p', { class: 'faint' }, `It is shown this once. ${hand_over}`),
            help(secret),
            h(
                'div',
                { class: 'actions' },
                button('I have it', () => node.close(), { kind: 'primary' }),
            ),
        );
        node.addEventListener('close', () => {
            field.value = '';
            resolve();
        });
    });
}

// After a hook was given a signing key: what its receiver needs, which nobody has to keep secret.
export function showPublicKey(title, signing_key) {
    return new Promise((resolve) => {
        const node = openDialog(
            title,
            verifyHelp(signing_key),
            h(
                'div',
                { class: 'actions' },
                button('I have it', () => node.close(), { kind: 'primary' }),
            ),
        );
        node.addEventListener('close', resolve);
    });
}

// A dialog with a form.  run() does the work; the dialog closes when it is done, unless keep.  more: what stands below
// the fields; last: a button beside the form's own.
export function formDialog(title, fields, { text, label, kind = 'primary', run, keep = false, more = [], last = null }) {
    const box = h('div');
    const submit = h('button', { type: 'submit', class: `button ${kind}` }, label);
    const cancel = button('Cancel', () => node.close());
    const form = h(
        'form',
        { novalidate: true },
        text && h('p', {}, text),
        fields.map((field) => field.node),
        more,
        box,
        h('div', { class: 'actions' }, cancel, submit, last),
    );
    onSubmit(form, submit, fields, box, async () => {
        await run();
        if (!keep) node.close();
    });
    const node = openDialog(title, form);
    return node;
}
