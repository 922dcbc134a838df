# How fast a backlog drains in batches of 100, over what a bare libcurl loop posts to the same nginx one by one, and
# over the same hook without batches.  The three take turns, so that a machine that changes its speed changes all.
events=$((100000 * scale / 100))

drain_as() { # batch
    sql -c "SELECT whisperer.update_hook(id, '{\"batch\": $1}') FROM whisperer.hook" >/dev/null
    drain_rate "$events" record_events batch "$events"
}

measure() {
    local round bare=() batches=() singles=() over_bare=() over_singles=()
    new_database batch
    add_hook batch "$nginx/batch"
    drain_rate 1000 record_events batch 1000 >/dev/null
    for round in $(seq "$rounds"); do
        bare+=("$(bare_rate "$nginx/bare" "$events")")
        batches+=("$(drain_as '{"size": 100, "wait": "200 ms"}')")
        singles+=("$(drain_as null)")
        over_bare+=("$(calculate "${batches[-1]} / ${bare[-1]}")")
        over_singles+=("$(calculate "${batches[-1]} / ${singles[-1]}")")
        progress "batches of 100, round $round: ${batches[-1]} deliveries/s, one by one ${singles[-1]}, bare libcurl ${bare[-1]}"
    done
    report_ratio 'drain, batches of 100 / bare libcurl' 1/s "$(median "${batches[@]}")" "$(median "${bare[@]}")" "$(median "${over_bare[@]}")" '>= 4'
    report_ratio 'drain, batches of 100 / one by one' 1/s "$(median "${batches[@]}")" "$(median "${singles[@]}")" "$(median "${over_singles[@]}")" '>= 5'
    drop_database batch
}
