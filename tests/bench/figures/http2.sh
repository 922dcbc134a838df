# How fast a backlog drains to an https receiver that speaks HTTP/2, over what a bare libcurl loop posts to it in
# HTTP/2.
events=$((40000 * scale / 100))

# An nginx of its own, with a certificate that it signs itself.  Sets $https, its URL.
start_https() {
    local work=$work/https tls_port
    mkdir "$work"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench -addext subjectAltName=IP:127.0.0.1 \
        -keyout "$work/key" -out "$work/certificate" 2>/dev/null
    chmod 755 "$work"
    tls_port=$(free_port)
    start_nginx "server {
        listen 127.0.0.1:$tls_port ssl http2 backlog=4096; ssl_certificate $work/certificate; ssl_certificate_key $work/key;
        location / { return 204; } }"
    https=https://127.0.0.1:$tls_port
}

http_versions() {
    create_database http2
    until value -c 'SELECT http FROM whisperer.status WHERE http IS NOT NULL' | grep .; do sleep 0.1; done
    drop_database http2
}

bare_https_rate() { # requests
    write_body
    build/bench/curl_loop --ca "$work/https/certificate" "$https/bare" "$1" 64 "$work/body"
}

measure() {
    local round before ours=() bare=() ratios=() http
    http=$(http_versions)
    [[ $http == *HTTP/2\ \(* ]] || { progress "http2: skipped: the worker speaks $http"; return 0; }
    start_https
    set_parameter whisperer.ca_file "'$work/https/certificate'"
    new_database http2
    add_hook http2 "$https/http2"
    drain_rate 1000 record_events http2 1000 >/dev/null
    for round in $(seq "$rounds"); do
        before=$(bare_https_rate $((events / 2)))
        ours+=("$(drain_rate "$events" record_events http2 "$events")")
        bare+=("$(calculate "2 / (1 / $before + 1 / $(bare_https_rate $((events / 2))))")")
        ratios+=("$(calculate "${ours[-1]} / ${bare[-1]}")")
        progress "HTTP/2, round $round: ${ours[-1]} deliveries/s, bare libcurl ${bare[-1]}"
    done
    report_ratio 'drain, HTTP/2 with TLS / bare libcurl in HTTP/2' 1/s "$(median "${ours[@]}")" "$(median "${bare[@]}")" "$(median "${ratios[@]}")" '>= 0.85'
    drop_database http2
    set_parameter whisperer.ca_file "''"
}
