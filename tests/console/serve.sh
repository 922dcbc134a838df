# Sourced by the console's tests and demo, after lib/folder.sh and lib/server.sh: the gateway on the server of
# start_server, and roles with tokens.

# The login role of the gateway: it may become the roles of tokens, and has none of their rights by itself.
prepare_gateway() {
    sql <<SQL
CREATE EXTENSION IF NOT EXISTS whisperer;
CREATE ROLE gateway LOGIN NOINHERIT;
GRANT USAGE ON SCHEMA whisperer TO gateway;
SQL
}

make_role() { # name
    sql -c "CREATE ROLE $1; GRANT USAGE ON SCHEMA whisperer TO $1; GRANT $1 TO gateway"
}

make_token() { # role, what it is for
    sql -At -c "SELECT whisperer.create_api_token('$1', '$2', now() + interval '1 day')"
}

# Sets $url, without a slash at the end; its log is $work/gateway.log.
start_gateway() { # address:port, more options
    local gateway=${WHISPERER_GATEWAY:-build/gateway/whisperer-gateway}
    [ -x "$gateway" ] || { echo "$gateway is missing: make gateway" >&2; exit 1; }
    : >"$work/gateway.out"    # the process that writes it may begin after it is looked for
    "$gateway" --database "host=$PGHOST port=$PGPORT dbname=demo user=gateway" --listen "$@" \
        >"$work/gateway.out" 2>"$work/gateway.log" &
    pids+=($!)
    for _ in $(seq 500); do
        url=$(sed -n 's/^whisperer-gateway: listening on //p' "$work/gateway.out")
        [ -z "$url" ] || return 0
        kill -0 "${pids[-1]}" 2>/dev/null || break
        sleep 0.02
    done
    cat "$work/gateway.log" >&2
    echo 'the gateway did not start' >&2; exit 1
}
