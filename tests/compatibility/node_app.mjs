// What applications with pg, knex, Sequelize and Drizzle do with a watched table.  Prints a line for each check.
import pg from 'pg';
import knexOf from 'knex';
import { DataTypes, Sequelize } from 'sequelize';
import { drizzle } from 'drizzle-orm/node-postgres';
import { integer, pgTable, text } from 'drizzle-orm/pg-core';

const config = { host: '127.0.0.1', port: Number(process.env.PGPORT), user: process.env.PGUSER, database: process.env.PGDATABASE };
const pool = new pg.Pool(config);
let bad = 0;

async function count(type = 'item-created') {
    return Number((await pool.query('SELECT count(*) FROM whisperer.outbox WHERE event_type = $1', [type])).rows[0].count);
}

async function records(what, wanted, action) {
    const before = await count();
    try {
        await action();
    } catch (error) {
        if (error.message !== 'never mind') throw error;
    }
    const got = (await count()) - before;
    console.log(got === wanted ? `ok - ${what}` : `not ok - ${what}\n#   got ${got}, want ${wanted}`);
    if (got !== wanted) bad = 1;
}

function neverMind() {
    throw new Error('never mind');
}

await records('pg: a query of a pool', 1, () => pool.query('INSERT INTO item VALUES ($1, $2)', [1, 'pg']));
await records('pg: a prepared statement', 1, () => pool.query({ name: 'insert', text: 'INSERT INTO item VALUES ($1, $2)', values: [2, 'pg'] }));
await records('pg: deliver_event', 1, () => pool.query('SELECT whisperer.deliver_event($1, $2)', ['item-created', { id: 3 }]));
await records('pg: ROLLBACK', 0, async () => {
    const client = await pool.connect();
    await client.query('BEGIN');
    await client.query("INSERT INTO item VALUES (4, 'never')");
    await client.query('ROLLBACK');
    client.release();
});

const knex = knexOf({ client: 'pg', connection: config });
await records('knex: insert', 2, () => knex('item').insert([{ id: 10, name: 'knex' }, { id: 11, name: 'knex' }]));
await records('knex: a transaction that fails', 0, () => knex.transaction(async (trx) => {
    await trx('item').insert({ id: 12, name: 'never' });
    neverMind();
}));
await knex.destroy();

const sequelize = new Sequelize({ dialect: 'postgres', logging: false, username: config.user, ...config });
const Item = sequelize.define('item', { id: { type: DataTypes.INTEGER, primaryKey: true }, name: DataTypes.TEXT }, { tableName: 'item', timestamps: false });
await records('Sequelize: create and bulkCreate', 2, async () => {
    await Item.create({ id: 20, name: 'sequelize' });
    await Item.bulkCreate([{ id: 21, name: 'sequelize' }]);
});
await records('Sequelize: a transaction that fails', 0, () => sequelize.transaction(async (transaction) => {
    await Item.create({ id: 22, name: 'never' }, { transaction });
    neverMind();
}));
await sequelize.close();

const item = pgTable('item', { id: integer('id').primaryKey(), name: text('name') });
const drizzled = drizzle(pool);
await records('Drizzle: insert', 1, () => drizzled.insert(item).values({ id: 30, name: 'drizzle' }));
await records('Drizzle: a transaction that is rolled back', 0, () => drizzled.transaction(async (tx) => {
    await tx.insert(item).values({ id: 31, name: 'never' });
    neverMind();
}));
await pool.end();
process.exit(bad);
