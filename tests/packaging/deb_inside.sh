# Inside the bare system, where /debs has the packages and the network is loopback alone; see deb.
. /debs/checks.sh
cd /debs
extension=$(dpkg-deb -f ./postgresql-*-whisperer_*.deb Package)
major=${extension//[!0-9]/}
unit=/lib/systemd/system/whisperer-gateway.service
conf=/etc/default/whisperer-gateway

files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /debs -o -path /var/cache \
        -o -path /var/log -o -path /var/lib/dpkg -o -path /var/lib/apt \) -prune -o -print | sort
}
as_postgres() { runuser -u postgres -- "$@"; }
# Blocks of one language in one step of the tutorial that was installed.
tutorial() { # step, language
    zcat "/usr/share/doc/$extension/tutorial.md.gz" | awk -v step="$1." -v language="$2" '
        /^## / { here = $2 == step }
        /^```/ { inside = !inside; of = substr($0, 4); next }
        here && inside && of == language'
}
sql() { as_postgres psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }

files >/tmp/before
getent passwd >/tmp/users

# --- an older version, and this one over it ------------------------------------------------------
mkdir /tmp/older
for deb in *.deb; do
    dpkg-deb -R "$deb" /tmp/older/tree
    sed -i 's/^Version: .*/Version: 1.2~older-1/' /tmp/older/tree/DEBIAN/control
    dpkg-deb -b /tmp/older/tree "/tmp/older/$deb" >/dev/null
    rm -r /tmp/older/tree
done
check 'an older version is installed' dpkg -i /tmp/older/*.deb
pg_createcluster "$major" shop -- -A peer >/dev/null
export PGCLUSTER=$major/shop
port=$(pg_lsclusters -h | awk '$2 == "shop" { print $3 }')
sed -i "s/^\(WHISPERER_GATEWAY_DATABASE=.*\)/\1 port=$port/" "$conf"
check 'this one takes its place' dpkg -i ./*.deb
check 'the configuration that was changed is kept' grep "port=$port" "$conf"
rm -r /tmp/older

# --- the tutorial --------------------------------------------------------------------------------
tutorial 2 sh | sed -n "/^shared_preload/,/^whisperer\./p" >"/etc/postgresql/$major/shop/conf.d/whisperer.conf"
check 'a cluster starts with the library' pg_ctlcluster "$major" shop start
for step in 3 4 5; do tutorial $step sql; done >/tmp/steps
check 'steps 3 to 5' sql -f /tmp/steps
receiver=$(tutorial 6 sh | sed "s|docs/receiver.py|/usr/share/doc/$extension/receiver.py|" | head -1)
as_postgres env PGCLUSTER="$PGCLUSTER" bash -c "$receiver" >/tmp/received 2>&1 &
check 'the receiver listens' soon grep -q . /tmp/received
tutorial 6 sql >/tmp/steps
check 'step 6' sql -f /tmp/steps
check 'the receiver has verified the event' soon grep '^verified package-created .*"A-2"' /tmp/received
sed 's/^/# /' /tmp/received

check 'the recorder for servers without the extension is there' cmp "/usr/share/doc/$extension/examples/whisperer-recorder.sql" /debs/whisperer-recorder.sql

# --- the gateway ---------------------------------------------------------------------------------
sql -c 'CREATE ROLE "whisperer-gateway" LOGIN NOINHERIT' -c 'GRANT USAGE ON SCHEMA whisperer TO "whisperer-gateway"'
systemd-analyze verify --man=no "$unit" >/tmp/verify 2>&1
check 'systemd finds nothing wrong with the service' bash -c 'cat /tmp/verify; ! grep whisperer /tmp/verify'
check 'the service may do little' systemd-analyze security --offline=true --threshold=20 "$unit"
check 'nobody has enabled it' absent /etc/systemd/system/multi-user.target.wants/whisperer-gateway.service
(set -a; . <(sed 's/=\(.*\)/="\1"/' "$conf"); exec runuser -u "$(sed -n 's/^User=//p' "$unit")" -- $(sed -n 's/^ExecStart=//p' "$unit")) &
check 'its command serves the database, as its user' soon answers 8080 /readyz 200
echo $! >/tmp/service
whisperer-gateway --help | grep -o '^ *--[a-z-]*' | while read -r option; do
    zcat /usr/share/man/man1/whisperer-gateway.1.gz | tr -d '\\' | grep -q -- "$option" || echo "$option"
done >/tmp/missing
check 'its manual page has every option' bash -c 'cat /tmp/missing; ! grep -q . /tmp/missing'

# --- away with it --------------------------------------------------------------------------------
kill %1
rm "/etc/postgresql/$major/shop/conf.d/whisperer.conf"
pg_dropcluster --stop "$major" shop
# In the place of systemd, which cannot run here: the service is what was started above.
mkdir -p /run/systemd/system
systemctl=$(command -v systemctl)
mv "$systemctl" /tmp/systemctl
printf '#!/bin/sh\ncase "$*" in *"stop whisperer-gateway.service"*) kill $(cat /tmp/service) ;; esac\n' >"$systemctl"
chmod 755 "$systemctl"
mv /usr/sbin/policy-rc.d /tmp/
check 'they are removed' apt-get remove -y -qq "$extension" whisperer-gateway
has_ended() { ! kill -0 "$(cat /tmp/service)"; }
check 'the service has been stopped' soon has_ended
mv /tmp/policy-rc.d /usr/sbin/
mv /tmp/systemctl "$systemctl"
rm -r /run/systemd/system
check 'programs are gone' absent /usr/bin/whisperer-gateway "/usr/lib/postgresql/$major/lib/whisperer.so" "$unit"
check 'the configuration stays' test -e "$conf"
check 'they are purged' dpkg --purge "$extension" whisperer-gateway
files >/tmp/after
check 'no file is left' diff /tmp/before /tmp/after
check 'no user is left' bash -c 'getent passwd | diff /tmp/users - && ! getent group whisperer-gateway'
check 'no package is left' bash -c '! dpkg -l | grep whisperer'
exit $bad
