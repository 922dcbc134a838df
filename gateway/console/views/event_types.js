// The registry: which event types there are, whose they are, and what an event of each looks like.
import { get, nextQuery } from '../api.js';
import { copyButton, empty, head, link, linkButton, loading } from '../ui.js';
import { h, replace } from '../dom.js';
import { plural } from '../format.js';
import { elements, members, pretty, prettyNodes } from '../json_text.js';
import { hashOf } from '../router.js';

const types_max = 2000;

// {name, description, owner, may_subscribe, sample}; the sample as the JSON that it is, null if there is none.
async function loadTypes(signal) {
    const types = [];
    for (let query = new URLSearchParams({ limit: 200 }); query && types.length < types_max;) {
        const { data, text } = await get('hooks/registry/', query, signal);
        const texts = elements(members(text).get('results')).map((type) => members(type).get('sample'));
        data.results.forEach((type, i) => types.push({ ...type, sample: type.sample === null ? null : texts[i] }));
        query = nextQuery(data.next);
    }
    return types;
}

function sampleOf({ name, sample }) {
    if (sample === null || sample === undefined) return h('p', { class: 'faint' }, 'No recent event that you may see.');
    const holder = h('div');
    const draw = () =>
        holder.firstChild ||
        replace(
            holder,
            h(
                'div',
                { class: 'code' },
                h('pre', { tabindex: '0', role: 'region', 'aria-label': `Sample of ${name}` }, prettyNodes(sample)),
                copyButton(() => pretty(sample)),
            ),
        );
    return h('details', { toggle: draw }, h('summary', {}, 'Sample'), holder);
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
        sampleOf(type),
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
