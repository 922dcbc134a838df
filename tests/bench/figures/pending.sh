# How fast a backlog drains that the ledger has as pending, for its hook was paused, over one of fresh events, which
# nobody has read yet.  The two take turns.
events=$((100000 * scale / 100))

pending() { value -c "SELECT count(*) FROM whisperer.delivery WHERE state = 'pending' AND next_attempt_at IS NOT NULL"; }

# Prints deliveries per second.
resumed_rate() {
    sql -c 'SELECT whisperer.pause_hook(id) FROM whisperer.hook' >/dev/null
    record_events pending "$events"
    until [ "$(pending)" = "$events" ]; do sleep 0.2; done
    sql -c CHECKPOINT
    rate_from 'SELECT whisperer.resume_hook(id) FROM whisperer.hook' "$events"
}

measure() {
    local round fresh=() resumed=() ratios=()
    new_database pending
    add_hook pending "$nginx/pending"
    drain_rate 1000 record_events pending 1000 >/dev/null
    for round in $(seq "$rounds"); do
        fresh+=("$(drain_rate "$events" record_events pending "$events")")
        resumed+=("$(resumed_rate)")
        [ "$(pending)" = 0 ] || { progress 'some are still pending'; return 1; }
        ratios+=("$(calculate "${resumed[-1]} / ${fresh[-1]}")")
        progress "pending, round $round: of a resumed hook ${resumed[-1]} deliveries/s, fresh ${fresh[-1]}"
    done
    report_ratio 'drain, backlog of a resumed hook / fresh events' 1/s "$(median "${resumed[@]}")" "$(median "${fresh[@]}")" "$(median "${ratios[@]}")" '>= 0.8'
    drop_database pending
}
