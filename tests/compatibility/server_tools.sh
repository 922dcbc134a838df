# Extensions that watch or schedule statements: pgaudit, auto_explain, pg_cron.
# packages: postgresql-MAJOR-pgaudit postgresql-MAJOR-cron
. /src/tests/compatibility/inside.sh
start_server 'pgaudit, auto_explain, pg_cron' "pgaudit.log = 'all'
pgaudit.log_parameter = on
auto_explain.log_min_duration = 0
auto_explain.log_nested_statements = on
auto_explain.log_analyze = on
auto_explain.log_triggers = on
cron.database_name = 'shop'
cron.use_background_workers = on"
start_receiver
sql 'CREATE EXTENSION pgaudit; CREATE EXTENSION pg_cron'
sql "SELECT whisperer.watch('item')" >/dev/null
sql "SELECT whisperer.create_hook('item-created', '$url/ok/item', secret_key => 'Eishe1quo')" >/dev/null
sql "INSERT INTO item VALUES (1, 'one')"
idle
is 'an event is delivered beside pgaudit and auto_explain' "$(arrived /ok/item)" 1
check 'pgaudit has the statement' grep 'AUDIT: SESSION.*INSERT INTO item' "$work/data.log"
check 'pgaudit has a secret that a statement names' grep 'AUDIT: SESSION.*Eishe1quo' "$work/data.log"
sql "SELECT whisperer.create_hook('item-created', '$url/ok/made')" >/dev/null
made=$(sql 'SELECT whisperer.hook_secret(2)')
check 'pgaudit has no secret that was made' bash -c "! grep 'AUDIT.*${made#whsec_}' $work/data.log"
check 'auto_explain shows the capture trigger' grep 'Trigger item_created.*time=\|Trigger .*whisperer.*time=' "$work/data.log"

sql "SELECT cron.schedule('insert', '1 second', 'INSERT INTO item SELECT max(id) + 1, ''cron'' FROM item')" >/dev/null
check "a job's event is delivered" soon bash -c "[ \$(grep -c '\"path\":\"/ok/item\"' $work/receiver.log) -ge 3 ]"
sql "SELECT cron.unschedule('insert')" >/dev/null
version() { sql "SELECT extversion FROM pg_extension WHERE extname = '$1'"; }
row pgaudit "$(version pgaudit)" 'its log has the `secret_key` that a statement names. Leave it out: then it is made in the database and stays there'
row auto_explain "$(sql 'SHOW server_version' | cut -d' ' -f1)" 'its plans show the time of the capture trigger'
row pg_cron "$(version pg_cron)" 'what a job writes is captured; tried with `cron.use_background_workers = on`'
