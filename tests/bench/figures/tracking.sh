# What counting for hook_stats and delivery_rate costs: a backlog drained with whisperer.track_hooks and without, in
# turn.  The processor time says it with less noise than the rate does.
events=$((100000 * scale / 100))

# Sets $rate and $us, the worker's processor time for each.
drain_tracked() { # on or off
    local before
    set_parameter whisperer.track_hooks "$1"
    before=$(our_ms)
    rate=$(drain_rate "$events" record_events tracking "$events")
    us=$(calculate "($(our_ms) - $before) * 1000 / $events")
}

measure() {
    local round rate us rate_ratios=() us_ratios=() rates_on=() rates_off=() us_on=() us_off=()
    new_database tracking
    add_hook tracking "$nginx/tracking"
    for round in $(seq 0 $((2 * rounds))); do
        drain_tracked off; local without=$rate without_us=$us
        drain_tracked on
        progress "tracking, round $round: with $rate/s, $us us each; without $without/s, $without_us us"
        [ "$round" -gt 0 ] || continue
        rates_on+=("$rate") rates_off+=("$without") rate_ratios+=("$(calculate "$rate / $without")")
        us_on+=("$us") us_off+=("$without_us") us_ratios+=("$(calculate "$us / $without_us")")
    done
    report_ratio 'drain, with counts of what each hook does / without' 1/s "$(median "${rates_on[@]}")" "$(median "${rates_off[@]}")" "$(median "${rate_ratios[@]}")" '>= 0.98'
    report_ratio 'its processor time, with counts / without' us "$(median "${us_on[@]}")" "$(median "${us_off[@]}")" "$(median "${us_ratios[@]}")" '<= 1.02'
    drop_database tracking
}
