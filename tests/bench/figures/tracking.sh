# What counting for hook_stats and delivery_rate costs: a backlog drained with whisperer.track_hooks and without.  Many
# short pairs, of which every other begins with the one that the others end with, since what is looked for is smaller than
# what the machine's speed changes in a minute.
events=$((20000 * scale / 100))

# Sets $rate and $us, the worker's processor time for each.
drain_tracked() { # on or off
    local before
    set_parameter whisperer.track_hooks "$1"
    before=$(our_ms)
    rate=$(drain_rate "$events" record_events tracking "$events")
    us=$(calculate "($(our_ms) - $before) * 1000 / $events")
    [ "$1" = on ] && rate_on=$rate us_on=$us || rate_off=$rate us_off=$us
}

measure() {
    local pair rate us rate_on us_on rate_off us_off rates_on=() rates_off=() rate_ratios=() times_on=() times_off=() time_ratios=()
    new_database tracking
    add_hook tracking "$nginx/tracking"
    drain_tracked on
    for pair in $(seq $((6 * rounds))); do
        if ((pair % 2)); then drain_tracked off; drain_tracked on; else drain_tracked on; drain_tracked off; fi
        progress "tracking, pair $pair: with $rate_on/s, $us_on us each; without $rate_off/s, $us_off us"
        rates_on+=("$rate_on") rates_off+=("$rate_off") rate_ratios+=("$(calculate "$rate_on / $rate_off")")
        times_on+=("$us_on") times_off+=("$us_off") time_ratios+=("$(calculate "$us_on / $us_off")")
    done
    report_ratio 'drain, with counts of what each hook does / without' 1/s "$(median "${rates_on[@]}")" "$(median "${rates_off[@]}")" "$(median "${rate_ratios[@]}")" '>= 0.98'
    report_ratio 'its processor time, with counts / without' us "$(median "${times_on[@]}")" "$(median "${times_off[@]}")" "$(median "${time_ratios[@]}")" '<= 1.02'
    drop_database tracking
}
