# What counting for hook_stats and delivery_rate costs: a backlog drained with whisperer.track_hooks and without, in
# turn.
events=$((100000 * scale / 100))

measure() {
    local round with without ratios=() withs=() withouts=()
    new_database tracking
    add_hook tracking "$nginx/tracking"
    for round in $(seq 0 $((2 * rounds))); do
        set_parameter whisperer.track_hooks off
        without=$(drain_rate "$events" record_events tracking "$events")
        set_parameter whisperer.track_hooks on
        with=$(drain_rate "$events" record_events tracking "$events")
        progress "tracking, round $round: with $with, without $without deliveries/s"
        [ "$round" -gt 0 ] || continue
        withs+=("$with") withouts+=("$without") ratios+=("$(calculate "$with / $without")")
    done
    report_ratio 'drain, with counts of what each hook does / without' 1/s "$(median "${withs[@]}")" "$(median "${withouts[@]}")" "$(median "${ratios[@]}")" '>= 0.98'
    drop_database tracking
}
