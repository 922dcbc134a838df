# What a hook's encoding gzip costs one worker: a backlog of large bodies of JSON drained with it and without, in turn.
# One signature.
events=$((20000 * scale / 100))

measure() {
    local size count round without=() with=() ratio=()
    for size in 10000 100000; do
        count=$((size < 100000 ? events : events / 10)) without=() with=() ratio=()
        new_database gzip
        sql -c "SELECT whisperer.register_event('plain')" >/dev/null
        add_hook plain "$nginx/plain" "signatures => '{standard}'"
        add_hook gzip "$nginx/gzip" "signatures => '{standard}', encoding => 'gzip'"
        for round in $(seq "$rounds"); do
            without+=("$(drain_rate "$count" record_events plain "$count" "$(orders "$size")")")
            with+=("$(drain_rate "$count" record_events gzip "$count" "$(orders "$size")")")
            ratio+=("$(calculate "${with[-1]} / ${without[-1]}")")
        done
        report_ratio "gzip: payload of $size bytes of JSON, encoding gzip / none" 1/s "$(median "${with[@]}")" "$(median "${without[@]}")" "$(median "${ratio[@]}")" ''
        drop_database gzip
    done
}
