# Inside the bare system, with the checkout in /src; see targets.
. /try/checks.sh
cd /src
chown -R games .
major=$(ls /usr/lib/postgresql)
config=/usr/lib/postgresql/$major/bin/pg_config

# As a user who may install nothing.
make_it() { runuser -u games -- env HOME=/tmp make -s --no-print-directory "$@" >/tmp/made 2>&1; }
says() { # line, arguments of make
    local line=$1; shift
    ! make_it "$@" || { echo 'it went well'; return 1; }
    cat /tmp/made
    grep -qxE "$line" /tmp/made && ! grep -q 'No rule' /tmp/made
}
# The command in the last lines, as root.
follow() {
    local command; command=$(grep -o 'apt-get install.*' /tmp/made | tail -1)
    [ -n "$command" ] && $command -y -qq >/tmp/apt 2>&1 || { tail -5 /tmp/apt; return 1; }
}

check 'make help' make_it help
missing="what the extension is built with is missing: run 'make setup' as root, or see README.md"
for target in all install; do
    check "make $target without a compiler" says "$missing" PG_CONFIG="$config" "$target"
    check "make $target without pg_config" says "pg_config is missing: run 'make setup' as root, or see README.md" PG_CONFIG=/none "$target"
done
# Elsewhere than in Debian the file that pg_config names comes with the headers.
printf '#!/bin/sh\ncase $1 in --pgxs) echo /none/pgxs.mk ;; *) exec "%s" "$@" ;; esac\n' "$config" >/tmp/pg_config
chmod 755 /tmp/pg_config
for target in all install installcheck clean; do
    check "make $target without the server's makefile" says "the headers of the server are missing: apt-get install postgresql-server-dev-$major" PG_CONFIG=/tmp/pg_config "$target"
done
for target in setup test demo deb; do
    check "make $target" says ' *apt-get install --no-install-recommends .*' "$target"
done
check 'make gateway without cmake' says 'cmake is missing: apt-get install .*' gateway
apt-get install -y -qq --no-install-recommends cmake g++ >/tmp/apt 2>&1
check "make without the server's headers" says "$missing" PG_CONFIG="$config"
check 'make gateway without its libraries' says 'the gateway is built with: apt-get install .*' gateway
check 'what it says can be installed' follow
check 'and is enough to configure it' runuser -u games -- cmake -S gateway -B /tmp/gateway
runuser -u games -- cmake -S gateway -B /tmp/gateway -DCMAKE_CXX_FLAGS=-Wpadded >/tmp/said
check 'a warning that another compiler has does not end the build' runuser -u games -- make -s -C /tmp/gateway src/codec.cpp.o
check 'make dist without zip' says 'zip is missing: apt-get install zip' dist
check 'which can be installed' follow
check 'make dist without git' says 'make dist needs git, and a clone: .*' dist
make_it setup
check "what make setup says can be installed" follow
check 'then it has nothing more to say' make_it setup
# One file of each kind is enough to know that all headers are there.
check 'and the extension compiles' make_it PG_CONFIG="$config" src/module.o worker/{wire/http_versions,base/json_pattern,base/json_texts,base/sealed,rules/gzipped}.o
exit $bad
