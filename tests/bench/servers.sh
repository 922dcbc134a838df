# Sourced by figures that need more than the bench's one server: a primary and its delivery nodes, each a server of its
# own beside it, reached over 127.0.0.1.  Each has a database of the name in $db.
declare -A hosts=([alone]=$PGHOST) ports=([alone]=$PGPORT)    # alone is the bench's server, which has no nodes
nodes=()    # those that are subscribed

on() { # server, then the command or function that is to run there
    local PGHOST=${hosts[$1]} PGPORT=${ports[$1]}; shift
    "$@"
}

# Every other round begins with the one that the others end with.
in_turn() { (($1 % 2)) && echo alone primary || echo primary alone; } # round

start_server_beside() { # name [, lines of postgresql.conf]
    mkdir -p "$work/$1"
    hosts[$1]=$work/$1/socket
    # In a shell of its own: what finds the bench's server stays as it is.
    ports[$1]=$(start_server_of . "$work/$1" "listen_addresses = '127.0.0.1'"$'\n'"${2:-}" >&2; echo "$PGPORT")
}

stop_server_beside() { # name
    as_user pg_ctl -D "$work/$1/data" -m fast -w stop >/dev/null
}

start_primary() {
    start_server_beside primary 'wal_level = logical'
    on primary new_database "$db"
    on primary sql -c 'SELECT whisperer.publish_events(hooks => true)' >/dev/null
}

# A node that is subscribed to the primary, and delivers nothing yet.
start_node() { # name
    start_server_beside "$1" "whisperer.node = '$1'"$'\n''wal_retrieve_retry_interval = 100ms'
    on "$1" create_database "$db"
    on "$1" sql -c 'SET client_min_messages = warning' -c "$(on primary value -c "SELECT whisperer.subscription_command('$1',
        'host=127.0.0.1 port=${ports[primary]} dbname=$db user=postgres', hooks => true)")"
    nodes+=("$1")
}

# From now on these nodes deliver, and no others.  Nothing is under way.
deliver_by() { # nodes
    local node
    for node; do on primary sql -c "SELECT whisperer.add_node('$node')" >/dev/null; done
    for node in $(on primary value -c 'SELECT name FROM whisperer.nodes'); do
        [[ " $* " == *" $node "* ]] || on primary sql -c "SELECT whisperer.remove_node('$node')" >/dev/null
    done
    settle primary
}

# Until all that was committed on the server is delivered, there or by its nodes.
settle() { # alone or primary
    local node end begun=$SECONDS
    on "$1" sql -c "CALL whisperer.wait_idle('900 s')"
    [ "$1" = primary ] || return 0
    end=$(on primary value -c 'SELECT pg_current_wal_lsn()')
    for node in "${nodes[@]}"; do
        until [ "$(on primary value -c "SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots WHERE slot_name = 'whisperer_$node'")" = t ]; do
            [ $((SECONDS - begun)) -lt 900 ] || { progress "node $node does not get on"; return 1; }
            sleep 0.1
        done
        on "$node" sql -c "CALL whisperer.wait_idle('900 s')"
    done
}
