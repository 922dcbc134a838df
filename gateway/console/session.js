// The token that one signed in with, and whom it stands for.  It lives in sessionStorage: this tab, until it is closed.

const key = 'whisperer-token';

export const session = { role: null, version: null };

export function token() {
    return sessionStorage.getItem(key);
}

export function signIn(value, { role, version }) {
    sessionStorage.setItem(key, value);
    session.role = role;
    session.version = version;
}

export function signOut() {
    sessionStorage.removeItem(key);
    session.role = null;
    session.version = null;
}
