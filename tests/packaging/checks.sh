# What runs inside a bare system begins with this: a line for each check, and a wait for a condition.
bad=0
check() { # what, command ...
    local what=$1; shift
    if "$@" >/tmp/said 2>&1; then echo "ok - $what"; else echo "not ok - $what"; sed 's/^/#   /' /tmp/said; bad=1; fi
}
absent() { local path; for path; do [ ! -e "$path" ] || { echo "$path is there"; return 1; }; done; }
soon() { # command ..., which gets a minute
    local _
    for _ in $(seq 600); do "$@" && return; sleep 0.1; done
    return 1
}
answers() { # port, path, status
    exec 9<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' "$2" >&9
    head -1 <&9 | grep "HTTP/1.1 $3"
} 2>/dev/null
