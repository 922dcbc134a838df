# PostgreSQL 15 as Debian 12 has it, in several minor releases, on one throw-away data folder.  To be sourced.
#
#   unpack VERSION [PACKAGE=VERSION ...]    fetches the server, and what belongs beside it
#   create VERSION                          makes the data folder
#   start VERSION [OPTIONS]                 starts a server of the version on it
#   query SQL                               psql there: values, errors and hints
#   stop
#
# apt-get must have bookworm and bookworm-security among its sources; what postgresql-15 depends on must be there.
. "$(dirname "${BASH_SOURCE[0]}")/../../tests/lib/folder.sh"    # $work, as_user, and their end
data=$work/data socket=$work/socket

unpack() {
    mkdir -p "$work/$1/packages"
    (cd "$work/$1/packages" && apt-get -qq -o APT::Sandbox::User=root download "postgresql-15=$1-0+deb12u1" "${@:2}")
    for package in "$work/$1"/packages/*.deb; do dpkg-deb -x "$package" "$work/$1"; done
    chmod -R a+rX "$work/$1"
}

server() { as_user "$work/$version/usr/lib/postgresql/15/bin/$1" "${@:2}"; }

create() {
    version=$1
    mkdir "$data" "$socket"; [ "$(id -u)" != 0 ] || chown postgres "$data" "$socket"
    server initdb -D "$data" -U postgres -A trust -N --locale=C --encoding=UTF8 >/dev/null
}

start() { version=$1; server pg_ctl -D "$data" -l "$data/log" -w -o "-c listen_addresses='' -k $socket ${2:-}" start >/dev/null; }
stop() { server pg_ctl -D "$data" -m fast -w stop >/dev/null; }
query() { psql -X -q -At -h "$socket" -U postgres -d postgres -c "$1" 2>&1 || true; }
