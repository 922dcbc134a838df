# Sourced by what needs more of Debian than this machine's suite has.

# The mirrors that this machine's own packages come from: of Debian, and of its security updates, as far as
# they are known.
debian_mirrors() {
    cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null |
        sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\(http[^ ]*\).*/\2/p' | sort -u || true
}
debian_mirror() { debian_mirrors | grep -v security | head -1 || true; }
security_mirror() { debian_mirrors | grep security | head -1 || true; }
