# Node.js: pg, and on it knex, Sequelize and Drizzle.
# packages: nodejs
# npm: pg knex sequelize drizzle-orm
. /src/tests/compatibility/inside.sh
start_server
start_receiver
sql "SELECT whisperer.watch('item')" >/dev/null
sql "SELECT whisperer.create_hook('item-created', '$url/ok/node')" >/dev/null
cp "$here/node_app.mjs" /opt/modules/
node /opt/modules/node_app.mjs || bad=1
idle
is 'all are delivered' "$(arrived /ok/node)" "$(count_recorded item-created)"
module() { node -p "require('/opt/modules/node_modules/$1/package.json').version"; }
row "Node.js: pg" "$(module pg)" 'a pool, a prepared statement and ROLLBACK do as in SQL; an object may be a parameter of `deliver_event`'
row "Node.js: knex" "$(module knex)" 'captured, a transaction that fails is not'
row "Node.js: Sequelize" "$(module sequelize)" '`create`, `bulkCreate` and `update` are captured, a managed transaction that fails is not'
row "Node.js: Drizzle" "$(module drizzle-orm)" 'captured, a transaction that is rolled back is not'
