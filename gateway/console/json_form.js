// A field of JSON that one may write in a form instead.  The JSON is what counts and what is sent: the form shows the parts
// of it that it knows, and writes those alone; the rest stays as it is written, to the last digit.
import { h, newId, replace } from './dom.js';
import { makeField } from './form.js';
import { elements, jsonFault, members, objectText, pretty } from './json_text.js';
import { button } from './ui.js';

// shape.fault(text): why the form cannot show it, or null.  shape.draw(text, write): nodes with controls, which call
// write(text, fault) with the JSON that they say; fault: why it is not complete, or null.  hint: beside the form.
export function withForm(field, shape, hint) {
    const { node, input, label } = field;
    const label_node = node.querySelector('label');
    label_node.id = newId('label');
    const holder = h('div', { class: 'json-form', role: 'group', 'aria-labelledby': label_node.id });
    const json_hint = node.querySelector('.hint');
    const form_hint = h('p', { class: 'hint' }, hint);
    const toggle = button(
        '',
        () => {
            if (show(!as_form)) field.validate();
        },
        { small: true },
    );
    const check = field.validate;
    let as_form = shape.fault(input.value) === null;
    let fault = null;

    function write(text, why = null) {
        fault = why;
        input.value = text === '' ? '' : pretty(text);
        input.dispatchEvent(new Event('input'));
    }

    function show(wanted) {
        const unfit = wanted ? shape.fault(input.value) : null;
        if (unfit) {
            field.setError(unfit);
            return false;
        }
        as_form = wanted;
        fault = null;
        const other = as_form ? 'As JSON' : 'As a form';
        toggle.textContent = other;
        toggle.setAttribute('aria-label', `${other}: ${label}`);
        input.hidden = as_form;
        if (json_hint) json_hint.hidden = as_form;
        form_hint.hidden = !as_form || !hint;
        holder.hidden = !as_form;
        replace(holder, as_form ? shape.draw(input.value, write) : null);
        return true;
    }

    field.validate = () => {
        if (!check()) return false;
        if (as_form && fault) field.setError(fault);
        return field.valid;
    };
    field.focus = () => (as_form ? (holder.querySelector('input, select, textarea, button') ?? toggle) : input).focus();
    // What was changed is looked at when one goes on to something else.
    holder.addEventListener('change', () => field.validate());
    const row = h('div', { class: 'label-row' }, label_node, toggle);
    node.prepend(row);
    input.before(holder);
    holder.after(form_hint);
    show(as_form);
    return field;
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

// Why a text is not the JSON of an object, null if it is, or nothing at all.
export function objectFault(text) {
    if (text.trim() === '') return null;
    if (jsonFault(text)) return 'This is not JSON; mend it before the form can show it.';
    return isObject(JSON.parse(text)) ? null : 'The form can only show an object: { ... }.';
}

export const membersOf = (text) => (text.trim() === '' ? new Map() : members(text));

// The text with these members in place of those that it had; null: without it.
export function changed(text, changes) {
    const entries = membersOf(text);
    for (const [name, value] of Object.entries(changes)) {
        if (value === null) entries.delete(name);
        else entries.set(name, value);
    }
    return objectText(entries);
}

// JSON that is laid out, in one line; a string holds no line's end.
export const oneLine = (json) =>
    json
        .replace(/([{[])\n\s*/g, '$1')
        .replace(/\n\s*([}\]])/g, '$1')
        .replace(/\n\s*/g, ' ');

// A value as people write it: text as it is, all else as JSON.  What would be read as something else has its quotes.
export function shownValue(json) {
    if (json === undefined) return '';
    const value = JSON.parse(json);
    return typeof value === 'string' && jsonFault(value) !== null && !/[\n\r]/.test(value) ? value : oneLine(json);
}

export function readValue(text) {
    return jsonFault(text) === null ? text.trim() : JSON.stringify(text);
}

// A string, whatever it looks like.
export const shownText = (json) => (json === undefined || typeof JSON.parse(json) !== 'string' ? (json ?? '') : JSON.parse(json));
export const readText = (text) => (text === '' ? null : JSON.stringify(text));

// Lists: elements with commas between.  An empty one has a word, for it is not the same as none.
export function shownList(json) {
    if (json === undefined) return '';
    const value = JSON.parse(json);
    if (!Array.isArray(value) || value.some((one) => typeof one === 'object' && one !== null)) return oneLine(json);
    if (value.length === 0) return 'none';
    const parts = elements(json).map(shownValue);
    return parts.some((part) => part === '' || part === 'none' || /,|^\s|\s$/.test(part)) ? oneLine(json) : parts.join(', ');
}

export function readList(text) {
    const list = text.trim();
    if (list === '') return null;
    if (list === 'none') return '[]';
    if (jsonFault(list) === null && Array.isArray(JSON.parse(list))) return list;
    const parts = list.split(',').map((part) => part.trim());
    return `[${parts.filter(Boolean).map(readValue).join(', ')}]`;
}

export const readNumber = (text) => (text.trim() === '' ? null : readValue(text.trim()));

// How a member is shown and read, by its kind.
export const shown = { text: shownText, secret: shownText, number: shownValue, list: shownList };
export const read = { text: readText, secret: readText, number: readNumber, list: readList };

// Fields for some members of an object, by [name, kind, label, what else makeField takes]; each calls
// change(name, JSON or null).  prefix: before the names of the controls.
export function memberFields(prefix, parts, entries, change) {
    return parts.map(([name, kind, label, more = {}]) => {
        const field = makeField({
            name: `${prefix}.${name}`,
            label,
            kind: kind === 'secret' ? 'password' : 'text',
            inputmode: kind === 'number' ? 'decimal' : undefined,
            value: shown[kind](entries.get(name)),
            ...more,
        });
        field.input.addEventListener('input', () => change(name, read[kind](field.value)));
        return field.node;
    });
}
