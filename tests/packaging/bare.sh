# Sourced by the tests of this folder, after lib/folder.sh: bare Debian systems, in folders that go away.
#
# A system is debootstrap's minimal one, made once for each suite in build/bare and copied.  What runs in it
# has processes, mounts and, if it wants, a network of its own, which end with it.  A suite may also be
# experimental: that is sid, with every PostgreSQL that experimental has.
[ "$(id -u)" = 0 ] || { echo "${0##*/}: only root can make a bare system; skipped" >&2; exit 0; }
suite=${SUITE:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
bare=${WHISPERER_BARE:-$PWD/build/bare}

# Where this machine gets its packages from.
mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Label: Debian" 2>/dev/null | head -1
}

make_bare() { # suite
    [ ! -e "$bare/$1/etc/bare" ] || return 0
    command -v debootstrap >/dev/null || apt-get install -y -qq debootstrap >/dev/null 2>&1 </dev/null
    local script=; [ -e "/usr/share/debootstrap/scripts/$1" ] || script=/usr/share/debootstrap/scripts/sid
    echo "${0##*/}: making a bare $1" >&2
    mkdir -p "$bare"
    rm -rf --one-file-system "${bare:?}/$1"
    debootstrap --variant=minbase --include=ca-certificates "$1" "$bare/$1" "$(mirror)" $script >"$work/debootstrap" 2>&1 ||
        { tail -5 "$work/debootstrap" >&2; exit 1; }
    touch "$bare/$1/etc/bare"
}

# Nothing is started by being installed: there is no init system.
new_root() { # folder, suite
    local base=${2/experimental/sid}
    make_bare "$base"
    mkdir "$1"
    cp -a "$bare/$base/." "$1/"
    chmod 755 "$1"
    printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
    chmod 755 "$1/usr/sbin/policy-rc.d"
    local file
    for file in /etc/apt/apt.conf.d/99* /etc/resolv.conf /etc/hosts; do [ ! -e "$file" ] || cp -L "$file" "$1$file"; done
    if [ "$2" = experimental ]; then
        echo "deb $(mirror) experimental main" >"$1/etc/apt/sources.list.d/experimental.list"
        # apt takes nothing from there by itself.  All that is built from a PostgreSQL goes together: libpq, too.
        printf 'Package: src:postgresql-[0-9]*\nPin: version *\nPin-Priority: 600\n' >"$1/etc/apt/preferences.d/postgresql"
    fi
    # What was built here may need the minor release that this machine has from the security archive.
    [ "$2" = "$(. /etc/os-release && echo "$VERSION_CODENAME")" ] || return 0
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
        rm -f "$1$file"
        [ ! -e "$file" ] || cp "$file" "$1$file"
    done
}

# in_root [--alone] FOLDER COMMAND ...      --alone: with a loopback of its own and no other network
in_root() {
    local net=; [ "$1" != --alone ] || { net=--net; shift; }
    run_job unshare --mount --propagation private --pid --fork --kill-child $net bash -c '
        root=$1; shift
        ip link set lo up 2>/dev/null || true
        mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"; mount -t sysfs sysfs "$root/sys" 2>/dev/null || true
        exec chroot "$root" /usr/bin/env -i TERM=dumb DEBIAN_FRONTEND=noninteractive HOME=/root LANG=C.UTF-8 \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"' _ "$@"
}
