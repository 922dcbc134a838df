// Paths that look at credentials, and two endpoints that hand out tokens.
//
//   /auth/basic/<user>/<password>, /auth/bearer/<token>     200 for exactly these, else 401
//   /login/<name>/<user>/<password>                         POSTed as JSON: {"data": {"token": "<name>-1"}}
//   /form_login/<name>/<user>/<password>                    POSTed as a form: {"key": "<name>-1"}
//   /oauth2/<name>/<client>/<secret>/<seconds>[/<scope>]    client credentials, as RFC 6749 has them
//   /newest/<scheme>/<name>                                 200 for the token of that name that came last, else 401
//
// The tokens of a name are counted; POST /control {"revoke": name} ends the one that came last.

const newest = new Map(); // name -> number; negative: revoked

function makeToken(name) {
    const number = Math.abs(newest.get(name) ?? 0) + 1;
    newest.set(name, number);
    return `${name}-${number}`;
}

export function revoke(name) {
    newest.set(name, -Math.abs(newest.get(name) ?? 0));
}

const basic = (user, password) => 'Basic ' + Buffer.from(`${user}:${password}`).toString('base64');
const accepts = (good) => (good ? [200, 'ok'] : [401, 'who are you?']);
const form = (text) => new URLSearchParams({ text }).toString().slice('text='.length);

export const credentialKinds = {
    auth(headers, body, [scheme, ...rest]) {
        const wanted = scheme === 'basic' ? basic(...rest) : `Bearer ${rest[0]}`;
        return accepts(headers.authorization === wanted);
    },
    login(headers, body, [name, user, password]) {
        if (headers['content-type'] !== 'application/json') return [415, 'no'];
        const { username, password: given, ...others } = JSON.parse(body.toString());
        const good = username === user && given === password && Object.keys(others).length === 0;
        return good ? [200, JSON.stringify({ data: { token: makeToken(name) } })] : [403, 'no'];
    },
    form_login(headers, body, [name, user, password]) {
        if (headers['content-type'] !== 'application/x-www-form-urlencoded') return [415, 'no'];
        const given = new URLSearchParams(body.toString());
        const good = given.get('username') === user && given.get('password') === password && [...given].length === 2;
        return good ? [200, JSON.stringify({ key: makeToken(name) })] : [403, 'no'];
    },
    oauth2(headers, body, [name, client, secret, seconds, scope]) {
        const given = new URLSearchParams(body.toString());
        const good =
            headers['content-type'] === 'application/x-www-form-urlencoded' &&
            headers.authorization === basic(form(client), form(secret)) &&
            given.get('grant_type') === 'client_credentials' &&
            given.get('scope') === (scope ?? null);
        if (!good) return [401, JSON.stringify({ error: 'invalid_client' })];
        return [200, JSON.stringify({ access_token: makeToken(name), token_type: 'Bearer', expires_in: Number(seconds) })];
    },
    newest(headers, body, [scheme, name]) {
        return accepts(headers.authorization === `${scheme} ${name}-${newest.get(name)}`);
    },
};
