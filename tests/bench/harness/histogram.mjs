// Milliseconds of the last so many seconds, in bounded memory: counters in steps of a thousandth, a set of them for each
// sample, of which the oldest is dropped.
const step = Math.log(1.001);
const smallest = 0.001;
const counters = Math.ceil(Math.log(1e7 / smallest) / step);

export class Histogram {
    constructor(samples) {
        this.sets = Array.from({ length: samples }, () => new Uint32Array(counters));
    }

    add(ms) {
        this.sets[0][Math.min(counters - 1, Math.max(0, Math.round(Math.log(ms / smallest) / step) || 0))]++;
    }

    // Of all that is kept; 0 if there is nothing.
    percentiles(shares) {
        const sum = new Float64Array(counters);
        for (const set of this.sets)
            set.forEach((count, at) => { sum[at] += count; });
        const total = sum.reduce((a, b) => a + b, 0);
        return shares.map((share) => {
            let left = share * total;
            const at = sum.findIndex((count) => { left -= count; return left <= 0 && count > 0; });
            return at < 0 ? 0 : smallest * Math.exp(at * step);
        });
    }

    // A sample ends.
    turn() {
        const oldest = this.sets.pop();
        oldest.fill(0);
        this.sets.unshift(oldest);
    }
}
