# How fast a backlog drains, over what a bare libcurl loop posts to the same nginx; and over a queue of
# npm's.
events=$((100000 * scale / 100))

record_both() { record_events drain $((events / 2)); record_events drain_two $((events / 2)); }

measure() {
    local round bare=() one=() two=() ratio_one=() ratio_two=() ratio_queue=() queue=()
    new_database drain
    sql -c "SELECT whisperer.register_event('drain_two')" >/dev/null
    add_hook drain "$nginx/one"
    drain_rate 1000 record_events drain 1000 >/dev/null
    for round in $(seq "$rounds"); do
        one+=("$(sandwiched "$nginx/bare" "$events" 64 "$work/body" drain_rate "$events" record_events drain "$events")")
        bare+=("$(cat "$work/bare_around")")
        ratio_one+=("$(calculate "${one[-1]} / ${bare[-1]}")")
        progress "drain, one worker, round $round: ${one[-1]} deliveries/s, bare libcurl ${bare[-1]}"
    done
    report_ratio 'drain, one worker / bare libcurl' 1/s "$(median "${one[@]}")" "$(median "${bare[@]}")" "$(median "${ratio_one[@]}")" '>= 0.85'
    set_parameter whisperer.workers 2
    add_hook_of_the_other_worker
    bare=()
    for round in $(seq "$rounds"); do
        two+=("$(sandwiched "$nginx/bare" "$events" 64 "$work/body" drain_rate "$events" record_both)")
        bare+=("$(cat "$work/bare_around")")
        ratio_two+=("$(calculate "${two[-1]} / ${bare[-1]}")")
        progress "drain, two workers, round $round: ${two[-1]} deliveries/s, bare libcurl ${bare[-1]}"
    done
    set_parameter whisperer.workers 1
    report_ratio 'drain, two workers on two hooks / bare libcurl' 1/s "$(median "${two[@]}")" "$(median "${bare[@]}")" "$(median "${ratio_two[@]}")" '>= 0.85'
    drop_database drain
    measure_answers
    measure_queue "$(median "${one[@]}")"
}

# Which worker a hook belongs to is a hash's business: hooks are made until both workers have one.
add_hook_of_the_other_worker() {
    while :; do
        add_hook drain_two "$nginx/two"
        sql -c 'CALL whisperer.wait_idle()'
        record_both
        sql -c "CALL whisperer.wait_idle('300 s')"
        sleep 1.5    # the status is a second old at most
        [ "$(value -c 'SELECT min(delivered) FROM whisperer.status')" = 0 ] || return 0
        sql -c "SELECT whisperer.delete_hook(id) FROM whisperer.hook WHERE event_type = 'drain_two' AND is_active" >/dev/null
    done
}

# A receiver that answers with a body: read and thrown away but for its first bytes.
measure_answers() {
    local size round bare ours ratio
    for size in 1 8; do
        new_database answers
        add_hook answers "$nginx/answer$size"
        bare=() ours=() ratio=()
        for round in $(seq "$rounds"); do
            bare+=("$(bare_rate "$nginx/answer$size" $((events / 2)))")
            ours+=("$(drain_rate $((events / 2)) record_events answers $((events / 2)))")
            ratio+=("$(calculate "${ours[-1]} / ${bare[-1]}")")
        done
        report_ratio "drain, answers of $size kB / bare libcurl" 1/s "$(median "${ours[@]}")" "$(median "${bare[@]}")" "$(median "${ratio[@]}")" "$([ "$size" = 8 ] && echo '>= 0.75')"
        drop_database answers
    done
}

# graphile-worker with its local queue, and undici: a competent queue with SKIP LOCKED beside the database.
measure_queue() { # our rate
    local round rates=()
    install_queue || return 0
    for round in $(seq "$rounds"); do
        rates+=("$(node "$work/queue/queue.mjs" "$nginx/queue" $((events / 5)) "$work/body")")
        progress "graphile-worker, round $round: ${rates[-1]} deliveries/s"
    done
    report 'drain, one worker / graphile-worker with undici' 1/s "$1" "$(median "${rates[@]}")" '>= 3'
}
