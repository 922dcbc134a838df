// The parts that views are made of: buttons, badges, tables, blocks for loading, emptiness and errors, notices.
import { h, newId, replace } from './dom.js';
import { missing, nothing, sentence } from './format.js';

// Runs an action once at a time.  The button keeps the focus, which a disabled one would lose.
export function button(label, run, { kind = 'plain', small = false, ...properties } = {}) {
    let running = false;
    const node = h('button', { type: 'button', class: `button ${kind}${small ? ' small' : ''}`, ...properties }, label);
    node.addEventListener('click', async () => {
        if (running || node.getAttribute('aria-disabled') === 'true') return;
        running = true;
        node.setAttribute('aria-busy', 'true');
        try {
            await run(node);
        } catch (error) {
            if (error.name !== 'AbortError') notifyError(error);
        } finally {
            running = false;
            node.removeAttribute('aria-busy');
        }
    });
    return node;
}

export function link(label, href, properties = {}) {
    return h('a', { href, ...properties }, label);
}

export function linkButton(label, href, kind = 'plain') {
    return link(label, href, { class: `button ${kind}` });
}

export function badge(kind, word, title) {
    return h('span', { class: `badge ${kind}`, title }, word);
}

export function head(title, ...actions) {
    return h('div', { class: 'head' }, h('h1', { tabindex: '-1' }, title), h('div', { class: 'actions' }, actions));
}

export function card(title, ...content) {
    const id = newId('card');
    return h('section', { class: 'card', 'aria-labelledby': id }, h('h2', { id }, title), content);
}

export function loading(text = 'Loading …') {
    return h('p', { class: 'block loading', role: 'status' }, text);
}

export function empty(title, text, ...actions) {
    return h('div', { class: 'block empty' }, h('p', { class: 'block-title' }, title), text && h('p', {}, text), actions);
}

// What went wrong in the server's words, and the id by which its log knows the request.
function errorParts(error) {
    return [
        h('p', { class: 'block-title' }, sentence(error.message)),
        error.hint && h('p', {}, sentence(error.hint)),
        error.retry_after_s && h('p', {}, `Try again in ${error.retry_after_s} s.`),
        error.request_id && h('p', { class: 'faint' }, 'Request ', h('code', {}, error.request_id)),
    ];
}

export function errorBox(error, again) {
    return h('div', { class: 'block error', role: 'alert' }, errorParts(error), again && button('Try again', again));
}

// A term and what it is, many times; empty values show a dash.
export function facts(pairs) {
    const rows = pairs
        .filter(Boolean)
        .map(([term, value]) => h('div', {}, h('dt', {}, term), h('dd', {}, missing(value) ? nothing : value)));
    return h('dl', { class: 'facts' }, rows);
}

export function tile(label, value, { kind, note } = {}) {
    return h('div', { class: `tile${kind ? ` ${kind}` : ''}` }, h('dt', {}, label), h('dd', {}, value, note && h('small', {}, note)));
}

export function tiles(...content) {
    return h('dl', { class: 'tiles' }, content);
}

// columns: {label, cell(row), class}; cell's class goes to the header, too.  A table that is too wide scrolls by itself.
export function table(caption, columns, rows, { row_class = () => null } = {}) {
    const heads = columns.map(({ label, class: name }) => h('th', { scope: 'col', class: name }, label));
    const lines = rows.map((row) => {
        const cells = columns.map(({ cell, class: name, head: is_head }) =>
            h(is_head ? 'th' : 'td', { class: name, scope: is_head ? 'row' : null }, present(cell(row))),
        );
        return h('tr', { class: row_class(row) }, cells);
    });
    const node = h('table', {}, h('caption', { class: 'unseen' }, caption), h('thead', {}, h('tr', {}, heads)), h('tbody', {}, lines));
    return h('div', { class: 'scroll', role: 'region', 'aria-label': caption, tabindex: '0' }, node);
}

function present(value) {
    return missing(value) ? nothing : value;
}

// Replaces what a node holds and keeps the keyboard where it was: on the element with the same data-key.
export function renew(node, ...content) {
    const key = node.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    replace(node, ...content);
    if (key) node.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
    return node;
}

export function pager(place, { newer, older }) {
    const step = (label, run) => button(label, run ?? (() => {}), { small: true, 'aria-disabled': run ? null : 'true', 'data-key': label });
    return h('nav', { class: 'pager', 'aria-label': 'Pages' }, step('Previous', newer), h('span', {}, place), step('Next', older));
}

// Long texts of others: wrapped, bounded in height, reachable by keyboard.
export function snippet(text, label) {
    return missing(text) ? nothing : h('pre', { class: 'snippet', tabindex: '0', role: 'region', 'aria-label': label }, text);
}

// To screen readers.  What is outside of an open dialog is not read out, so the last place for it counts.
export function announce(text) {
    [...document.querySelectorAll('[data-announcer]')].at(-1).textContent = text;
}

const notice_ms = 8000;

// A good one goes by itself, an error stays until it is dismissed.
export function notify(content, kind = 'good') {
    const node = h('div', { class: `notice ${kind}` }, h('div', {}, content));
    node.append(button('Dismiss', () => node.remove(), { small: true }));
    document.getElementById('notices').append(node);
    if (kind === 'good') setTimeout(() => node.remove(), notice_ms);
    return node;
}

export function notifyError(error) {
    return notify(errorParts(error), 'bad');
}

const copied_ms = 2000;

// Plain http to another host has no clipboard; then the text is selected, to be copied by hand.
export function copyButton(text, field, label = 'Copy') {
    return button(
        label,
        async (node) => {
            try {
                await navigator.clipboard.writeText(typeof text === 'function' ? text() : text);
                announce('Copied.');
                node.textContent = 'Copied';
                setTimeout(() => (node.textContent = label), copied_ms);
            } catch {
                field?.focus();
                field?.select?.();
                announce('It could not be copied. Select it and copy it with your keyboard.');
            }
        },
        { small: true },
    );
}
