# pg_net: an extension with one worker.  It loses: its queue is an UNLOGGED table, which a crash empties, and a request that
# failed is not tried again.
pg_net_obtain() {
    local checkout=${WHISPERER_BENCH_PG_NET:-}
    [ -n "$checkout" ] || { unavailable pg_net 'set WHISPERER_BENCH_PG_NET to a checkout of github.com/supabase/pg_net'; return 1; }
    build_extension pg_net pg_net "$checkout" || return 1
    named="pg_net $(extension_version pg_net) (loses)"
}

# Its documentation names one setting for the rate: how many requests are read at once.
pg_net_settings() { # variant
    printf '%s\n' "shared_preload_libraries = 'pg_net'" "pg_net.database_name = 'others'"
    [ "$1" = default ] || echo 'pg_net.batch_size = 500'
}
pg_net_prepare() {
    sql -c 'CREATE EXTENSION pg_net' -c 'CREATE TABLE target AS SELECT NULL::text AS url'
    enqueue_items "PERFORM net.http_post((SELECT url FROM target), to_jsonb(NEW), headers => jsonb_build_object('Content-Type', 'application/json', 'webhook-id', NEW.id::text))"
}
pg_net_aim() { sql -c "UPDATE target SET url = '$1'"; } # URL
pg_net_start() { :; }
pg_net_stop() { :; }
pg_net_keys() { echo 'SELECT id::text AS key, id AS item FROM item'; }
pg_net_held() { echo 'SELECT count(*) FROM net.http_request_queue'; }
