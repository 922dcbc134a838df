# Sourced by what runs servers (tests/run, demo, bench): one throw-away folder $work, and its end.
#
# Whatever happens, a signal included, the servers and other processes that were started here are
# stopped and the folder is removed.  Nothing else is touched.
work=$(mktemp -d "${TMPDIR:-/tmp}/whisperer.XXXXXX")
chmod 755 "$work"
mkdir "$work/tmp" && chmod 1777 "$work/tmp"    # for sockets and the like of the test libraries
job=           # the process group of run_job
pids=()        # more processes to end

# A server whose test died is found by the pid in its data folder, which is also where it works; a
# stale file may name a stranger's pid.
stop_servers() {
    local file pid
    find "$work" -name postmaster.pid 2>/dev/null | while read -r file; do
        pid=$(head -1 "$file")
        [ "/proc/$pid/cwd" -ef "$(dirname "$file")" ] || continue
        kill -QUIT "$pid" 2>/dev/null
        for _ in $(seq 250); do [ -e "$file" ] || break; sleep 0.02; done
    done
}

clean_up() {
    local status=$?
    set +e
    trap '' INT TERM
    # A job may have a folder and servers of its own, and needs a moment to end them.
    if [ -n "$job" ]; then
        kill -TERM -- "-$job" 2>/dev/null
        for _ in $(seq 500); do kill -0 -- "-$job" 2>/dev/null || break; sleep 0.02; done
    fi
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null
    stop_servers
    [ -z "$job" ] || kill -KILL -- "-$job" 2>/dev/null
    wait 2>/dev/null
    ! mountpoint -q "$work/small" || umount -l "$work/small"
    rm -rf --one-file-system "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

as_user() {
    if [ "$(id -u)" = 0 ]; then
        # A folder that he may not enter is told of by every program of PostgreSQL's.
        local at=$PWD
        runuser -u postgres -- test -x "$PWD" || at=$work
        (cd "$at" && exec runuser -u postgres -- env PATH="$PATH" HOME="$work" TMPDIR="$work/tmp" "$@")
    else
        env TMPDIR="$work/tmp" "$@"
    fi
}

free_port() {
    perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport'
}

# Runs a command in a process group of its own, which a signal to us ends as a whole; bash would
# otherwise wait for the command first.
run_job() {
    set -m
    "$@" </dev/null &
    job=$!
    set +m
    wait "$job"
    local status=$?
    job=
    return $status
}
