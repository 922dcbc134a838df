// node table.mjs RESULTS JSON SERVER_VERSION: prints the results as a table and writes them as JSON, with what the
// machine was.
import { readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';

const [, , file, json, postgresql] = process.argv;
const figures = readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => {
    const [figure, unit, ours, baseline, ratio, bound, met] = line.split('\t');
    return { figure, unit, ours: Number(ours), baseline: baseline ? Number(baseline) : null, ratio: ratio ? Number(ratio) : null, bound: bound || null, met: met || null };
});
const rows = figures.map((f) => [f.figure, f.unit, String(f.ours), f.baseline === null ? '' : String(f.baseline),
    f.ratio === null ? '' : f.ratio.toFixed(2), f.bound ?? '', f.met ?? '']);
rows.unshift(['figure', 'unit', 'ours', 'baseline', 'ratio', 'bound', 'met']);
const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
for (const row of rows)
    console.log(row.map((cell, column) => (column === 0 || column > 4 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join('  ').trimEnd());
writeFileSync(json, JSON.stringify({
    at: new Date().toISOString(), postgresql, processors: os.cpus().length, model: os.cpus()[0]?.model, memory_gb: Math.round(os.totalmem() / 2 ** 30), figures,
}, null, 2) + '\n');
console.log(`\nAs JSON: ${json}`);
