// Rows of small fields, to which one adds and from which one takes away.
import { h, newId } from './dom.js';
import { button } from './ui.js';

// what: a row, in a word.  cells: [key, label, options of a select].  rows: values by key.  tell(rows): the rows as they
// are now, without those in which nothing stands; names have no space around them.
export function drawRows({ what, cells, rows, tell }) {
    const list = h('ul', { class: 'plain rows' });
    const shown = [];
    const value = (one, key) => (key === 'name' ? one[key].value.trim() : one[key].value);
    const said = () => tell(shown.filter((one) => cells.some(([key, , options]) => !options && one[key].value !== '')).map((one) => Object.fromEntries(cells.map(([key]) => [key, value(one, key)]))));

    function control(key, label, options, text) {
        const attributes = { id: newId(key), 'aria-label': label, input: said };
        const node = options
            ? h(
                  'select',
                  attributes,
                  options.map(([name, words]) => h('option', { value: name }, words)),
              )
            : h('input', { type: 'text', placeholder: label, autocomplete: 'off', spellcheck: 'false', ...attributes });
        if (text !== undefined) node.value = text;
        return node;
    }

    function add(values = {}) {
        const one = Object.fromEntries(cells.map(([key, label, options]) => [key, control(key, label, options, values[key])]));
        const away = () => {
            shown.splice(shown.indexOf(one), 1);
            row.remove();
            more.focus();
            said();
        };
        const row = h('li', { class: 'row' }, Object.values(one), button('Remove', away, { small: true, 'aria-label': `Remove ${what}` }));
        shown.push(one);
        list.append(row);
        return one;
    }

    const more = button(`Add a ${what}`, () => add()[cells[0][0]].focus(), { small: true });
    rows.forEach(add);
    return h('div', { class: 'rows-of' }, list, more);
}
