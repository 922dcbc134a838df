# One event for many hooks, and many hooks of which few want it (by their event type, and by their filter), over
# one hook.
deliveries=$((100000 * scale / 100))

measure() {
    local round one=() many=() few=() filter=() ratio_many=() ratio_few=() ratio_filter=()
    new_database fan_one
    add_hook fan_one "$nginx/one"
    new_database fan_many
    sql -c "SELECT count(whisperer.create_hook('fan_many', '$nginx/many/' || g)) FROM generate_series(1, 100) g" >/dev/null
    new_database fan_few
    sql -c "SELECT count(whisperer.register_event('other-' || g)) FROM generate_series(1, 99) g" \
        -c "SELECT count(whisperer.create_hook(CASE WHEN g <= 10 THEN 'fan_few' ELSE 'other-' || g % 99 + 1 END, '$nginx/few/' || g)) FROM generate_series(1, 1000) g" >/dev/null
    new_database fan_filter
    sql -c "SELECT count(whisperer.create_hook('fan_filter', '$nginx/few/' || g, filter => CASE WHEN g <= 10 THEN '{\"transfer_id\": 49}'
        ELSE json_build_object('transfer_id', g + 100)::jsonb END)) FROM generate_series(1, 1000) g" >/dev/null
    for round in $(seq 0 "$rounds"); do
        db=fan_one; one+=("$(drain_rate "$deliveries" record_events fan_one "$deliveries")")
        db=fan_many; many+=("$(drain_rate "$deliveries" record_events fan_many $((deliveries / 100)))")
        db=fan_few; few+=("$(drain_rate "$deliveries" record_events fan_few $((deliveries / 10)))")
        db=fan_filter; filter+=("$(drain_rate "$deliveries" record_events fan_filter $((deliveries / 10)))")
        progress "fan-out, round $round: one hook ${one[-1]}, 100 hooks ${many[-1]}, 10 of 1000 hooks ${few[-1]}, by filter ${filter[-1]} deliveries/s"
        if [ "$round" = 0 ]; then one=() many=() few=() filter=(); continue; fi
        ratio_many+=("$(calculate "${many[-1]} / ${one[-1]}")"); ratio_few+=("$(calculate "${few[-1]} / ${one[-1]}")")
        ratio_filter+=("$(calculate "${filter[-1]} / ${one[-1]}")")
    done
    report_ratio 'fan-out: 1 event to 100 hooks / one hook' 1/s "$(median "${many[@]}")" "$(median "${one[@]}")" "$(median "${ratio_many[@]}")" '>= 0.95'
    report_ratio 'fan-out: 10 of 1000 hooks match / one hook' 1/s "$(median "${few[@]}")" "$(median "${one[@]}")" "$(median "${ratio_few[@]}")" '>= 0.95'
    report_ratio 'fan-out: 10 of 1000 hooks of one type match by their filter / one hook' 1/s "$(median "${filter[@]}")" "$(median "${one[@]}")" "$(median "${ratio_filter[@]}")" '>= 0.92'
    for db in fan_one fan_many fan_few fan_filter; do drop_database "$db"; done
}
