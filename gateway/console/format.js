// Numbers, times and states as people read them.
import { h } from './dom.js';

const counts = new Intl.NumberFormat('en');
const rates = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

export const nothing = '–';
export const missing = (value) => value === null || value === undefined || value === '';

export function count(value) {
    return missing(value) ? nothing : counts.format(value);
}

export function rate(value) {
    if (value < 0.001) return missing(value) ? nothing : '0';
    return missing(value) ? nothing : value >= 100 ? counts.format(Math.round(value)) : rates.format(value);
}

// 99.96 % must not read 100 %.
export function percent(share) {
    if (missing(share)) return nothing;
    return `${Math.floor(share * 1000 + 1e-9) / 10} %`;
}

export function seconds(value) {
    if (missing(value)) return nothing;
    if (value === 0) return '0 s';
    if (value < 0.001) return '< 1 ms';
    if (value < 0.9995) return `${rates.format(Math.round(value * 1000))} ms`;
    if (value < 60) return `${rates.format(value)} s`;
    const [unit, size, part, part_size] =
        value < 3600 ? ['min', 60, 's', 1] : value < 86400 ? ['h', 3600, 'min', 60] : ['d', 86400, 'h', 3600];
    const rest = Math.floor((value % size) / part_size);
    return `${Math.floor(value / size)} ${unit}` + (rest ? ` ${rest} ${part}` : '');
}

const two = (number) => String(number).padStart(2, '0');

export function clock(at) {
    return `${two(at.getHours())}:${two(at.getMinutes())}`;
}

export function moment(at) {
    return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(at)}:${two(at.getSeconds())}`;
}

// The time here, with the exact one behind it.
export function when(iso) {
    const at = new Date(iso);
    if (missing(iso) || Number.isNaN(at.getTime())) return missing(iso) ? nothing : String(iso);
    return h('time', { datetime: at.toISOString(), title: String(iso) }, moment(at));
}

export function ago(iso) {
    const passed = (Date.now() - new Date(iso).getTime()) / 1000;
    return passed < 1 ? 'just now' : `${seconds(Math.floor(passed))} ago`;
}

// What an <input type="datetime-local"> holds and takes.
export function localInput(at) {
    return moment(at).slice(0, 16).replace(' ', 'T');
}

export function fromLocalInput(text) {
    return text ? new Date(text).toISOString() : null;
}

export function plural(number, one, many = `${one}s`) {
    return `${count(number)} ${number === 1 ? one : many}`;
}

export function shorten(text, length) {
    const points = [...String(text ?? '')];
    return points.length > length ? points.slice(0, length - 1).join('') + '…' : points.join('');
}

// A message of the server as a sentence; a name that it begins with stays as it is written.
export function sentence(text) {
    const begun = String(text).replace(/^[a-z]+(?=[\s,:;])/, (word) => word[0].toUpperCase() + word.slice(1));
    return /[.!?…:]$/.test(begun) ? begun : `${begun}.`;
}
