// What the tests set up and look up with psql, as superuser.
import { spawnSync } from 'node:child_process';

// Values are psql's variables, quoted by it: sql("SELECT :'name'", {name: ...}).
export function sql(text, values = {}) {
    const variables = Object.entries(values).flatMap(([name, value]) => ['-v', `${name}=${value}`]);
    const result = spawnSync('psql', ['-X', '-qAt', '-v', 'ON_ERROR_STOP=1', ...variables], {
        input: text,
        encoding: 'utf8',
    });
    if (result.status !== 0) throw new Error(`psql: ${result.stderr}\n${text}`);
    return result.stdout.trimEnd();
}

export function makeHook(role, event_type, target_url, more = '', values = {}) {
    return Number(
        sql(`SET ROLE ${role}; SELECT whisperer.create_hook(:'event_type', :'target_url'${more && `, ${more}`});`, {
            event_type,
            target_url,
            ...values,
        }),
    );
}

// One attempt, or so many, at once after another.
export const attempts = (number) =>
    `retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0}, "max_retries": ${number - 1}}'`;

export function registerTypes(role, ...names) {
    for (const name of names) sql(`SET ROLE ${role}; SELECT whisperer.register_event(:'name')`, { name });
}

export function deliver(role, event_type, data) {
    return sql(`SET ROLE ${role}; SELECT whisperer.deliver_event(:'event_type', :'data'::json);`, { event_type, data });
}

export function idle() {
    sql("CALL whisperer.wait_idle('60 s')");
}

export function deliveriesOf(hook, state) {
    return Number(sql(`SELECT count(*) FROM whisperer.delivery WHERE hook_id = ${hook} AND state = '${state}'`));
}

export function tokenOf(role) {
    return sql(`SELECT whisperer.create_api_token(quote_ident(:'role')::regrole, 'test')`, { role });
}

export async function script(url, path, steps) {
    await fetch(`${url}/control`, { method: 'POST', body: JSON.stringify({ path, steps }) });
}
