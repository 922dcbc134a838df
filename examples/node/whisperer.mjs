// whisperer with pg: record events in the transaction that they tell of, and subscribe.  Copy this file.
//
// `client` is one of a pool that has begun a transaction; what it rolls back was never recorded.

// Begins, calls what is given with a client, and commits; or rolls back, and throws what was thrown.
export async function transaction(pool, work) {
    const client = await pool.connect();
    try {
        await client.query('BEGIN');
        const result = await work(client);
        await client.query('COMMIT');
        return result;
    } catch (error) {
        await client.query('ROLLBACK').catch(() => {});
        throw error;
    } finally {
        client.release();
    }
}

// Returns the event's id.  data becomes JSON as JSON.stringify has it, so a BigInt goes in as text.
export async function deliverEvent(client, type, data, { objectId = null, configFilter = null } = {}) {
    const { rows: [row] } = await client.query(
        'SELECT whisperer.deliver_event($1, $2::json, $3::jsonb, object_id => $4) AS id',
        [type, JSON.stringify(data), configFilter && JSON.stringify(configFilter), objectId === null ? null : String(objectId)]);
    return row.id;
}

// Returns the hook's id and the secret that its receiver verifies with.
export async function subscribe(client, type, url) {
    const { rows: [{ id }] } = await client.query('SELECT whisperer.create_hook($1, $2) AS id', [type, url]);
    const { rows: [{ secret }] } = await client.query('SELECT whisperer.hook_secret($1) AS secret', [id]);
    return { id, secret };
}

// What became of an event, one row for each hook of yours that has a result.
export async function deliveries(client, eventId) {
    const { rows } = await client.query(
        'SELECT hook_id, state, retry_count, response_http_status, error FROM whisperer.delivery WHERE event_id = $1', [eventId]);
    return rows;
}
