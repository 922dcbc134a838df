// JSON as text.  A payload's numbers and the order of its keys are what was sent and signed; JSON.parse would round
// 12345678901234567890, so what is shown, and what is edited and sent back, is cut out of the text instead.
import { h } from './dom.js';

const token_pattern = /\s*(?:("[^"\\]*(?:\\.[^"\\]*)*")|([{}[\],:])|([^\s{}[\],:"]+))/y;

// Calls each(kind, token, start, end); kind: string, mark or literal.  The text is known to be JSON.
function scan(text, each) {
    token_pattern.lastIndex = 0;
    for (let match; (match = token_pattern.exec(text));) {
        const token = match[1] ?? match[2] ?? match[3];
        const kind = match[1] ? 'string' : match[2] ? 'mark' : 'literal';
        each(kind, token, token_pattern.lastIndex - token.length, token_pattern.lastIndex);
    }
}

// [key or null, text] of what the outermost object or array holds.
function pieces(text) {
    const found = [];
    let depth = 0;
    let key = null;
    let start = -1;
    let end = -1;
    scan(text, (kind, token, from, to) => {
        const mark = kind === 'mark' ? token : '';
        if (mark === '}' || mark === ']') depth--;
        if ((depth === 1 && mark === ',') || (depth === 0 && (mark === '}' || mark === ']'))) {
            if (start >= 0) found.push([key, text.slice(start, end)]);
            key = null;
            start = -1;
        } else if (depth === 1 && mark === ':') {
            key = JSON.parse(text.slice(start, end));
            start = -1;
        } else if (depth > 0) {
            if (start < 0) start = from;
            end = to;
        }
        if (mark === '{' || mark === '[') depth++;
    });
    return found;
}

// The text of each member of an object, by its key; of each element of an array.
export function members(text) {
    return new Map(pieces(text));
}

export function elements(text) {
    return pieces(text).map(([, element]) => element);
}

// Deep nesting is a way to ask for a lot of memory.
function line(depth) {
    return '\n' + '  '.repeat(Math.min(depth, 30));
}

// Calls put(kind, text) with what to write; kind: key, string, literal or mark (which holds the white space too).
function layOut(text, put) {
    const tokens = [];
    scan(text, (kind, token) => tokens.push([kind, token]));
    let depth = 0;
    tokens.forEach(([kind, token], i) => {
        const next = tokens[i + 1]?.[1];
        if (kind !== 'mark') return put(kind === 'string' && next === ':' ? 'key' : kind, token);
        if (token === '{' || token === '[') {
            const empty = next === '}' || next === ']';
            depth++;
            return put('mark', empty ? token : token + line(depth));
        }
        if (token === '}' || token === ']') {
            const before = tokens[i - 1]?.[1];
            depth--;
            return put('mark', before === '{' || before === '[' ? token : line(depth) + token);
        }
        put('mark', token === ',' ? ',' + line(depth) : ': ');
    });
}

export function pretty(text) {
    const parts = [];
    layOut(text, (kind, part) => parts.push(part));
    return parts.join('');
}

// The same, coloured; only a text of moderate length, because each token is an element.
export function prettyNodes(text) {
    if (text.length > 50000) return [pretty(text)];
    const nodes = [];
    layOut(text, (kind, part) => nodes.push(kind === 'mark' ? part : h('span', { class: `json-${kind}` }, part)));
    return nodes;
}

// An object's JSON from the JSON of its members.
export function objectText(entries) {
    return '{' + [...entries].map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(',') + '}';
}

// The reason why a text is not JSON, null if it is.
export function jsonFault(text) {
    try {
        JSON.parse(text);
        return null;
    } catch (error) {
        return error.message;
    }
}
