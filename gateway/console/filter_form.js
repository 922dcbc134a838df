// A hook's filter as a form: conditions on members of an event's data, all of which must hold.  What else a filter may say
// stands in it as JSON.
import { h } from './dom.js';
import { membersOf, objectFault, oneLine, readList, readValue, shownList, shownText, shownValue } from './json_form.js';
import { jsonFault, members, objectText } from './json_text.js';
import { drawRows } from './rows.js';

const operators = [
    ['is', 'is'],
    ['$ne', 'is not'],
    ['$in', 'is one of'],
    ['$nin', 'is none of'],
    ['$gt', '>'],
    ['$gte', '≥'],
    ['$lt', '<'],
    ['$lte', '≤'],
    ['$exists', 'is there: true, false'],
    ['$prefix', 'begins with'],
    ['$suffix', 'ends with'],
    ['$contains', 'contains'],
    ['$regex', 'matches'],
    ['$eq', 'equals'],
    ['json', 'as JSON'],
];
const known = new Set(operators.map(([name]) => name).filter((name) => name.startsWith('$')));
const texts = new Set(['$prefix', '$suffix', '$regex']);
const lists = new Set(['$in', '$nin']);
const is_text = (json) => json.startsWith('"');

function shownAs(operator, json) {
    if (lists.has(operator)) return shownList(json);
    return texts.has(operator) ? shownText(json) : shownValue(json);
}

function readAs(operator, text) {
    if (operator === 'json') return jsonFault(text) === null ? text.trim() : null;
    if (lists.has(operator)) return readList(text) ?? '[]';
    return texts.has(operator) ? JSON.stringify(text) : readValue(text);
}

// The rows of a member, as {name, operator, value}.
function rowsOf([name, json]) {
    const plain = (operator, value) => ({ name, operator, value });
    if (name.startsWith('$') || json.startsWith('[')) return [plain('json', oneLine(json))];
    if (!json.startsWith('{')) return [plain('is', shownValue(json))];
    const parts = [...members(json)];
    const fits = ([operator, value]) => known.has(operator) && (!texts.has(operator) || is_text(value)) && (!lists.has(operator) || value.startsWith('['));
    if (parts.length === 0 || !parts.every(fits)) return [plain('json', oneLine(json))];
    return parts.map(([operator, value]) => plain(operator, shownAs(operator, value)));
}

// [entries of the filter, what is wrong with the rows]
function filterOf(rows) {
    const entries = new Map();
    let fault = null;
    for (const { name, operator, value } of rows) {
        const json = readAs(operator, value);
        const before = entries.get(name);
        const may_join = before instanceof Map && operator.startsWith('$') && !before.has(operator);
        if (name === '') fault ??= 'A condition has no member that it is about.';
        else if (json === null) fault ??= `What stands beside "${name}" is not JSON.`;
        else if (before !== undefined && !may_join) fault ??= `"${name}" has two conditions that cannot stand beside each other.`;
        else if (!operator.startsWith('$')) entries.set(name, json);
        else entries.set(name, (before ?? new Map()).set(operator, json));
    }
    const of_all = [...entries.keys()].filter((name) => name.startsWith('$'));
    if (of_all.length > 0 && of_all.length < entries.size) fault ??= `Beside "${of_all[0]}" no member can stand. Write all of it as JSON, in "$and".`;
    const written = [...entries].map(([name, json]) => [name, json instanceof Map ? objectText(json) : json]);
    return [written, fault];
}

export const filterShape = {
    fault: objectFault,

    draw(text, write) {
        const rows = drawRows({
            what: 'condition',
            cells: [
                ['name', 'Member'],
                ['operator', 'Operator', operators],
                ['value', 'Value'],
            ],
            rows: [...membersOf(text)].flatMap(rowsOf),
            tell: (now) => {
                const [entries, fault] = filterOf(now);
                write(entries.length > 0 ? objectText(entries) : '', fault);
            },
        });
        return h('div', { class: 'wide' }, rows);
    },
};
