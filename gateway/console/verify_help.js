// How the receiver verifies with a secret, in the language that one chooses; folded away until somebody wants it.
import { h, replace } from './dom.js';
import { copyButton } from './ui.js';
import { verify_snippets } from './verify_snippets.js';

export function verifyHelp() {
    const pre = h('pre', { tabindex: '0', role: 'region', 'aria-label': 'Code that verifies' });
    const choice = h(
        'select',
        { 'aria-label': 'Language', change: () => replace(pre, verify_snippets[choice.value]) },
        Object.keys(verify_snippets).map((name) => h('option', { value: name }, name)),
    );
    replace(pre, verify_snippets[choice.value]);
    return h(
        'details',
        { class: 'help' },
        h('summary', {}, 'How the receiver verifies'),
        h('p', {}, 'With the secret in WEBHOOK_SECRET, before it believes anything of a request:'),
        choice,
        h(
            'div',
            { class: 'code' },
            pre,
            copyButton(() => verify_snippets[choice.value]),
        ),
    );
}
