// A table of deliveries, as the list of all and the page of a hook show them.
import { h } from './dom.js';
import { count, missing, nothing, seconds, shorten, when } from './format.js';
import { deliveryKind } from './health.js';
import { hashOf } from './router.js';
import { elsewhere } from './session.js';
import { badge, link, table } from './ui.js';

function eventCell(item) {
    const name = shorten(item.event_type, 60);
    return [
        link(name, hashOf(['deliveries', item.id], { database: elsewhere(item) }), { class: 'strong', 'data-key': item.id, title: item.event_type }),
        !missing(item.object_id) && h('span', { class: 'faint clipped', title: item.object_id }, `object ${shorten(item.object_id, 60)}`),
    ];
}

export function outcome(item) {
    if (!missing(item.response_http_status)) return `HTTP ${item.response_http_status}`;
    return item.error ? 'no answer' : nothing;
}

const columns = [
    { label: 'State', class: 'tight', cell: (item) => badge(deliveryKind(item.state), item.state) },
    { label: 'Event', class: 'main-cell', head: true, cell: eventCell },
    {
        label: 'Hook',
        class: 'number',
        name: 'hook',
        cell: (item) =>
            link(`#${item.webhook}`, hashOf(['hooks', item.webhook], { database: elsewhere(item) }), {
                'aria-label': `Hook ${item.webhook}`,
            }),
    },
    { label: 'Recorded', class: 'tight medium-up', cell: (item) => when(item.created_date) },
    { label: 'Attempts', class: 'number medium-up', cell: (item) => count(item.retry_count) },
    { label: 'Answer', class: 'tight', cell: outcome },
    { label: 'Time', class: 'number medium-up', cell: (item) => seconds(item.response_time) },
    {
        label: 'Error',
        name: 'error',
        class: 'error-cell wide-up',
        cell: (item) => item.error && h('span', { class: 'clipped', title: item.error }, shorten(item.error, 120)),
    },
];

const where = { label: 'Database', class: 'tight medium-up', cell: (item) => item.database };

// With several databases each says where it is.  brief: without what the page of a hook says elsewhere.
export function deliveryTable(items, { brief = false } = {}) {
    return table(
        'Deliveries, newest first',
        [...columns.filter(({ name }) => !brief || !name), ...(items.some((item) => item.database) ? [where] : [])],
        items,
    );
}
