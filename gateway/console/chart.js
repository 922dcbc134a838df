// Charts as inline SVG: bars for counts, lines for times.  Redrawn at the width that there is, so text keeps its size.
// Each says its gist in its label, shows the values under the pointer, and has them all as a table.
import { h, replace, svg } from './dom.js';
import { clock, nothing } from './format.js';

const height = 150;
const margin = { left: 52, right: 8, top: 8, bottom: 22 };
const ticks_wanted = 3;
const label_px = 70;

// Round steps; counts have no halves.
export function yTicks(max, whole) {
    if (!(max > 0)) return [0, 1];
    const raw = max / ticks_wanted;
    const power = 10 ** Math.floor(Math.log10(raw));
    let step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw * 0.999);
    if (whole) step = Math.max(1, Math.round(step));
    const ticks = [];
    for (let i = 0; ; i++) {
        ticks.push(Number((i * step).toPrecision(12)));
        if (ticks.at(-1) >= max) return ticks;
    }
}

function scales(points, width, top) {
    const inner = Math.max(width - margin.left - margin.right, 10);
    const band = inner / Math.max(points.length, 1);
    const depth = height - margin.top - margin.bottom;
    return { inner, band, x: (i) => margin.left + i * band, y: (value) => margin.top + depth - (value / top) * depth };
}

function axes({ inner, band, x, y }, points, ticks, format) {
    const lines = ticks.flatMap((tick) => [
        svg('line', { class: 'chart-grid', x1: margin.left, x2: margin.left + inner, y1: y(tick), y2: y(tick) }),
        svg('text', { class: 'chart-label', x: margin.left - 6, y: y(tick) + 4, 'text-anchor': 'end' }, format(tick)),
    ]);
    const every = Math.max(1, Math.ceil(label_px / band));
    for (let i = every; i < points.length; i += every)
        lines.push(
            svg('text', { class: 'chart-label', x: x(i), y: height - 5, 'text-anchor': 'middle' }, clock(new Date(points[i].at_ms))),
        );
    return lines;
}

function bars({ band, x, y }, points, { key }, number) {
    const gap = Math.min(2, band / 4);
    return points.map(
        (point, i) =>
            point[key] > 0 &&
            svg('rect', {
                class: `series-${number}`,
                x: x(i) + gap / 2,
                width: Math.max(band - gap, 0.5),
                y: y(point[key]),
                height: Math.max(y(0) - y(point[key]), 1),
                rx: Math.min(1.5, band / 4),
            }),
    );
}

// A gap where there is no value; a value alone is a dot, which a line would not show.
function lines({ band, x, y }, points, { key }, number) {
    const at = (i) => `${(x(i) + band / 2).toFixed(1)} ${y(points[i][key]).toFixed(1)}`;
    const has = (i) => points[i] !== undefined && points[i][key] !== null;
    let path = '';
    const dots = [];
    points.forEach((point, i) => {
        if (!has(i)) return;
        path += `${has(i - 1) ? 'L' : 'M'}${at(i)}`;
        if (!has(i - 1) && !has(i + 1))
            dots.push(svg('circle', { class: `dot-${number}`, cx: x(i) + band / 2, cy: y(point[key]), r: 2.5 }));
    });
    return [svg('path', { class: `line-${number}`, d: path, fill: 'none' }), dots];
}

function gist(title, points, series, format) {
    const values = series.map(({ name, key }) => {
        const known = points.map((point) => point[key]).filter((value) => value !== null);
        if (known.length === 0) return `${name}: no values`;
        return `${name}: at most ${format(Math.max(...known))}, last ${format(known.at(-1))}`;
    });
    const from = clock(new Date(points[0].at_ms));
    const to = clock(new Date(points.at(-1).at_ms));
    return `${title}, ${from} to ${to}. ${values.join('; ')}.`;
}

function valueTable(title, points, series, format) {
    const head = ['Time', ...series.map(({ name }) => name)].map((name) => h('th', { scope: 'col' }, name));
    const rows = points
        .filter((point) => series.some(({ key }) => point[key] !== null))
        .reverse()
        .map((point) =>
            h(
                'tr',
                {},
                h('th', { scope: 'row' }, clock(new Date(point.at_ms))),
                series.map(({ key }) => h('td', { class: 'number' }, point[key] === null ? nothing : format(point[key]))),
            ),
        );
    return h('table', {}, h('caption', { class: 'unseen' }, title), h('thead', {}, h('tr', {}, head)), h('tbody', {}, rows));
}

function legend(series) {
    if (series.length < 2) return null;
    const swatch = (i) =>
        svg('svg', { width: 22, height: 8, 'aria-hidden': 'true' }, svg('path', { class: `line-${i + 1}`, d: 'M1 4H21' }));
    return h(
        'ul',
        { class: 'legend' },
        series.map(({ name }, i) => h('li', {}, swatch(i), name)),
    );
}

function frame({ title, series, colour }) {
    const plot = svg('svg', { class: `plot colour-${colour}`, role: 'img', height, 'aria-label': `${title}: no values yet` });
    const readout = h('p', { class: 'readout' });
    const holder = h('div', { class: 'scroll chart-values', tabindex: '0', role: 'region', 'aria-label': `${title}: values` });
    const values = h('details', {}, h('summary', {}, 'Values'), holder);
    const caption = h('figcaption', {}, h('h3', {}, title), legend(series), readout);
    return { node: h('figure', { class: 'card chart' }, caption, plot, values), plot, readout, holder, values };
}

function makeMarker({ band }) {
    const depth = height - margin.top - margin.bottom;
    return svg('rect', { class: 'chart-marker', y: margin.top, height: depth, width: band, visibility: 'hidden' });
}

// series: {name, key} of the points {at_ms, <key>: number | null}; colour: which of the palette the first has.
export function makeChart({ title, kind, series, format, whole = false, colour = 1 }) {
    const { node, plot, readout, holder, values } = frame({ title, series, colour });
    let points = [];
    let scale = null;
    let marker = null;

    function draw() {
        const width = plot.clientWidth;
        if (points.length === 0 || width === 0) return;
        const ticks = yTicks(Math.max(0, ...points.flatMap((point) => series.map(({ key }) => point[key] ?? 0))), whole);
        scale = scales(points, width, ticks.at(-1));
        marker = makeMarker(scale);
        const shapes = series.map((one, i) => (kind === 'bars' ? bars : lines)(scale, points, one, i + 1));
        plot.setAttribute('viewBox', `0 0 ${width} ${height}`);
        plot.setAttribute('aria-label', gist(title, points, series, format));
        replace(plot, axes(scale, points, ticks, format), marker, shapes);
        if (values.open) replace(holder, valueTable(title, points, series, format));
    }

    function read(point) {
        const value = ({ name, key }) => (series.length > 1 ? `${name} ` : '') + (point[key] === null ? nothing : format(point[key]));
        return `${clock(new Date(point.at_ms))}  ${series.map(value).join(', ')}`;
    }

    // i: which point; beyond them: none.
    function mark(i) {
        if (!scale) return;
        const here = points[i];
        marker.setAttribute('visibility', here ? 'visible' : 'hidden');
        marker.setAttribute('x', scale.x(i));
        replace(readout, here && read(here));
    }

    plot.addEventListener('pointermove', (event) => {
        const left = plot.getBoundingClientRect().left + margin.left;
        if (scale) mark(Math.floor((event.clientX - left) / scale.band));
    });
    plot.addEventListener('pointerleave', () => mark(-1));
    values.addEventListener('toggle', draw);
    new ResizeObserver(draw).observe(plot);
    const update = (new_points) => {
        points = new_points;
        draw();
    };
    return { node, update };
}
