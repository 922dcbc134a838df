#!/usr/bin/env bash
# libcurl 8.14.1 and a proxy that does not answer CONNECT: the connection to it has neither address nor port of ours.
#
# After a transfer has failed because the proxy closed the connection, or said nothing, CURLINFO_LOCAL_PORT and
# CURLINFO_PRIMARY_IP tell 7.88.1 which connection that was.  8.14.1 (Debian 13 and the backports of 12) has -1 and an empty
# string then, as if nothing had been connected; 8.23 has both again.  So a program cannot tell by them a proxy that is
# silent from one that cannot be reached.  Of a server without a proxy in front both versions know them.
#
#   findings/libcurl_port_before_tunnel.sh
#
# It needs python3, apt-get of Debian 12 and a mirror with bookworm-backports; the packages are unpacked into a folder that
# goes away, and the libraries that libcurl4 depends on must be there.  Traffic is on loopback.  Whisperer takes no part.
# Exit status 0: the output is the one below.
set -euo pipefail
case ${1:-} in -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Sources of its own, from the mirror that the system has.
mirror=$({ cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null || true; } | sed -nE 's/^URIs: *([^ ]+).*|^deb +(\[[^]]*\] +)?([^ ]+) .*/\1\3/p' | head -1)
mkdir -p "$work/lists/partial"
printf 'deb %s %s main\n' "$mirror" bookworm "$mirror" bookworm-backports >"$work/sources.list"
apt() {
    apt-get -qq -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work" "$@"
}
apt update
for version in 7.88.1-10+deb12u15 8.14.1-2+deb13u2~bpo13+1; do
    mkdir "$work/$version"
    (cd "$work/$version" && apt download "libcurl4=$version" && dpkg-deb -x ./*.deb .)
done

cat >"$work/transfers.py" <<'PY'
import ctypes, glob, socket, sys, threading

URL, PROXY, TIMEOUT_MS = 10002, 10004, 155
PRIMARY_IP, LOCAL_PORT = 0x100000 + 32, 0x200000 + 42


def listen(serve):
    server = socket.create_server(("127.0.0.1", 0))
    def accept():
        kept = []
        while True:
            kept.append(server.accept()[0])
            serve(kept[-1])
    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]


def close(connection):
    connection.recv(4096)
    connection.close()


closes, is_silent = listen(close), listen(lambda connection: None)
curl = ctypes.CDLL(glob.glob(f"{sys.argv[1]}/usr/lib/*/libcurl.so.4")[0])
curl.curl_version.restype = ctypes.c_char_p
curl.curl_easy_init.restype = ctypes.c_void_p
print(curl.curl_version().decode().split()[0])
for what, url, proxy in (
    ("a server that closes", f"http://127.0.0.1:{closes}/", None),
    ("a proxy that closes", "https://127.0.0.1:9/", closes),
    ("a proxy that is silent", "https://127.0.0.1:9/", is_silent),
):
    easy = ctypes.c_void_p(curl.curl_easy_init())
    curl.curl_easy_setopt(easy, URL, url.encode())
    curl.curl_easy_setopt(easy, TIMEOUT_MS, ctypes.c_long(1000))
    if proxy:
        curl.curl_easy_setopt(easy, PROXY, f"http://127.0.0.1:{proxy}".encode())
    code = curl.curl_easy_perform(easy)
    address, port = ctypes.c_char_p(), ctypes.c_long()
    curl.curl_easy_getinfo(easy, PRIMARY_IP, ctypes.byref(address))
    curl.curl_easy_getinfo(easy, LOCAL_PORT, ctypes.byref(port))
    print(f"{what}: code {code}, address '{address.value.decode()}', port {'some' if port.value > 0 else port.value}")
    curl.curl_easy_cleanup(easy)
PY
for version in 7.88.1-10+deb12u15 8.14.1-2+deb13u2~bpo13+1; do python3 "$work/transfers.py" "$work/$version"; done >"$work/seen"
cat "$work/seen"
cat >"$work/expected" <<'O'
libcurl/7.88.1
a server that closes: code 52, address '127.0.0.1', port some
a proxy that closes: code 56, address '127.0.0.1', port some
a proxy that is silent: code 28, address '127.0.0.1', port some
libcurl/8.14.1
a server that closes: code 52, address '127.0.0.1', port some
a proxy that closes: code 56, address '', port -1
a proxy that is silent: code 28, address '', port -1
O
if cmp -s "$work/expected" "$work/seen"; then
    echo 'as described: 8.14.1 tells neither address nor port of a connection whose CONNECT was not answered'
else
    echo 'not as described: it should have been'; cat "$work/expected"; exit 1
fi
