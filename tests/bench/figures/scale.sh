# How throughput goes with payload size, requests in flight and the number of hooks, over a bare libcurl loop that
# does the same.
events=$((40000 * scale / 100))

measure() {
    local size limit hooks
    for size in 100 1000 10000 100000; do
        measure_point "payload of $size bytes" $((size < 100000 ? events : events / 10)) 64 1 "$size"
    done
    for limit in 1 8 256; do
        set_parameter whisperer.max_in_flight_per_hook "$limit"
        measure_point "$limit in flight" $((limit > 1 ? events : events / 10)) "$limit" 1 100
    done
    set_parameter whisperer.max_in_flight_per_hook 64
    for hooks in 4 16; do
        measure_point "$hooks hooks" "$events" $((hooks * 64 < 256 ? hooks * 64 : 256)) "$hooks" 100
    done
}

measure_point() { # title, deliveries, in flight, hooks, payload bytes
    local round bare=() ours=() ratio=()
    new_database scale
    sql -c "SELECT count(whisperer.create_hook('scale', '$nginx/' || g)) FROM generate_series(1, $4) g" >/dev/null
    printf '{"id": 1, "v": "%s"}' "$(head -c "$5" /dev/zero | tr '\0' v)" >"$work/scale_body"
    for round in $(seq "$rounds"); do
        bare+=("$(bare_rate "$nginx/bare" "$2" "$3" "$work/scale_body")")
        ours+=("$(drain_rate "$2" record_events scale $(($2 / $4)) "json_build_object('id', g, 'v', repeat('v', $5))")")
        ratio+=("$(calculate "${ours[-1]} / ${bare[-1]}")")
    done
    report_ratio "scale: $1 / bare libcurl" 1/s "$(median "${ours[@]}")" "$(median "${bare[@]}")" "$(median "${ratio[@]}")" ''
    drop_database scale
}
