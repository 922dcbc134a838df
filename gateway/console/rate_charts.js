// The charts of delivery_rate: of one hook, or of all of one's own.
import { get } from './api.js';
import { makeChart } from './chart.js';
import { h, newId } from './dom.js';
import { rate, seconds } from './format.js';
import { pointsOf, spans } from './series.js';

const count_charts = { kind: 'bars', format: rate, whole: true };

function makeCharts() {
    const delivered = [{ name: 'delivered', key: 'delivered' }];
    const failed = [{ name: 'failed attempts', key: 'failed_attempts' }];
    const times = [
        { name: 'p50', key: 'p50' },
        { name: 'p95', key: 'p95' },
    ];
    return [
        makeChart({ title: 'Deliveries per minute', series: delivered, ...count_charts }),
        makeChart({ title: 'Failed attempts per minute', series: failed, colour: 2, ...count_charts }),
        makeChart({ title: 'Response time', kind: 'lines', format: seconds, series: times, colour: 3 }),
    ];
}

// hook: an id, or null for all.  more: charts beside these.  refresh() reads the rows and returns them.
export function rateCharts({ hook = null, signal, more = [] }) {
    const charts = makeCharts();
    const id = newId('span');
    const span = h(
        'select',
        { id, change: () => refresh().catch(() => {}) },
        spans.map(([hours, label]) => h('option', { value: hours }, label)),
    );
    const node = h(
        'section',
        { class: 'charts', 'aria-label': 'Activity' },
        h('div', { class: 'charts-head' }, h('h2', {}, 'Activity'), h('label', { for: id }, 'Last'), span),
        h(
            'div',
            { class: 'chart-grid-box' },
            [...charts, ...more].map((chart) => chart.node),
        ),
    );

    async function refresh() {
        const hours = Number(span.value);
        const query = hook === null ? { hours } : { hook, hours };
        const { data } = await get('delivery_rate/', query, signal);
        if (hours !== Number(span.value)) return data.results;
        const points = pointsOf(data.results, hours, Date.now());
        for (const chart of charts) chart.update(points);
        return data.results;
    }
    return { node, refresh };
}
