// When a failed delivery is tried again, and what goes into one request, as forms.
import { h, replace } from './dom.js';
import { makeField } from './form.js';
import { changed, memberFields, membersOf, objectFault, shownText } from './json_form.js';

const choices = [
    ['', 'default: after 5 s, 5 min, 30 min, 2 h ... 24 h'],
    ['fixed', 'fixed: always as long'],
    ['linear', 'linear: longer by as much each time'],
    ['exponential', 'exponential: longer by a factor'],
    ['random', 'random: between two times'],
    ['schedule', 'schedule: one wait after the other'],
    ['custom', 'custom: a function says'],
];
const kwargs = {
    fixed: [['seconds', 'number', 'Seconds']],
    linear: [
        ['base', 'number', 'Seconds more each time'],
        ['limit', 'number', 'At most, in seconds'],
    ],
    exponential: [
        ['base', 'number', 'Base'],
        ['factor', 'number', 'Factor, in seconds', { hint: 'Empty: 1. The wait is factor * base ^ attempts.' }],
        ['limit', 'number', 'At most, in seconds'],
    ],
    random: [
        ['min_value', 'number', 'From, in seconds'],
        ['max_value', 'number', 'To, in seconds'],
    ],
    schedule: [['seconds', 'list', 'Waits in seconds', { hint: 'With commas: 5, 60, 3600', wide: true }]],
    custom: [['function', 'text', 'Function', { hint: 'schema.function' }]],
};
const others = [
    ['max_retries', 'number', 'Retries', { hint: 'Empty: 9, or as many as the schedule has waits.', inputmode: 'numeric' }],
    ['jitter', 'number', 'Jitter', { hint: '0 to 1: each wait is longer or shorter by up to this part.' }],
    ['give_up', 'list', 'Give up after', { hint: 'HTTP statuses, with commas: 400, 404' }],
    ['only_if', 'list', 'Try again only after', { hint: 'HTTP statuses; none: after no answer. Empty: after all.' }],
];

export const retryShape = {
    fault(text) {
        const fault = objectFault(text);
        if (fault || text.trim() === '') return fault;
        const { choice, kwargs: given } = JSON.parse(text);
        if (!Object.hasOwn(kwargs, choice)) return 'The form does not know this choice.';
        const is_plain = given === undefined || given === null || (typeof given === 'object' && !Array.isArray(given));
        return is_plain ? null : 'The form can only show kwargs that are an object.';
    },

    draw(text, write) {
        let now = text;
        const rest = h('div', { class: 'fields wide' });
        const say = (changes) => write((now = changed(now, changes)));
        const given = () => membersOf(JSON.parse(now).kwargs ? membersOf(now).get('kwargs') : '');
        const choice = makeField({
            name: 'retry_countdown_config.choice',
            label: 'Wait',
            kind: 'select',
            options: choices,
            value: text.trim() === '' ? '' : JSON.parse(text).choice,
        });
        const drawRest = () =>
            replace(
                rest,
                choice.value !== '' && [
                    memberFields('retry_countdown_config.kwargs', kwargs[choice.value], given(), (name, json) =>
                        say({ kwargs: changed(membersOf(now).get('kwargs') ?? '', { [name]: json }) }),
                    ),
                    memberFields('retry_countdown_config', others, membersOf(now), (name, json) => say({ [name]: json })),
                ],
            );
        // What another choice takes is not what this one took.
        choice.input.addEventListener('change', () => {
            if (choice.value === '') write((now = ''));
            else say({ choice: JSON.stringify(choice.value), kwargs: '{}' });
            drawRest();
        });
        drawRest();
        return [choice.node, rest];
    },
};

const parts = [
    ['size', 'number', 'Events at most', { hint: 'Empty: 100.', inputmode: 'numeric' }],
    ['wait', 'text', 'Wait for others', { hint: 'Empty: 200 ms.' }],
    ['bytes', 'number', 'Bytes at most', { hint: 'Empty: 262144.', inputmode: 'numeric' }],
];
const forms = [
    ['', 'as usual: a JSON array'],
    ['array', 'array: a JSON array'],
    ['ndjson', 'ndjson: a line for each'],
];

export const batchShape = {
    fault(text) {
        const fault = objectFault(text);
        if (fault || text.trim() === '') return fault;
        const { form = '' } = JSON.parse(text);
        return forms.some(([name]) => name === form) ? null : 'The form does not know this form of a batch.';
    },

    draw(text, write) {
        let now = text;
        const rest = h('div', { class: 'fields wide' });
        const say = (name, json) => write((now = changed(now, { [name]: json })));
        const is_on = makeField({
            name: 'batch.on',
            label: 'Events in a request',
            kind: 'select',
            options: [
                ['', 'one'],
                ['on', 'several'],
            ],
            value: text.trim() === '' ? '' : 'on',
        });
        const drawRest = () => {
            if (is_on.value === '') return replace(rest);
            const form = makeField({ name: 'batch.form', label: 'Body', kind: 'select', options: forms, value: shownText(membersOf(now).get('form')) });
            form.input.addEventListener('change', () => say('form', form.value === '' ? null : JSON.stringify(form.value)));
            return replace(rest, memberFields('batch', parts, membersOf(now), say), form.node);
        };
        is_on.input.addEventListener('change', () => {
            now = is_on.value === '' ? '' : '{}';
            write(now);
            drawRest();
        });
        drawRest();
        return [is_on.node, rest];
    },
};
