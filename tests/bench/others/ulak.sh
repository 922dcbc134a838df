# ulak: an extension with workers that poll a table.
ulak_obtain() {
    local checkout=${WHISPERER_BENCH_ULAK:-}
    if [ -z "$checkout" ] && command -v pgxn >/dev/null; then
        mkdir -p "$others/pgxn"
        (cd "$others/pgxn" && timeout 60 pgxn download ulak && unzip -q ulak-*.zip) >"$work/pgxn.log" 2>&1 &&
            checkout=$(find "$others/pgxn" -mindepth 1 -maxdepth 1 -type d -name 'ulak-*')
    fi
    [ -n "$checkout" ] || { unavailable ulak "$(pgxn_said); set WHISPERER_BENCH_ULAK to a checkout of github.com/zeybek/ulak"; return 1; }
    build_extension ulak ulak "$checkout" || return 1
    named="ulak $(extension_version ulak)"
}

pgxn_said() { command -v pgxn >/dev/null && echo 'PGXN does not give it' || echo 'there is no pgxn (Debian: pgxnclient)'; }

# The addresses of one's own machine are refused without the setting.  Its documentation says to size workers, interval and
# batch to the load: the shortest interval and the largest batch that it takes, and as many connections as the others have.
ulak_settings() { # variant
    printf '%s\n' "shared_preload_libraries = 'ulak'" "ulak.database = 'others'" 'ulak.http_allow_internal_urls = on'
    [ "$1" = default ] || printf '%s\n' 'ulak.poll_interval = 100' 'ulak.batch_size = 1000' 'ulak.http_batch_capacity = 1000' \
        'ulak.http_max_connections_per_host = 64' 'ulak.http_max_total_connections = 64'
}

# With a secret, since only what is signed has a webhook-id.  All rows of a statement at once: with send() a backlog of n
# events takes n looks at the whole backlog.
ulak_prepare() {
    ulak_sql -c 'CREATE EXTENSION ulak' \
        -c "SELECT ulak.create_endpoint('others', 'http', $(ulak_endpoint "$nginx/log"))" >/dev/null
    sql <<'SQL'
CREATE FUNCTION enqueue() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    PERFORM ulak.send_batch('others', (SELECT array_agg(to_jsonb(n) ORDER BY n.id) FROM new_items n));
    RETURN NULL;
END$$;
CREATE TRIGGER enqueue AFTER INSERT ON item REFERENCING NEW TABLE AS new_items FOR EACH STATEMENT EXECUTE FUNCTION enqueue();
SQL
}
ulak_sql() { sql "$@" 2> >(grep -v '^INFO:' >&2); }    # INFO comes whatever client_min_messages is
ulak_endpoint() { echo "'{\"url\": \"$1\", \"method\": \"POST\", \"signing_secret\": \"a secret of thirty-two characters\"}'"; } # URL
ulak_aim() { ulak_sql -c "SELECT ulak.alter_endpoint('others', $(ulak_endpoint "$1"))" >/dev/null; } # URL
ulak_start() { :; }
ulak_stop() { :; }
ulak_keys() {
    echo "SELECT 'msg_' || id AS key, (payload->>'id')::bigint AS item FROM ulak.queue
          UNION ALL SELECT 'msg_' || id, (payload->>'id')::bigint FROM ulak.archive"
}
ulak_held() { echo "SELECT count(*) FROM ulak.queue WHERE status IN ('pending', 'processing')"; }
