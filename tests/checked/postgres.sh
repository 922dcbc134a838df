# Sourced by tests/checked/run, after folder.sh: PostgreSQL from Debian's source package, built so that it
# checks itself, and kept.
#
# Two kinds.  "checked" has assertions, overwrites memory that is freed, and fills memory that is handed out, so
# that what is used too late or too early is seen.  "valgrind" tells valgrind of its memory contexts instead.
. tests/lib/mirror.sh

# Where user postgres may read, if it is to run the servers.
kept=${WHISPERER_CHECKED:-$([ "$(id -u)" = 0 ] && echo /var/cache || echo "${XDG_CACHE_HOME:-$HOME/.cache}")/whisperer}
contribs='auto_explain pgcrypto pg_stat_statements'    # of the tests
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

definitions() { # kind
    case $1 in
    checked) echo '-DCLOBBER_FREED_MEMORY -DRANDOMIZE_ALLOCATED_MEMORY' ;;
    valgrind) echo '-DUSE_VALGRIND' ;;
    esac
}

# Assertions are C's; what is left out are libraries that nothing of ours needs.
options() { # kind
    echo --enable-debug --enable-tap-tests --with-ssl=openssl --with-libxml --without-readline --without-zlib
    [ "$1" != checked ] || echo --enable-cassert
    [ "$major" -lt 16 ] || echo --without-icu
}

# apt-get with lists, caches and sources of its own: the machine's stay as they are.
private_apt() { # folder, arguments of apt-get
    local folder=$1; shift
    apt-get -q -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}

# The first suite that has this major gives it: this machine's own, else a later one; its security updates before
# itself.  A mirror may lack a suite, or files that its lists name.
fetch_source() { # folder: gets the files of the source package
    local apt=$work/apt suite entry main security log=$work/fetch.log
    main=$(debian_mirror) security=$(security_mirror)
    [ -n "$main" ] || { echo 'checked: no Debian mirror is known here' >&2; return 1; }
    mkdir -p "$1"
    for suite in $({ . /etc/os-release; printf '%s\n' "${VERSION_CODENAME:-}" bookworm trixie forky sid; } | awk 'NF && !seen[$0]++'); do
        for entry in ${security:+"$security $suite-security"} "$main $suite"; do
            rm -rf "$apt"; mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
            echo "deb-src [signed-by=$keyring] $entry main" >"$apt/sources.list"
            echo "checked: looking for the source of PostgreSQL $major in ${entry#* }" >&2
            private_apt "$apt" update >>"$log" 2>&1 || continue
            (cd "$1" && private_apt "$apt" source --download-only "postgresql-$major") >>"$log" 2>&1 && return
        done
    done
    grep -a '^E:' "$log" | sort -u >&2
    echo "checked: the source of PostgreSQL $major cannot be had" >&2
    return 1
}

# With debug_discard_caches = 1 every cache entry is lost whenever it may be, and a turn of the worker takes ten minutes.
# So 2 to 5, which PostgreSQL has for even more, lose all of them at random: at one in 10, 100, 1000 or 10000 of those
# moments.
lose_some() {
    local file=src/backend/utils/cache/inval.c
    local moment='recursion_depth == 0 \&\& debug_discard_caches > 0'
    local random='pg_prng_uint32(\&pg_global_prng_state) % ((const uint32[]) {1, 1, 10, 100, 1000, 10000})[debug_discard_caches] == 0'
    sed -i "s/if (recursion_depth < debug_discard_caches)/if ($moment \&\& $random)/; /^#include \"miscadmin.h\"/i #include \"common/pg_prng.h\"" $file
    grep -q 'pg_prng_uint32.*debug_discard_caches' $file && grep -q '^#include "common/pg_prng.h"' $file
}

# In a folder that goes away; what is kept are the package and what was installed.  Without Debian's patches, which
# have its folders for PostgreSQL in them; and into a folder of its own first, so that nothing is written elsewhere.
compile() { # kind, folder to install into
    local build=$work/build-$1 staged=$work/staged-$1 contrib
    dpkg-source --skip-patches -x "$kept"/source-"$major"/*.dsc "$build" &&
        cd "$build" && lose_some &&
        ./configure --prefix="$2" CFLAGS='-O1 -g -fno-omit-frame-pointer' CXXFLAGS='-O1 -g -fno-omit-frame-pointer' \
            CPPFLAGS="$(definitions "$1")" $(options "$1") &&
        make -s -j2 &&
        make -s install DESTDIR="$staged" || return
    for contrib in $contribs; do make -s -C contrib/$contrib install DESTDIR="$staged" || return; done
    cp src/tools/valgrind.supp "$staged$2/" &&
        [ "$(find "$staged" -type f ! -path "$staged$2/*" | wc -l)" = 0 ] &&
        mv "$staged$2" "$2" &&
        cd / && rm -rf "$build"
}

# Sets $installed, where the PostgreSQL is; built if it is not there, or was built otherwise.
need_postgres() { # kind
    installed=$kept/$1-$major
    local how log=$work/compile.log; how="$(definitions "$1") $(options "$1" | xargs) $contribs lose_some"
    [ "$(cat "$installed/built-with" 2>/dev/null)" != "$how" ] || return 0
    mkdir -p "$kept"
    compgen -G "$kept/source-$major/*.dsc" >/dev/null || { rm -rf "$kept/source-$major" && fetch_source "$kept/source-$major"; } || return
    echo "checked: building PostgreSQL $major into $installed; takes some minutes" >&2
    rm -rf "$installed"
    run_job compile "$1" "$installed" >"$log" 2>&1 || { tail -40 "$log" >&2; return 1; }
    echo "$how" >"$installed/built-with"
}
