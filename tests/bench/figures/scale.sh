# How throughput goes with payload size, requests in flight and the number of hooks, over a bare libcurl loop that
# does the same.  Payloads of one character, and of JSON that compresses as JSON does, in the outbox too.  A hook has
# two signatures unless the line says one.
events=$((40000 * scale / 100))
letters() { echo "json_build_object('id', g, 'v', repeat('v', $1))"; }    # bytes
one_signature="signatures => '{standard}'"

measure() {
    local size limit hooks
    for size in 100 1000 10000 100000; do
        measure_point "payload of $size bytes" "$(deliveries_of "$size")" 64 1 "$(letters "$size")"
    done
    for size in 10000 100000; do
        measure_point "payload of $size bytes, one signature" "$(deliveries_of "$size")" 64 1 "$(letters "$size")" \
            "$one_signature" "$([ "$size" = 10000 ] && echo '>= 0.7' || echo '>= 0.5')"
    done
    for size in 10000 100000; do
        measure_point "payload of $size bytes of JSON, one signature" "$(deliveries_of "$size")" 64 1 "$(orders "$size")" "$one_signature"
    done
    for limit in 1 8 256; do
        set_parameter whisperer.max_in_flight_per_hook "$limit"
        measure_point "$limit in flight" $((limit > 1 ? events : events / 10)) "$limit" 1 "$(letters 100)" '' "$([ "$limit" != 8 ] || echo '>= 0.7')"
    done
    set_parameter whisperer.max_in_flight_per_hook 64
    for hooks in 4 16; do
        measure_point "$hooks hooks" "$events" $((hooks * 64 < 256 ? hooks * 64 : 256)) "$hooks" "$(letters 100)" '' \
            "$([ "$hooks" != 16 ] || echo '>= 0.85')"
    done
}

deliveries_of() { echo $((${1} < 100000 ? events : events / 10)); }    # bytes

measure_point() { # title, deliveries, in flight, hooks, payload, an expression over g [, more of create_hook [, bound]]
    local round bare=() ours=() ratio=()
    new_database scale
    sql -c "SELECT count(whisperer.create_hook('scale', '$nginx/' || g${6:+, $6})) FROM generate_series(1, $4) g" >/dev/null
    value -c "SELECT $5 FROM (SELECT 1 AS g) one" | tr -d '\n' >"$work/scale_body"
    for round in $(seq "$rounds"); do
        ours+=("$(sandwiched "$nginx/bare" "$2" "$3" "$work/scale_body" drain_rate "$2" record_events scale $(($2 / $4)) "$5")")
        bare+=("$(cat "$work/bare_around")")
        ratio+=("$(calculate "${ours[-1]} / ${bare[-1]}")")
    done
    report_ratio "scale: $1 / bare libcurl" 1/s "$(median "${ours[@]}")" "$(median "${bare[@]}")" "$(median "${ratio[@]}")" "${7:-}"
    drop_database scale
}
