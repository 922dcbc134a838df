# How fast the backlog of a hook that is ordered by object drains, with 500 objects, over the same events unordered.
events=$((60000 * scale / 100))

drain_as() { # ordering
    sql -c "SELECT whisperer.update_hook(id, '{\"ordering\": \"$1\"}') FROM whisperer.hook" >/dev/null
    drain_rate "$events" record_keys
}

record_keys() {
    sql -c "SELECT count(whisperer.deliver_event('keys', $payload, object_id => (g % 500)::text)) FROM generate_series(1, $events) g" >/dev/null
}

measure() {
    local round keys=() none=() ratios=()
    new_database keys
    add_hook keys "$nginx/keys"
    drain_rate 1000 record_events keys 1000 >/dev/null
    for round in $(seq "$rounds"); do
        none+=("$(drain_as none)")
        keys+=("$(drain_as key)")
        ratios+=("$(calculate "${keys[-1]} / ${none[-1]}")")
        progress "ordered by 500 keys, round $round: ${keys[-1]} deliveries/s, unordered ${none[-1]}"
    done
    report_ratio 'drain, ordered by 500 keys / unordered' 1/s "$(median "${keys[@]}")" "$(median "${none[@]}")" "$(median "${ratios[@]}")" '>= 0.8'
    drop_database keys
}
