# How fast the backlog of an ordered hook drains, one by one and in batches of 100, over a bare libcurl loop that has one
# request in flight, too.
events=$((100000 * scale / 100))
singles_events=$((20000 * scale / 100))

drain_as() { # batch, events
    sql -c "SELECT whisperer.update_hook(id, '{\"batch\": $1}') FROM whisperer.hook" >/dev/null
    drain_rate "$2" record_events ordered "$2"
}

measure() {
    local round bare=() batches=() singles=() batches_over_bare=() singles_over_bare=()
    new_database ordered
    add_hook ordered "$nginx/ordered" "ordering => 'hook'"
    drain_rate 1000 record_events ordered 1000 >/dev/null
    for round in $(seq "$rounds"); do
        bare+=("$(bare_rate "$nginx/bare" "$singles_events" 1)")
        singles+=("$(drain_as null "$singles_events")")
        batches+=("$(drain_as '{"size": 100, "wait": "200 ms"}' "$events")")
        singles_over_bare+=("$(calculate "${singles[-1]} / ${bare[-1]}")")
        batches_over_bare+=("$(calculate "${batches[-1]} / ${bare[-1]}")")
        progress "ordered, round $round: one by one ${singles[-1]} deliveries/s, in batches of 100 ${batches[-1]}, bare libcurl ${bare[-1]}"
    done
    report_ratio 'drain, ordered, one by one / bare libcurl, 1 in flight' 1/s "$(median "${singles[@]}")" "$(median "${bare[@]}")" "$(median "${singles_over_bare[@]}")" '>= 0.5'
    report_ratio 'drain, ordered, batches of 100 / bare libcurl, 1 in flight' 1/s "$(median "${batches[@]}")" "$(median "${bare[@]}")" "$(median "${batches_over_bare[@]}")" '>= 3.8'
    drop_database ordered
}
