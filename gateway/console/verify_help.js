// How the receiver verifies with a secret, in the language that one chooses; folded away until somebody wants it.  With
// a signing key it has the public half, and that code would never find a signature genuine.
import { h, replace } from './dom.js';
import { copyButton } from './ui.js';
import { verify_snippets } from './verify_snippets.js';

const ed25519_bytes = 32;

export const isSigningKey = (secret) => secret.startsWith('whsk_');

// Behind whsk_ are the seed and the public key.
export function publicKeyOf(secret) {
    return `whpk_${btoa(atob(secret.slice('whsk_'.length)).slice(ed25519_bytes))}`;
}

function publicKeyHelp(secret) {
    return h(
        'div',
        { class: 'help' },
        h('p', {}, 'The receiver verifies with this public key, and can sign nothing with it:'),
        h('p', {}, h('code', { class: 'breakable' }, publicKeyOf(secret)), ' ', copyButton(publicKeyOf(secret))),
        h('p', {}, 'How is in docs/subscriber.md, under "Other secrets and signatures": ed25519, in webhook-signature as v1a.'),
    );
}

export function verifyHelp(secret) {
    if (isSigningKey(secret)) return publicKeyHelp(secret);
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
