// A shop's morning: one package is packed and shipped, another one never was.
import pg from 'pg';
import { deliverEvent, transaction } from './whisperer.mjs';

// PGHOST, PGDATABASE, ... say where.  Debian's socket folder is not the one that pg assumes.
const pool = new pg.Pool({ host: process.env.PGHOST ?? '/var/run/postgresql' });

async function pack(client, number) {
    // The trigger of the table records package-created.
    const { rows: [row] } = await client.query('INSERT INTO package (number) VALUES ($1) RETURNING id', [number]);
    return row.id;
}

const id = await transaction(pool, (client) => pack(client, 'A-1'));
await transaction(pool, async (client) => {
    await client.query("UPDATE package SET state = 'shipped' WHERE id = $1", [id]);
    await deliverEvent(client, 'package-shipped', { id, carrier: 'Snail' }, { objectId: id });
});
await transaction(pool, async (client) => {
    await pack(client, 'never');
    throw new Error('out of boxes');
}).catch((error) => console.log(`rolled back: ${error.message}`));
await pool.end();
