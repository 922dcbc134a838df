// Real signed POSTs to a hook's receiver, and what came back: a ping, or the example of an event type.
import { getAll, post } from './api.js';
import { formDialog, openDialog } from './dialogs.js';
import { h, replace } from './dom.js';
import { makeField } from './form.js';
import { seconds } from './format.js';
import { badge, button, errorBox, facts, loading, snippet } from './ui.js';

const types_max = 2000;

function pingAnswer(answer, title) {
    return h(
        'div',
        { class: `block ${answer.ok ? 'good' : 'error'}` },
        h('p', { class: 'block-title' }, badge(answer.ok ? 'good' : 'bad', answer.ok ? 'answered' : 'failed'), ` ${title}`),
        facts([
            ['HTTP status', answer.http_status],
            ['Time', seconds(answer.response_time)],
            answer.error && ['Error', answer.error],
            ['Answer', snippet(answer.response_content, 'Answer to the ping')],
        ]),
    );
}

async function ping(id, body, title, box) {
    replace(box, loading('Waiting for the receiver …'));
    try {
        const { data } = await post(`hooks/${id}/ping/`, body);
        replace(box, pingAnswer(data, title));
    } catch (error) {
        replace(box, errorBox(error));
    }
}

// What came back is shown in box.
export function pingButton(id, box) {
    return button('Ping', () => ping(id, {}, 'Ping', box));
}

// Of a hook's event types, each a name or a beginning with *.
function isNamed(names, type) {
    return names.split(',').some((one) => {
        const name = one.trim();
        return name.endsWith('*') ? type.startsWith(name.slice(0, -1)) : name === type;
    });
}

function chooseExample(hook, types, box) {
    const choice = makeField({
        name: 'example_of',
        label: 'Event type',
        kind: 'select',
        options: types.map(({ name, example }) => [name, example === null ? `${name}: has no example` : name]),
        value: types.find(({ example }) => example !== null).name,
        check: (name) => (types.find((type) => type.name === name).example === null ? 'It has no example. Its owner may give it one.' : null),
    });
    formDialog('Send an example', [choice], {
        text: 'The receiver gets the example of the type as an event of it, once, whatever the filter says, and signed.',
        label: 'Send',
        run: async () => ping(hook.id, { event_type: choice.value }, `Example of ${choice.value}`, box),
    });
}

export function exampleButton(hook, box) {
    return button('Send example …', async () => {
        const { results } = await getAll('hooks/registry/', {}, { max: types_max });
        const types = results.filter((type) => isNamed(hook.event_type, type.name));
        if (types.some(({ example }) => example !== null)) return chooseExample(hook, types, box);
        const close = button('Close', () => node.close(), { autofocus: true });
        const node = openDialog(
            'There is no example to send',
            h('p', {}, 'None of the event types of this hook has one. Whoever owns a type gives it one, in SQL:'),
            h('pre', { class: 'snippet' }, `SELECT whisperer.update_event('${types[0]?.name ?? 'order-paid'}', '{"example": {"id": 1}}');`),
            h('div', { class: 'actions' }, close),
        );
    });
}
