// The fields of a hook's form, and what they say as the JSON that the server takes.
import { configShape } from './config_form.js';
import { h } from './dom.js';
import { filterShape } from './filter_form.js';
import { fieldset, makeField } from './form.js';
import {
    checkBatch,
    checkConfig,
    checkEventType,
    checkFilter,
    checkFunction,
    checkHeaders,
    checkMaxInFlight,
    checkMetadata,
    checkPayloadKey,
    checkRate,
    checkRetries,
    checkSignatures,
    checkSigning,
    checkTimeout,
    checkUrl,
    readHeaders,
} from './hook_checks.js';
import { withForm } from './json_form.js';
import { pretty } from './json_text.js';
import { batchShape, retryShape } from './retry_form.js';

const secrets = [
    ['make', 'a new secret, shown once'],
    ['own', 'a secret of my own'],
    ['none', 'nothing: unsigned'],
];
const keep_headers = [
    ['keep', 'leave as they are'],
    ['replace', 'replace all of them'],
];
const orders = [
    ['none', 'none: side by side'],
    ['key', 'key: in order for each object'],
    ['hook', 'hook: one after the other'],
];

const formats = [
    ['whisperer', 'whisperer: envelope'],
    ['standard', 'standard: Standard Webhooks'],
    ['cloudevents', 'cloudevents: CloudEvents, structured'],
    ['cloudevents-binary', 'cloudevents-binary: CloudEvents, binary'],
    ['data', 'data: nothing around it'],
    ['form', 'form: pairs of a flat object'],
];

const encodings = [
    ['', 'none'],
    ['gzip', 'gzip: bodies over 1 kB'],
];

const priorities = [
    ['normal', 'normal'],
    ['high', 'high: goes first'],
    ['low', 'low: goes last'],
];

// Columns of JSON that have a form, too, and what is said beside it.
const shapes = {
    filter: [filterShape, 'All of them must hold. Text is written as it is; 5, true, null and lists are JSON, and "5" in quotes is text. None: every event.'],
    retry_countdown_config: [retryShape],
    config: [configShape],
    batch: [batchShape],
};

// Name, label, kind of value, and what else makeField takes.
const columns = [
    ['event_type', 'Event type', 'text', { required: true, check: checkEventType, hint: 'A registered name, prefix*, *, or several with commas.' }],
    ['target_url', 'Target URL', 'text', { required: true, kind: 'url', check: checkUrl, hint: 'Where each event is POSTed to.' }],
    ['name', 'Name', 'text', { hint: 'What you call it: one hook of yours at a time has it.' }],
    ['description', 'Description', 'text', { wide: true, hint: 'For people only.' }],
    [
        'filter',
        'Filter',
        'json',
        {
            kind: 'area',
            wide: true,
            check: checkFilter,
            hint: 'JSON. Only events whose data contains it: {"status": "paid"}; or operators: {"total": {"$gt": 100}}',
        },
    ],
    ['rate_limit', 'Rate limit', 'number', { inputmode: 'decimal', check: checkRate, hint: 'Attempts a second at most. Empty: no limit.' }],
    ['ordering', 'Order', 'text', { kind: 'select', options: orders, hint: 'A delivery that fails holds up those behind it.' }],
    ['priority', 'Priority', 'text', { kind: 'select', options: priorities, hint: 'Counts while there is more to send than can be sent at once.' }],
    [
        'retry_countdown_config',
        'Retries',
        'json',
        {
            kind: 'area',
            wide: true,
            check: checkRetries,
            hint: 'JSON: {"choice": "fixed", "kwargs": {"seconds": 60}, "max_retries": 5}. Empty: after 5 s, 5 min, 30 min, 2 h ... 24 h.',
        },
    ],
    [
        'config',
        'Config',
        'json',
        {
            kind: 'area',
            wide: true,
            check: checkConfig,
            hint: 'A JSON object. "auth" in it holds credentials for the receiver: only its type is shown, and it stays if that is left as it is.',
        },
    ],
    ['format', 'Format', 'text', { kind: 'select', options: formats, hint: 'What was sent once keeps the format it had.' }],
    ['payload_key', 'Payload key', 'text', { check: checkPayloadKey, hint: 'What format whisperer calls the data. Empty: data.' }],
    [
        'signing',
        'Signature of its own',
        'json',
        {
            kind: 'area',
            wide: true,
            check: checkSigning,
            hint: 'JSON: {"header": "X-Hub-Signature-256", "value": "sha256={hex}", "content": "{body}"}. Empty: none.',
        },
    ],
    ['signatures', 'Other signatures', 'json', { check: checkSignatures, hint: '["standard"], ["whisperer"] or []. Empty: both.' }],
    ['metadata_headers', 'Metadata headers', 'json', { check: checkMetadata, hint: '["time", "object", "source", "attempt", "idempotency_key"]: as X-Whisperer-Time and so on.' }],
    [
        'batch',
        'Batches',
        'json',
        { kind: 'area', wide: true, check: checkBatch, hint: 'JSON: {"size": 100, "wait": "200 ms", "bytes": 262144, "form": "array"}, or "ndjson". Empty: a request for each event.' },
    ],
    ['encoding', 'Compression', 'text', { kind: 'select', options: encodings, hint: 'The receiver undoes it, and then verifies the signature.' }],
    ['transform', 'Transform', 'text', { check: checkFunction, hint: 'Function that makes the body, or the data of another format than whisperer: schema.function, or schema.function(json, jsonb)' }],
    ['timeout', 'Time-out', 'number', { inputmode: 'decimal', check: checkTimeout, hint: 'Seconds that one attempt may take. Empty: as the server says.' }],
    ['max_in_flight', 'Requests at once', 'number', { inputmode: 'numeric', check: checkMaxInFlight, hint: 'At most. Empty: as the server says.' }],
    ['callback', 'Callback', 'text', { check: checkFunction, hint: 'Function that is told how each ended: schema.function' }],
];

function shown(hook, name, kind) {
    const value = hook?.values[name];
    if (value === null || value === undefined) return '';
    return kind === 'json' ? pretty(hook.texts.get(name)) : String(value);
}

// hook: {values, texts} of the one that is edited, or null; types: names to suggest; preset: an event type.
export function makeFields(hook, types, preset) {
    const fields = {};
    for (const [name, label, kind, more] of columns)
        fields[name] = makeField({
            name,
            label,
            value: shown(hook, name, kind),
            ...more,
            suggestions: name === 'event_type' ? types : undefined,
        });
    for (const [name, [shape, hint]] of Object.entries(shapes)) withForm(fields[name], shape, hint);
    fields.event_type.input.value ||= preset;
    if (fields.ordering.value === '') fields.ordering.input.value = 'none';
    if (fields.priority.value === '') fields.priority.input.value = 'normal';
    if (fields.format.value === '') fields.format.input.value = 'whisperer';
    const own = (text) => (fields.secret.value === 'own' && text === '' ? 'This is needed, or choose another signature.' : null);
    fields.secret = makeField({
        name: 'secret',
        label: 'Signed with',
        kind: 'select',
        value: 'make',
        options: secrets,
    });
    fields.secret_key = makeField({
        name: 'secret_key',
        label: 'Secret',
        kind: 'password',
        check: own,
        hint: 'Any text, or a whsec_ secret, or a whsk_ signing key, whose public half the receiver gets.',
    });
    fields.replace_headers = makeField({
        name: 'replace_headers',
        label: 'Additional headers',
        kind: 'select',
        value: 'keep',
        options: keep_headers,
    });
    fields.additional_headers = makeField({
        name: 'additional_headers',
        label: hook ? 'New headers' : 'Additional headers',
        kind: 'area',
        wide: true,
        check: checkHeaders,
        hint: 'One a line, Name: value. They are kept with the secrets and never shown again.',
    });
    return fields;
}

function showWhen(field, select, value) {
    const apply = () => (field.node.hidden = select.value !== value);
    select.input.addEventListener('change', apply);
    apply();
}

export function layOut(fields, hook) {
    showWhen(fields.secret_key, fields.secret, 'own');
    if (hook) showWhen(fields.additional_headers, fields.replace_headers, 'replace');
    const headers = hook ? [fields.replace_headers, fields.additional_headers] : [fields.additional_headers];
    return h(
        'div',
        { class: 'fieldsets' },
        fieldset('What and where', fields.event_type, fields.target_url, fields.name, fields.description),
        hook ? null : fieldset('Signature', fields.secret, fields.secret_key),
        fieldset('Which events, how fast, how often', fields.filter, fields.rate_limit, fields.ordering, fields.priority, fields.retry_countdown_config),
        fieldset('What is sent', fields.format, fields.payload_key, fields.transform, fields.signing, fields.signatures, fields.metadata_headers, fields.batch, fields.encoding),
        fieldset('Receiver and callback', fields.config, ...headers, fields.timeout, fields.max_in_flight, fields.callback),
    );
}

// JSON of each column; null for an empty field.
export function columnTexts(fields) {
    const as = { text: JSON.stringify, json: (text) => text, number: (text) => String(Number(text)) };
    return new Map(
        columns.map(([name, , kind]) => {
            const text = fields[name].value.trim();
            return [name, text === '' ? 'null' : as[kind](text)];
        }),
    );
}

// What to send: all that was given, or, when editing, all that differs from before (columnTexts of then).
export function changes(fields, before) {
    const entries = new Map();
    for (const [name, text] of columnTexts(fields))
        if (before ? text !== before.get(name) : text !== 'null') entries.set(name, name === 'config' && text === 'null' ? '{}' : text);
    const { headers } = readHeaders(fields.additional_headers.value);
    if (before ? fields.replace_headers.value === 'replace' : Object.keys(headers).length > 0)
        entries.set('additional_headers', JSON.stringify(headers));
    if (!before && fields.secret.value === 'own') entries.set('secret_key', JSON.stringify(fields.secret_key.value));
    if (!before && fields.secret.value === 'none') entries.set('secret_key', '""');
    return entries;
}
