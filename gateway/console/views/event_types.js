// The registry: which event types there are, whose they are, and what an event of each looks like.
import { get, nextQuery } from '../api.js';
import { copyButton, empty, head, link, linkButton, loading } from '../ui.js';
import { h, replace } from '../dom.js';
import { plural } from '../format.js';
import { elements, members, pretty, prettyNodes } from '../json_text.js';
import { hashOf } from '../router.js';

const types_max = 2000;

// {name, description, owner, may_subscribe, on_invalid, sample, example, schema}; the last three as the JSON that they are,
// null if there is none.
async function loadTypes(signal) {
    const types = [];
    for (let query = new URLSearchParams({ limit: 200 }); query && types.length < types_max;) {
        const { data, text } = await get('hooks/registry/', query, signal);
        const texts = elements(members(text).get('results')).map(members);
        const written = (type, i, key) => (type[key] === null ? null : texts[i].get(key));
        data.results.forEach((type, i) => {
            const [sample, example, schema] = ['sample', 'example', 'schema'].map((key) => written(type, i, key));
            types.push({ ...type, sample, example, schema });
        });
        query = nextQuery(data.next);
    }
    return types;
}

function folded(label, name, json) {
    const holder = h('div');
    const draw = () =>
        holder.firstChild ||
        replace(
            holder,
            h(
                'div',
                { class: 'code' },
                h('pre', { tabindex: '0', role: 'region', 'aria-label': `${label} of ${name}` }, prettyNodes(json)),
                copyButton(() => pretty(json)),
            ),
        );
    return h('details', { toggle: draw }, h('summary', {}, label), holder);
}

// A recent event says more than an example, unless there is none.
function looksOf({ name, sample, example, schema, on_invalid }) {
    const is_there = (json) => json !== null && json !== undefined;
    return [
        is_there(schema) && folded('Schema', name, schema),
        is_there(schema) &&
            h('p', { class: 'faint' }, on_invalid === 'send' ? 'What does not fit the schema is sent all the same.' : 'What does not fit the schema is not sent.'),
        is_there(example) && folded('Example', name, example),
        is_there(sample) ? folded('Sample', name, sample) : !is_there(example) && h('p', { class: 'faint' }, 'No recent event that you may see.'),
    ];
}

function typeCard(type) {
    return h(
        'li',
        { class: 'card type' },
        h(
            'div',
            { class: 'head' },
            h('h2', { class: 'breakable' }, type.name),
            h(
                'div',
                { class: 'actions' },
                link('Deliveries', hashOf(['deliveries'], { event_type: type.name }), {
                    'aria-label': `Deliveries of ${type.name}`,
                }),
                type.may_subscribe
                    ? link('Subscribe', hashOf(['hooks', 'new'], { event_type: type.name }), {
                          'aria-label': `Subscribe to ${type.name}`,
                      })
                    : h('span', { class: 'faint' }, 'Not yours to subscribe to'),
            ),
        ),
        type.description && h('p', { class: 'breakable' }, type.description),
        h('p', { class: 'faint' }, 'Owner ', h('code', {}, type.owner)),
        ...looksOf(type),
    );
}

export async function eventTypesView(page, { signal, query }) {
    const list = h('div', {}, loading());
    const search = h('input', {
        type: 'search',
        'aria-label': 'Search event types',
        placeholder: 'Search',
        autocomplete: 'off',
    });
    search.value = query.get('q') ?? '';
    const said = h('p', { class: 'faint', role: 'status' });
    replace(
        page,
        head('Event types', linkButton('New hook', hashOf(['hooks', 'new']), 'primary')),
        h('div', { class: 'filters' }, search, said),
        list,
    );
    const types = await loadTypes(signal);
    const draw = () => {
        const words = search.value.toLowerCase();
        const found = types.filter((type) => `${type.name} ${type.description ?? ''} ${type.owner}`.toLowerCase().includes(words));
        said.textContent = plural(found.length, 'event type');
        if (types.length === 0)
            return replace(list, empty('No event type is registered.', "In SQL: SELECT whisperer.register_event('package-created');"));
        replace(
            list,
            h('ul', { class: 'plain cards' }, found.slice(0, 200).map(typeCard)),
            found.length > 200 && h('p', { class: 'faint' }, 'The first 200 are shown; search for the others.'),
        );
    };
    search.addEventListener('input', draw);
    draw();
}
