// Rows of delivery_rate, one a minute and none for a quiet one, as an unbroken row of points for a chart.

const minute_ms = 60000;
export const hour_ms = 60 * minute_ms;
// Width of a point by how many hours are shown: 60 to 96 of them.
const widths_min = { 1: 1, 6: 5, 24: 15 };

export const spans = [
    [1, '1 hour'],
    [6, '6 hours'],
    [24, '24 hours'],
];

function collect(points, rows, width_ms, start_ms) {
    for (const row of rows) {
        const point = points[Math.floor((Date.parse(row.minute) - start_ms) / width_ms)];
        if (!point) continue;
        point.delivered += row.delivered;
        point.failed_attempts += row.failed_attempts;
        point.failed += row.failed;
        if (row.response_time_p50 !== null) {
            point.weight += row.delivered || 1;
            point.p50_sum += row.response_time_p50 * (row.delivered || 1);
        }
        if (row.response_time_p95 !== null) point.p95 = Math.max(point.p95 ?? 0, row.response_time_p95);
    }
}

// Counts become numbers per minute; p50 is the mean of the minutes', weighted, p95 the highest of them.
export function pointsOf(rows, hours, now_ms) {
    const width_ms = widths_min[hours] * minute_ms;
    const end_ms = Math.floor(now_ms / width_ms) * width_ms + width_ms;
    const start_ms = end_ms - hours * 60 * minute_ms;
    const points = [];
    for (let at_ms = start_ms; at_ms < end_ms; at_ms += width_ms)
        points.push({ at_ms, delivered: 0, failed_attempts: 0, failed: 0, weight: 0, p50_sum: 0, p95: null });
    collect(points, rows, width_ms, start_ms);
    return points.map((point) => {
        const minutes = Math.max(Math.min(width_ms, now_ms - point.at_ms) / minute_ms, 1);
        return {
            at_ms: point.at_ms,
            delivered: point.delivered / minutes,
            failed_attempts: point.failed_attempts / minutes,
            p50: point.weight > 0 ? point.p50_sum / point.weight : null,
            p95: point.p95,
        };
    });
}

export function totals(rows, since_ms) {
    const sums = { delivered: 0, failed_attempts: 0, failed: 0 };
    for (const row of rows) if (Date.parse(row.minute) >= since_ms) for (const name of Object.keys(sums)) sums[name] += row[name];
    return sums;
}

// The lag is known only as it is now, so it is noted while the console is open.
const sample_ms = 5000;
const samples_max = 120;
const samples = [];

export function noteLag(lag_s, now_ms) {
    samples.push({ at_ms: now_ms, lag_s });
    if (samples.length > samples_max) samples.shift();
}

export function forgetLag() {
    samples.length = 0;
}

// One point for each five seconds of the last ten minutes; null where nobody looked.
export function lagPoints(now_ms) {
    const end_ms = Math.ceil(now_ms / sample_ms) * sample_ms;
    const start_ms = end_ms - samples_max * sample_ms;
    const points = Array.from({ length: samples_max }, (_, i) => ({ at_ms: start_ms + i * sample_ms, lag_s: null }));
    for (const sample of samples) {
        const point = points[Math.floor((sample.at_ms - start_ms) / sample_ms)];
        if (point) point.lag_s = sample.lag_s;
    }
    return points;
}
