// Starts the console: the bar, which view is shown, and what concerns all of them - signing out, waiting, focus.
import { get, listeners } from './api.js';
import { closeDialogs } from './dialogs.js';
import { h, replace, svg } from './dom.js';
import { arrive, hashOf, go } from './router.js';
import { forgetLag } from './series.js';
import { isPortal, session, signIn, signOut, takePortalLink, token } from './session.js';
import { themeButton } from './theme_button.js';
import { announce, button, empty, errorBox, head, link, linkButton } from './ui.js';
import { signInView } from './views/sign_in.js';

// Each with what it needs is loaded when it is shown first: all of them together kept the first one waiting.
const views = {
    overview: async () => (await import('./views/overview.js')).overviewView,
    hooks: async () => (await import('./views/hooks.js')).hooksView,
    hook_form: async () => (await import('./views/hook_form.js')).hookFormView,
    hook: async () => (await import('./views/hook.js')).hookView,
    deliveries: async () => (await import('./views/deliveries.js')).deliveriesView,
    delivery: async () => (await import('./views/delivery.js')).deliveryView,
    event_types: async () => (await import('./views/event_types.js')).eventTypesView,
    tokens: async () => (await import('./views/tokens.js')).tokensView,
};

// By the first part of the path, and how many parts follow it.
const routes = [
    [/^overview$/, views.overview, 'Overview'],
    [/^hooks$/, views.hooks, 'Hooks'],
    [/^hooks\/new$/, views.hook_form, 'New hook'],
    [/^hooks\/\d+$/, views.hook, 'Hook'],
    [/^hooks\/\d+\/edit$/, views.hook_form, 'Edit hook'],
    [/^deliveries$/, views.deliveries, 'Deliveries'],
    [/^deliveries\/[0-9a-f]{32}-\d+$/, views.delivery, 'Delivery'],
    [/^event-types$/, views.event_types, 'Event types'],
    [/^tokens$/, views.tokens, 'Tokens'],
];
const places = [
    ['overview', 'Overview'],
    ['hooks', 'Hooks'],
    ['deliveries', 'Deliveries'],
    ['event-types', 'Event types'],
    ['tokens', 'Tokens'],
];
// The holder of a link sees one role's hooks, and nothing else.
const not_of_portal = ['overview', 'tokens'];

const main = document.getElementById('main');
const bar = document.getElementById('bar');
const ended = 'Your session has ended: the token has expired or was revoked.';
const rest_after_ms = 1000;
let leave = new AbortController();
let why = null;

function mark() {
    return svg(
        'svg',
        { class: 'mark', viewBox: '0 0 24 24', width: 22, height: 22, 'aria-hidden': 'true' },
        svg('circle', { cx: 7, cy: 12, r: 2.4 }),
        svg('path', { d: 'M11.5 7.5a7 7 0 0 1 0 9M15.5 5a11 11 0 0 1 0 14' }),
    );
}

function drawBar(place) {
    const signed_in = token() !== null;
    const items = places
        .filter(([name]) => !isPortal() || !not_of_portal.includes(name))
        .map(([name, label]) => h('li', {}, link(label, hashOf([name]), { 'aria-current': place === name ? 'page' : null })));
    const who = signed_in && h('span', { class: 'who', title: `Role ${session.role}; whisperer ${session.version}` }, session.role);
    replace(
        bar,
        h('a', { class: 'brand', href: hashOf([isPortal() ? 'hooks' : 'overview']) }, mark(), 'whisperer'),
        signed_in && h('nav', { 'aria-label': 'Main' }, h('ul', { class: 'plain' }, items)),
        h('div', { class: 'bar-end' }, who, themeButton(), signed_in && !isPortal() && button('Sign out', () => leaveSession(null), { small: true })),
    );
}

function leaveSession(reason) {
    const was_portal = isPortal();
    signOut();
    forgetLag();
    why = reason;
    if (was_portal) showEndOfLink();
    else show();
}

// Who came by a link has no token to sign in with.
function showEndOfLink() {
    leave.abort();
    closeDialogs();
    document.title = 'This link has ended - whisperer';
    drawBar(null);
    replace(main, head('This link has ended'), empty('Open the page that led here again, for a new one.'));
    focusHeading();
}

// The reason stays for whoever goes elsewhere before signing in.
function showSignIn() {
    document.title = 'Sign in - whisperer';
    drawBar(null);
    const done = () => {
        why = null;
        show();
    };
    signInView(main, { why, done });
}

// After a reload there is a token, but nobody knows yet whom it stands for.
async function knowRole(signal) {
    if (session.role !== null) return;
    const { data } = await get('session/', {}, signal);
    signIn(token(), data);
}

// The others come a moment later, when the first has what it shows: so all are of one version, whatever becomes of the gateway.
const loadTheRest = () => setTimeout(() => Object.values(views).forEach((load) => load().catch(() => {})), rest_after_ms);

async function show() {
    leave.abort();
    leave = new AbortController();
    const { signal } = leave;
    closeDialogs();
    takePortalLink();
    if (token() === null) return showSignIn();
    const { path, query } = arrive();
    if (path.length === 0 || (isPortal() && not_of_portal.includes(path[0]))) return go([isPortal() ? 'hooks' : 'overview']);
    const [, load, title] = routes.find(([pattern]) => pattern.test(path.join('/'))) ?? [null, () => lost, 'Not found'];
    document.title = `${title}${path[1] && /^\d+$/.test(path[1]) ? ` ${path[1]}` : ''} - whisperer`;
    try {
        const [view] = await Promise.all([load(), knowRole(signal)]);
        if (signal.aborted) return;
        drawBar(path[0]);
        window.scrollTo(0, 0);
        const drawn = view(main, { path, query, signal });
        loadTheRest();
        if (unfocused() || document.activeElement === main) focusHeading();
        await drawn;
    } catch (error) {
        if (error.name === 'AbortError' || signal.aborted) return;
        drawBar(path[0]);
        replace(main, head(title), errorBox(error, show));
    }
    // Whoever went on meanwhile, as with "Skip to content", stays there.
    if (!signal.aborted && unfocused()) focusHeading();
}

const unfocused = () => document.activeElement === document.body || !document.contains(document.activeElement);

// So that a screen reader reads what the page is now, and Tab goes on from there.
function focusHeading() {
    (main.querySelector('h1') ?? main).focus({ preventScroll: true });
}

function lost(page) {
    replace(page, head('Not found'), empty('There is no such page.', null, linkButton('Overview', hashOf(['overview']))));
}

listeners.signed_out = () => {
    if (token() !== null) leaveSession(ended);
};

const wait_box = h('div', { class: 'notice warn', hidden: true });
document.getElementById('notices').append(wait_box);
listeners.waiting = (left_s) => {
    wait_box.hidden = left_s === null;
    if (left_s !== null) wait_box.textContent = `The server asks for a pause. Trying again in ${left_s} s.`;
};

const missing_box = h('div', { class: 'notice warn', role: 'status', hidden: true });
document.getElementById('notices').append(missing_box);
listeners.unavailable = (missing) => {
    const text = missing.map(({ database, message }) => `What database ${database} has is missing here: ${message}.`).join(' ');
    missing_box.hidden = text === '';
    if (missing_box.textContent !== text) missing_box.textContent = text;
};

document.getElementById('skip').addEventListener('click', (event) => {
    event.preventDefault();
    main.focus();
    announce('');
});
window.addEventListener('hashchange', show);
show();
