# Sourced by figures/others.sh: what every contender needs.  Each has a file of its name beside this one, with functions
# that begin with its name:
#
#   NAME_obtain              sets $named, with its version; prints why not and fails where it cannot be had
#   NAME_settings VARIANT    lines of postgresql.conf; VARIANT is tuned or default
#   NAME_prepare VARIANT     makes its queue in the database, and what puts each new row of item into it
#   NAME_aim URL             what is recorded from now on goes there
#   NAME_start VARIANT       delivers until NAME_stop; a contender that cannot wait delivers what is committed all the time
#   NAME_stop
#   NAME_keys                a query: the webhook-id of each event, and the item that it is of
#   NAME_held                a query: how many events it has yet to deliver
#
# They run with the environment of the server that they are about (servers.sh).  The table item and the transactions are the
# same for all, and so is durability: synchronous_commit is on.
. tests/bench/servers.sh

others=$work/others    # what was obtained
npm=$others/npm        # packages of npm
node=node              # one that the packages of npm can do with

unavailable() { progress "$1: skipped: $2"; return 1; } # contender, why

# Packages of npm, with exact versions.  They ask for Node.js 22; where there is an older one, npm has it, too.
install_packages() { # contender, packages
    local contender=$1 own; shift
    command -v npm >/dev/null || { unavailable "$contender" 'there is no npm'; return 1; }
    own=$(node -p '"node-" + process.platform + "-" + process.arch')
    node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 18) ? 0 : 1)' || set -- "$own@22.23.5" "$@"
    mkdir -p "$npm"
    (cd "$npm" && timeout 300 npm install --save-exact --ignore-scripts --no-audit --no-fund undici@7.30.2 "$@") >"$work/npm.log" 2>&1 ||
        { tail -3 "$work/npm.log" >&2; unavailable "$contender" "npm cannot install $*"; return 1; }
    [ ! -e "$npm/node_modules/$own" ] || node=$npm/node_modules/$own/bin/node
    # Modules are looked for beside the file that asks for them.
    cp tests/bench/others/*.mjs "$npm/"
}

# Builds an extension out of a copy of a checkout, into a folder that start_contender puts into its server's tree.
build_extension() { # contender, name of the extension, checkout
    local contender=$1 extension=$2 checkout=$3 build=$others/$2.build
    [ -f "$checkout/Makefile" ] || { unavailable "$contender" "there is no Makefile in $checkout"; return 1; }
    mkdir -p "$build"
    cp -r "$checkout/." "$build"
    make -s -C "$build" with_llvm=no >"$others/$extension.log" 2>&1 &&
        make -s -C "$build" with_llvm=no install DESTDIR="$others/$extension.root" >>"$others/$extension.log" 2>&1 ||
        { tail -5 "$others/$extension.log" >&2; unavailable "$contender" "it cannot be built from $checkout"; return 1; }
}

extension_version() { sed -n "s/^default_version *= *'\([^']*\)'.*/\1/p" "$(find "$others/$1.root" -name "$1.control")"; } # extension

# A server of its own for one contender, so that none polls beside another one.
start_contender() { # contender, variant
    local folder=$work/beside root=$others/$1.root
    mkdir "$folder"
    [ ! -d "$root/usr" ] || root=$root/usr    # as tests/lib/tree has it
    if [ -d "$root" ]; then mkdir "$folder/pg" && cp -r "$root/." "$folder/pg/"; fi
    start_server_beside beside "shared_preload_libraries = ''"$'\n'"synchronous_commit = on"$'\n'"$("$1_settings" "$2")"
    db=postgres on beside sql -c 'CREATE DATABASE others'
    on beside create_items
    on beside "$1_prepare" "$2"
}

stop_contender() { stop_server_beside beside; rm -rf "$work/beside"; }

# The application's table.  What is recorded of a row is all of it.
create_items() {
    sql -c "CREATE TABLE item (id bigserial PRIMARY KEY, transfer_id int NOT NULL DEFAULT 49, order_number text NOT NULL DEFAULT '248398923123')"
}

# Puts rows of item into a queue, with a function that has the row as NEW and $1 in it.
enqueue_items() { # PL/pgSQL
    sql <<SQL
CREATE FUNCTION enqueue() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN $1; RETURN NULL; END\$\$;
CREATE TRIGGER enqueue AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION enqueue();
SQL
}

# A sender in Node.js, until stop_sender.  It has libpq's environment.
start_sender() { # script, variant
    local log=$others/sender.log
    : >"$log"
    (cd "$npm" && PGDATABASE=$db PGOPTIONS='-c synchronous_commit=on' exec "$node" "$1" "$2" "$(cat "$others/target")") >"$log" 2>"$log.errors" &
    sender=$!
    pids+=("$sender")
    for _ in $(seq 600); do
        ! grep -q ready "$log" || return 0
        kill -0 "$sender" 2>/dev/null || break
        sleep 0.05
    done
    tail -5 "$log.errors" >&2
    progress "$1 does not start"
    return 1
}

aim_sender() { echo "$1" >"$others/target"; } # URL

# An end that it does not come to itself is not waited for.
stop_sender() {
    kill "$sender"
    for _ in $(seq 200); do kill -0 "$sender" 2>/dev/null || return 0; sleep 0.05; done
    kill -KILL "$sender"
}
