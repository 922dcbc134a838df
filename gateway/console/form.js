// Form fields: a label, the control, a hint, and the error beside it; and forms that put the server's errors there.
import { h, newId, replace } from './dom.js';
import { sentence } from './format.js';
import { errorBox } from './ui.js';

function control(kind, attributes, options) {
    if (kind === 'area') return h('textarea', { rows: '3', spellcheck: 'false', autocomplete: 'off', ...attributes });
    if (kind === 'select')
        return h(
            'select',
            attributes,
            options.map(([value, label]) => h('option', { value }, label)),
        );
    return h('input', { type: kind, autocomplete: 'off', spellcheck: 'false', ...attributes });
}

// check(text): what is wrong with it, or null.  suggestions: values offered while typing.
export function makeField({
    name,
    label,
    kind = 'text',
    value = '',
    hint,
    required = false,
    check = () => null,
    options,
    suggestions,
    wide = false,
    ...more
}) {
    const id = newId(name);
    const input = control(kind, { id, name, required, 'aria-describedby': `${hint ? `${id}-hint ` : ''}${id}-error`, ...more }, options);
    input.value = value;
    const error = h('p', { id: `${id}-error`, class: 'field-error' });
    const list =
        suggestions &&
        h(
            'datalist',
            { id: `${id}-list` },
            suggestions.map((text) => h('option', { value: text })),
        );
    if (list) input.setAttribute('list', list.id);
    const mark = required ? h('span', { class: 'faint' }, ' (required)') : null;
    const node = h(
        'div',
        { class: `field${wide ? ' wide' : ''}` },
        h('label', { for: id }, label, mark),
        input,
        list,
        hint && h('p', { class: 'hint', id: `${id}-hint` }, hint),
        error,
    );
    const field = {
        name,
        label,
        node,
        input,
        valid: true,
        get value() {
            return input.value;
        },
        focus: () => input.focus(),
        setError(text) {
            error.textContent = text ?? '';
            field.valid = !text;
            if (text) input.setAttribute('aria-invalid', 'true');
            else input.removeAttribute('aria-invalid');
        },
        validate() {
            const text = input.value;
            field.setError(node.hidden ? null : required && text.trim() === '' ? 'This is needed.' : check(text));
            return field.valid;
        },
    };
    input.addEventListener('change', () => field.validate());
    input.addEventListener('input', () => field.valid || field.validate());
    return field;
}

export function checkbox({ name, label, hint, checked = false, change }) {
    const id = newId(name);
    const input = h('input', {
        type: 'checkbox',
        id,
        name,
        checked,
        'aria-describedby': hint ? `${id}-hint` : null,
        change,
    });
    const node = h(
        'div',
        { class: 'field check' },
        input,
        h('label', { for: id }, label),
        hint && h('p', { class: 'hint', id: `${id}-hint` }, hint),
    );
    return {
        name,
        node,
        input,
        valid: true,
        validate: () => true,
        setError: () => {},
        focus: () => input.focus(),
        get value() {
            return input.checked;
        },
    };
}

export function fieldset(legend, ...fields) {
    return h(
        'fieldset',
        {},
        h('legend', {}, legend),
        h(
            'div',
            { class: 'fields' },
            fields.map((field) => field.node ?? field),
        ),
    );
}

// Shows a failed request's errors: those with the name of a field beside it, the rest above the form.
export function showErrors(error, fields, box) {
    const known = fields.filter((field) => error.fields?.[field.name]);
    for (const field of known) field.setError(error.fields[field.name].map(sentence).join(' '));
    const others = Object.keys(error.fields ?? {}).filter((name) => !known.some((field) => field.name === name));
    if (known.length === 0 || others.length > 0) replace(box, errorBox(error));
    const first = known[0];
    if (first) first.focus();
    else box.scrollIntoView({ block: 'nearest' });
}

// True if all are valid; else the first that is not has the focus.
export function validateAll(fields) {
    const wrong = fields.filter((field) => !field.validate());
    wrong[0]?.focus();
    return wrong.length === 0;
}

// run(): sends.  Enter submits, once at a time.
export function onSubmit(form, submit, fields, box, run) {
    let running = false;
    form.addEventListener('submit', async (event) => {
        event.preventDefault();
        if (running) return;
        replace(box);
        if (!validateAll(fields)) return;
        running = true;
        submit.setAttribute('aria-busy', 'true');
        try {
            await run();
        } catch (error) {
            if (error.name !== 'AbortError') showErrors(error, fields, box);
        } finally {
            running = false;
            submit.removeAttribute('aria-busy');
        }
    });
}
