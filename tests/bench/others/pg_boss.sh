# pg-boss: the same kind of queue.  Its jobs stay in their table, as completed ones.
pg_boss_obtain() { named='pg-boss 12.38.0'; install_packages pg-boss pg-boss@12.38.0; }
pg_boss_settings() { :; }

# A job is made by an INSERT, as its documentation has it for triggers.  What its own functions do beside that for a queue
# with notify is done here by hand: the channel is the one that its worker listens to.
pg_boss_prepare() { # variant
    local notify=
    (cd "$npm" && PGDATABASE=$db exec "$node" pg_boss.mjs "$1")
    [ "$1" = default ] || notify="; PERFORM pg_notify('pgboss_' || left(encode(sha224('pgboss'), 'hex'), 24), 'post')"
    enqueue_items "INSERT INTO pgboss.job (name, data) VALUES ('post', to_jsonb(NEW))$notify"
}
pg_boss_aim() { aim_sender "$1"; } # URL
pg_boss_start() { start_sender pg_boss.mjs "$1"; } # variant
pg_boss_stop() { stop_sender; }
pg_boss_keys() { echo 'SELECT id::text AS key, id AS item FROM item'; }
pg_boss_held() { echo "SELECT count(*) FROM pgboss.job WHERE name = 'post' AND state < 'completed'"; }
