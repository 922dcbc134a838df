// Where one is: the part of the address behind "#", as a path and a query.  #/hooks/7?state=failed

// The address that the page was drawn for, or what was noted in it since.
let shown = null;

// The page that is to be shown now.
export function arrive() {
    shown = location.hash;
    return parseHash(shown);
}

function parseHash(hash) {
    const [path, query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
    return { path: path.split('/').filter(Boolean).map(decode), query: new URLSearchParams(query) };
}

// Of several databases the one whose page this is; null: the first one, or all of them.
export function database() {
    return parseHash(location.hash).query.get('database');
}

function decode(part) {
    try {
        return decodeURIComponent(part);
    } catch {
        return part;
    }
}

// Empty and missing values are left out.  From a page of one database to another page of single things one stays in it.
export function hashOf(path, values = {}) {
    const query = new URLSearchParams();
    const here = path.length > 1 && path[1] !== 'new' ? { database: database() } : {};
    for (const [name, value] of Object.entries({ ...here, ...values })) if (value !== undefined && value !== null && value !== '') query.set(name, value);
    const text = query.toString();
    return '#/' + path.map((part) => encodeURIComponent(part)).join('/') + (text ? `?${text}` : '');
}

export function go(path, values) {
    location.hash = hashOf(path, values);
}

// The same view with other values: an entry of the history of its own would make "back" a chore.  Whoever has just gone
// on, which is not told at once, is not called back.
export function note(path, values) {
    if (location.hash !== shown) return;
    history.replaceState(null, '', hashOf(path, values));
    shown = location.hash;
}
