# Procedural languages: whether a hook's function can be written in one, and whether it is ended at callback_timeout.  What
# is not ended keeps a process and a processor until it ends by itself, here after 20 seconds.
# packages: postgresql-plpython3-MAJOR postgresql-plperl-MAJOR postgresql-pltcl-MAJOR postgresql-MAJOR-plsh postgresql-MAJOR-pllua
. /src/tests/compatibility/inside.sh
start_server '' "whisperer.callback_timeout = '1s'
statement_timeout = 0"
start_receiver
sql "CREATE SCHEMA f" >/dev/null

helper() { sql "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'whisperer%helper%' OR application_name LIKE 'whisperer%helper%' ORDER BY backend_start DESC LIMIT 1"; }
has_helper() { [ -n "$(helper)" ]; }
timed_out() { sql "SELECT function_error FROM whisperer.hook_stats WHERE hook_id = $1" | grep 'timed out'; }
hook() { # event type, path, transform
    sql "SELECT whisperer.register_event('$1')" >/dev/null
    sql "SELECT whisperer.create_hook('$1', '$url/ok/$2', transform => 'f.$3', retry_countdown_config => '{\"choice\": \"fixed\", \"kwargs\": {\"seconds\": 1}, \"max_retries\": 0}')"
}
gone_within() { # pid, seconds
    local _
    for _ in $(seq $(($2 * 10))); do [ -d "/proc/$1" ] || return 0; sleep 0.1; done
    return 1
}

try() { # language, ended or not, body that gives its argument back, body that takes 20 seconds
    local language=$1 pid slow
    [ "$language" = sql ] || sql "CREATE EXTENSION IF NOT EXISTS $language" || { bad=1; return; }
    sql "CREATE FUNCTION f.${language}_works(event json) RETURNS json LANGUAGE $language AS \$body\$$3\$body\$;
         CREATE FUNCTION f.${language}_loops(event json) RETURNS json LANGUAGE $language AS \$body\$$4\$body\$" || { bad=1; return; }
    hook "works-$language" "$language" "${language}_works" >/dev/null
    sql "SELECT whisperer.deliver_event('works-$language', '{\"id\": 1}')" >/dev/null
    idle
    is "a transform in $language makes a body" "$(arrived "/ok/$language")" 1
    slow=$(hook "loops-$language" "$language-loops" "${language}_loops")
    sql "SELECT whisperer.deliver_event('loops-$language', '{\"id\": 1}')" >/dev/null
    soon has_helper; pid=$(helper)
    check "one that takes longer has failed: $language" soon timed_out "$slow"
    if gone_within "$pid" 8; then is "$language at callback_timeout" ended "$2"; else is "$language at callback_timeout" 'not ended' "$2"; fi
    # Others go on meanwhile.
    sql "SELECT whisperer.deliver_event('works-$language', '{\"id\": 2}')" >/dev/null
    idle
    is "the next call is made: $language" "$(arrived "/ok/$language")" 2
    gone_within "$pid" 30
}
version() { sql "SELECT extversion FROM pg_extension WHERE extname = '$1'"; }
server=$(sql 'SHOW server_version' | cut -d' ' -f1)
try plpgsql ended 'BEGIN RETURN event; END' 'BEGIN FOR i IN 1..2000000000 LOOP EXIT WHEN clock_timestamp() > now() + interval $$20 s$$; END LOOP; RETURN event; END'
try sql ended 'SELECT event' 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000) SELECT event FROM (SELECT count(*) FROM n) s'
try pllua ended 'return event' 'local i = 0; while i < 4e9 do i = i + 1 end; return event'
try plpython3u 'not ended' 'return event' 'import time
end = time.time() + 20
while time.time() < end: pass
return event'
try plperl 'not ended' 'return $_[0];' 'my $i = 0; while ($i < 600000000) { $i++; } return $_[0];'
try pltcl 'not ended' 'return $1' 'set end [expr {[clock seconds] + 20}]; while {[clock seconds] < $end} {}; return $1'
try plsh 'not ended' '#!/bin/sh
echo "$1"' '#!/bin/sh
sleep 20
echo "$1"'

language() { [ $bad -ne 0 ] || echo "language | $1 | $2 | $3 |"; }
language SQL "$server" 'is ended'
language PL/pgSQL "$server" 'is ended'
language PL/Lua "$(version pllua)" 'is ended'
language PL/Python "$(version plpython3u), Python $(python3 -c 'import platform; print(platform.python_version())')" 'goes on until it has finished'
language PL/Perl "$(version plperl), Perl $(perl -e 'printf "%vd", $^V')" 'goes on until it has finished'
language PL/Tcl "$(version pltcl)" 'goes on until it has finished'
language PL/sh "$(version plsh)" 'a command that it waits for goes on until it has finished'
