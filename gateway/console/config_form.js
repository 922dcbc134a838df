// A hook's config as a form: credentials for the receiver, and what an event's config_filter is compared with.
import { h, replace } from './dom.js';
import { makeField } from './form.js';
import { changed, memberFields, membersOf, objectFault, readValue, shownValue } from './json_form.js';
import { objectText } from './json_text.js';
import { drawRows } from './rows.js';

const types = [
    ['', 'none'],
    ['basic', 'basic: user name and password'],
    ['bearer', 'bearer: a token'],
    ['token', 'token: fetched with a login'],
    ['oauth2', 'oauth2: client credentials'],
];
const other = ['other', 'another, as the JSON has it'];
const login = [
    ['username', 'text', 'User name'],
    ['password', 'secret', 'Password'],
];
const parts = {
    basic: login,
    bearer: [['token', 'secret', 'Token']],
    token: [
        ['url', 'text', 'Where to log in', { hint: 'https://...', wide: true }],
        ...login,
        ['username_field', 'text', 'Member for the user name', { hint: 'Empty: username.' }],
        ['password_field', 'text', 'Member for the password', { hint: 'Empty: password.' }],
        ['token_key', 'text', 'Where the answer has the token', { hint: 'Empty: token. data.token looks deeper.' }],
        ['header_format', 'text', 'Header', { hint: 'Empty: Token {token}.' }],
    ],
    oauth2: [
        ['token_url', 'text', 'Where tokens are', { hint: 'https://...', wide: true }],
        ['client_id', 'text', 'Client id'],
        ['client_secret', 'secret', 'Client secret'],
        ['scope', 'text', 'Scope'],
        ['audience', 'text', 'Audience'],
    ],
};
const certificate = [
    ['client_certificate', 'text', 'Client certificate, PEM', { kind: 'area', wide: true }],
    ['client_key', 'text', 'Its key, PEM', { kind: 'area', wide: true }],
];
const masked = '"***"';

const authOf = (text) => membersOf(membersOf(text).get('auth')?.replace(/^null$/, '') ?? '');

function typeOf(auth) {
    if (auth.size === 0) return '';
    const type = auth.has('type') ? JSON.parse(auth.get('type')) : '';
    return Object.hasOwn(parts, type) || (type === '' && !auth.has('auth_type')) ? type : other[0];
}

// What is shown of credentials is their type: that much, unchanged, leaves them as they are.
const is_kept = (auth) => auth.size > 0 && [...auth].every(([name, json]) => ['type', 'auth_type'].includes(name) || json === masked);

function drawAuth(text, sayAuth) {
    const rest = h('div', { class: 'fields wide' });
    let now = text;
    const was_kept = is_kept(authOf(text));
    const type = makeField({
        name: 'config.auth.type',
        label: 'Credentials for the receiver',
        kind: 'select',
        options: typeOf(authOf(text)) === other[0] ? [...types, other] : types,
        value: typeOf(authOf(text)),
        hint: was_kept ? 'They are kept and not shown, and stay as they are. To change them, write all of them.' : undefined,
    });
    const say = (auth) => {
        now = auth.size === 0 ? changed(now, { auth: null }) : changed(now, { auth: objectText(auth) });
        sayAuth(auth);
    };
    function change(name, json) {
        const auth = authOf(now);
        if (json === null) auth.delete(name);
        else auth.set(name, json);
        say(auth);
    }
    const drawRest = () => {
        if (type.value === other[0]) return replace(rest, h('p', { class: 'hint' }, 'The JSON has them.'));
        const auth = authOf(now);
        const has = certificate.some(([name]) => auth.has(name));
        const mutual = h(
            'details',
            { class: 'wide', open: has },
            h('summary', {}, 'Client certificate'),
            h('div', { class: 'fields' }, memberFields('config.auth', certificate, auth, change)),
        );
        return replace(rest, type.value !== '' && memberFields('config.auth', parts[type.value], auth, change), mutual);
    };
    type.input.addEventListener('change', () => {
        const certificates = [...authOf(now)].filter(([name, json]) => json !== masked && certificate.some(([one]) => one === name));
        const named = type.value === '' ? [] : [['type', JSON.stringify(type.value)]];
        say(new Map([...named, ...certificates]));
        drawRest();
    });
    drawRest();
    return [type.node, rest];
}

function pairsFault(rows) {
    const names = rows.map(({ name }) => name);
    if (names.includes('')) return 'A value has no name.';
    if (names.includes('auth')) return '"auth" stands above.';
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    return twice === undefined ? null : `"${twice}" is there twice.`;
}

function drawPairs(entries, say) {
    const rows = drawRows({
        what: 'value',
        cells: [
            ['name', 'Name'],
            ['value', 'Value'],
        ],
        rows: entries.map(([name, json]) => ({ name, value: shownValue(json) })),
        tell: (now) =>
            say(
                now.filter(({ name }) => name !== '' && name !== 'auth').map(({ name, value }) => [name, readValue(value)]),
                pairsFault(now),
            ),
    });
    return h('div', { class: 'wide' }, h('p', { class: 'hint' }, 'Values of yours. An event with a config_filter goes to the hooks that have them.'), rows);
}

export const configShape = {
    fault(text) {
        const fault = objectFault(text);
        if (fault || text.trim() === '') return fault;
        const { auth = null } = JSON.parse(text);
        return auth === null || (typeof auth === 'object' && !Array.isArray(auth)) ? null : 'The form can only show auth that is an object.';
    },

    draw(text, write) {
        let auth = authOf(text);
        let pairs = [...membersOf(text)].filter(([name]) => name !== 'auth');
        let fault = null;
        const say = () => {
            const entries = [...(auth.size > 0 ? [['auth', objectText(auth)]] : []), ...pairs];
            write(entries.length > 0 ? objectText(entries) : '', fault);
        };
        return [
            ...drawAuth(text, (now) => {
                auth = now;
                say();
            }),
            drawPairs(pairs, (entries, why) => {
                pairs = entries;
                fault = why;
                say();
            }),
        ];
    },
};
