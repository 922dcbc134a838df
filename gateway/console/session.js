// The token that one signed in with, and whom it stands for.  It lives in sessionStorage: this tab, until it is closed.
// Where a browser forbids that to a page within another's, it lives until the page is left.

const key = 'whisperer-token';
let kept = null;

// databases: the names, if there are several; the first is the one that is asked if none is named.
export const session = { role: null, version: null, databases: [] };

function storage(use) {
    try {
        return use(sessionStorage);
    } catch {
        return null;
    }
}

export function token() {
    return storage((store) => store.getItem(key)) ?? kept;
}

// The number in it, which is no secret; a list of tokens knows it by that.
export const tokenId = () => Number(token()?.split('_')[1] ?? 0);

function keep(value) {
    kept = value;
    storage((store) => store.setItem(key, value));
}

export function signIn(value, { role, version, databases }) {
    keep(value);
    session.databases = databases ?? [];
    session.role = role;
    session.version = version;
}

export function signOut() {
    kept = null;
    storage((store) => store.removeItem(key));
    session.role = null;
    session.version = null;
    session.databases = [];
}

// The database of a row, for a link to it; null: the first one, which needs no name.
export function elsewhere(row) {
    return row.database === session.databases[0] ? null : (row.database ?? null);
}

// A link into the console for one customer's hooks: its token is in the address, from where it goes at once.
export const isPortal = () => token()?.startsWith('whap_') ?? false;

export function takePortalLink() {
    const [, value] = /^#portal=(whap_[0-9]+_[\w-]+)$/.exec(location.hash) ?? [];
    if (value === undefined) return;
    signOut();
    keep(value);
    history.replaceState(null, '', '#/hooks');
}
