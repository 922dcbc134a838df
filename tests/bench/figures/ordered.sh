# How fast the backlog of an ordered hook drains in batches of 100, over the same hook without batches.  Each waits for
# the answer to what it sent before it goes on, so one by one there are fewer events to wait for.
events=$((100000 * scale / 100))
singles_events=$((4000 * scale / 100))

drain_as() { # batch, events
    sql -c "SELECT whisperer.update_hook(id, '{\"batch\": $1}') FROM whisperer.hook" >/dev/null
    drain_rate "$2" record_events ordered "$2"
}

measure() {
    local round batches=() singles=() over_singles=()
    new_database ordered
    add_hook ordered "$nginx/ordered" "ordering => 'hook'"
    drain_rate 1000 record_events ordered 1000 >/dev/null
    for round in $(seq "$rounds"); do
        batches+=("$(drain_as '{"size": 100, "wait": "200 ms"}' "$events")")
        singles+=("$(drain_as null "$singles_events")")
        over_singles+=("$(calculate "${batches[-1]} / ${singles[-1]}")")
        progress "ordered, batches of 100, round $round: ${batches[-1]} deliveries/s, one by one ${singles[-1]}"
    done
    report_ratio 'drain, ordered, batches of 100 / one by one' 1/s "$(median "${batches[@]}")" "$(median "${singles[@]}")" "$(median "${over_singles[@]}")" '>= 40'
    drop_database ordered
}
