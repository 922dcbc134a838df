# Inside the bare system, with the checkout in /src and the README's lines in /try; see source.
suite=$1
. /try/checks.sh
cd /src

# As it is written, but for the number, and for questions of apt, which nobody would answer.
install_it() {
    sed "s/^version=[0-9]*/version=$major/; s/^apt-get install/& -y -qq --no-install-recommends/" /try/lines >/try/now
    bash -e /try/now
}
# Reached by its socket alone.
start_cluster() {
    printf "%s\n" "shared_preload_libraries = 'whisperer'" "listen_addresses = ''" >/try/conf
    pg_createcluster "$major" try >/dev/null && cp /try/conf "/etc/postgresql/$major/try/conf.d/try.conf" && pg_ctlcluster "$major" try start
}
sql() { runuser -u postgres -- env PGCLUSTER="$major/try" psql -X -At -v ON_ERROR_STOP=1 "$@"; }
works() { sql -c 'CREATE EXTENSION whisperer' && running() { sql -c 'SELECT state FROM whisperer.status' | grep -qx running; } && soon running; }

for major in $(ls /usr/lib/postgresql | sort -n); do
    check "$suite: PostgreSQL $major: the README's lines" install_it
    check "$suite: PostgreSQL $major: the server loads it" start_cluster
    check "$suite: PostgreSQL $major: the worker runs" works
    [ ! -e "/etc/postgresql/$major/try" ] || pg_dropcluster --stop "$major" try
done
exit $bad
