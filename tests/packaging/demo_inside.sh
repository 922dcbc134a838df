# Inside the bare system, with the checkout in /root/whisperer; see demo.
suite=$1
. /try/checks.sh
cd /root/whisperer

check "$suite: make is installed, and nothing else" bash -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends make'
dpkg-query -W -f '${Package}\n' | sort >/try/before

# What processes are called, but for those of this script.
processes() { cat /proc/[0-9]*/comm 2>/dev/null | sort -u; }
links() { find /etc/rc?.d /etc/systemd/system \( -name 'S*' -o -name '*.service' \) 2>/dev/null | sort; }
none_of() { # pattern, of what is read
    ! grep -E -- "$1"
}
out=/try/out
demo() { make demo >"$out" 2>&1 </dev/null || { local status=$?; tail -40 "$out"; return $status; }; }

check "$suite: make demo ends well" demo
says() { grep -E -m 1 -- "$1" "$out"; }
check "$suite: it says how far the packages are" says '^setup: [1-9]0 % (fetched|installed)$'
check "$suite: and the build" says '^building the extension: [0-9]+ of [0-9]+$'
check "$suite: and pgbench" says '^progress: [0-9.]+ s, '
check "$suite: and the backlog" says '^demo: [0-9]+ of 50000 delivered$'
check "$suite: nothing of a folder that user postgres may not enter" none_of 'could not change directory' <"$out"
check "$suite: no server is left" none_of '^(nginx|postgres|node|psql)' < <(processes)
check "$suite: no web server starts by itself" none_of 'nginx|apache|lighttpd' < <(links)
check "$suite: no cluster is left" none_of . < <(pg_lsclusters -h)
check "$suite: its folder is gone" bash -c '! ls -d /tmp/whisperer.*'
check "$suite: what forbade services to start is gone" absent /usr/sbin/policy-rc.d
dpkg-query -W -f '${Package}\n' | sort | comm -13 /try/before - >/try/new
check "$suite: PostgreSQL came by it" grep -x 'postgresql-[0-9]*' /try/new
check "$suite: what only the tests and the gateway need did not" none_of '^(cmake|libgtest|libgmock|libnss-wrapper|libcli11|chromium)' </try/new
exit $bad
