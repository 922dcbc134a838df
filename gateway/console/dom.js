// Makes elements.  Values become text or attributes; nothing in here, or in any other file of the console,
// turns a value into markup, so whatever a subscriber wrote shows as it was written.

const svg_namespace = 'http://www.w3.org/2000/svg';

// Links lead to places of this page only, so that no value can become a link to somewhere else or a script.
function check(name, value) {
    if (name === 'style' || name === 'srcdoc') throw new Error(`attribute ${name} is not used here`);
    if (name === 'href' && !String(value).startsWith('#')) throw new Error('a link must lead to a place of this page');
}

function fill(node, properties, children) {
    for (const [name, value] of Object.entries(properties)) {
        if (value === undefined || value === null || value === false) continue;
        check(name, value);
        if (typeof value === 'function') node.addEventListener(name, value);
        else node.setAttribute(name, value === true ? '' : String(value));
    }
    node.append(...shown(children));
    return node;
}

function shown(children) {
    return children
        .flat(Infinity)
        .filter((child) => child !== undefined && child !== null && child !== false)
        .map((child) => (child instanceof Node ? child : String(child)));
}

// h('a', {class: 'x', href: '#/hooks', click: handler}, 'text', node, [more]): attributes, and functions as listeners.
export function h(tag, properties = {}, ...children) {
    return fill(document.createElement(tag), properties, children);
}

export function svg(tag, properties = {}, ...children) {
    return fill(document.createElementNS(svg_namespace, tag), properties, children);
}

export function replace(node, ...children) {
    node.replaceChildren(...shown(children));
    return node;
}

let last_id = 0;
export function newId(prefix) {
    return `${prefix}-${++last_id}`;
}
