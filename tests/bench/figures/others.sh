# The same work by others: graphile-worker, pg-boss, PgQue with a sender, ulak and pg_net, each as its own documentation tunes
# it, and as it is installed.  A row of the application is inserted; a trigger puts it into the contender's queue; it comes to
# nginx, or to the test receiver where milliseconds are too coarse.  Each has a server of its own beside the bench's, which is
# whisperer's.  whisperer and the other are measured in turn, the median of the rounds' ratios counts.
#
# ulak, pg_net and PgQue are in no registry that is installed from here: WHISPERER_BENCH_ULAK, WHISPERER_BENCH_PG_NET and
# WHISPERER_BENCH_PGQUE say where a checkout of each is.  What was not obtained is skipped.  Each is under load for an hour
# while a transaction is open, which makes eight hours of the whole; WHISPERER_BENCH_OTHERS='pgque ulak' is some of them, and
# WHISPERER_BENCH_HELD_S=120 less of that hour.
. tests/bench/others/contenders.sh
. tests/bench/others/measure.sh
. tests/bench/others/whisperer.sh
events=$((100000 * scale / 100))
seconds=$(calculate "$scale < 15 ? 3 : int(20 * $scale / 100)")
held=${WHISPERER_BENCH_HELD_S:-$(calculate "$scale < 5 ? 3 : int(36 * $scale)")} # how long a transaction is open
patience=$(calculate "$scale < 10 ? 6 : int(60 * $scale / 100)")    # with a drain, and with what is late
declare -A drained lost    # of each that is compared: medians of both drains, and what it lost in all

measure() {
    local contender named variant
    mkdir "$others"
    create_database others
    sql -c "SELECT whisperer.register_event('others')" >/dev/null
    create_items
    whisperer_prepare
    start_receiver single
    single=http://127.0.0.1:$port/ok
    for contender in ${WHISPERER_BENCH_OTHERS:-graphile_worker pg_boss pgque ulak pg_net}; do
        . "tests/bench/others/$contender.sh"
        "${contender}_obtain" || continue
        for variant in tuned default; do measure_beside "$contender" "$variant" "$named, $variant"; done
    done
    report_best
    drop_database others
}

measure_beside() { # contender, variant, title
    progress "others: $3 ..."
    start_contender "$1" "$2"
    lost[$3]=0
    find_size "$1" "$2"
    measure_drains "$@" drain
    measure_latency "$@" 'one by one, idle' "$single/" "$work/single.log" 1 20
    measure_latency "$@" 'at 1,000/s' "$nginx/log" "$work/nginx.log" 8 1000
    [ "$2" = default ] || measure_held "$@"
    stop_contender
}

# Every other round begins with the one that the others end with.
sides() { (($1 % 2)) && echo alone beside || echo beside alone; } # round

# One measurement of one of both; what it prints is in $work/numbers.
of_side() { # alone or beside, function, contender, variant, its arguments
    local side=$1 function=$2 contender=$3 variant=$4; shift 4
    [ "$side" = beside ] || contender=whisperer variant=default
    on "$side" "$function" "$contender" "$variant" "$@" >"$work/numbers"
}

# How much it does in about twenty seconds: $size is its backlog, since some would take days for ours.
find_size() { # contender, variant
    local rate left
    of_side beside drain_of "$1" "$2" $((events / 20 + 10)) "$patience"
    read -r rate _ left _ <"$work/numbers"
    size=$(awk "BEGIN {size = int($rate * $seconds); print (size < 10 ? 10 : size < $events ? size : $events)}")
    [ "$left" != - ] || renew_contender "$1" "$2"
}

# What it did not get done would be in the way of the next measurement.
renew_contender() { stop_contender; start_contender "$@"; } # contender, variant

measure_drains() { # contender, variant, title, what
    local round side rate bytes missing again ratio=() wal_ratio=()
    local -A rates=() wal=() gone=([alone]=0 [beside]=0) twice=([alone]=0 [beside]=0)
    for round in $(seq "$rounds"); do
        for side in $(sides "$round"); do
            of_side "$side" drain_of "$1" "$2" "$([ "$side" = alone ] && echo "$events" || echo "$size")" "$patience"
            read -r rate bytes missing again <"$work/numbers"
            rates[$side]+=" $rate" wal[$side]+=" $bytes" twice[$side]=$((twice[$side] + again))
            if [ "$missing" = - ]; then
                gone[$side]=
                [ "$side $4" != 'beside drain' ] || renew_contender "$1" "$2"
            elif [ -n "${gone[$side]}" ]; then gone[$side]=$((gone[$side] + missing)); fi
        done
        ratio+=("$(calculate "${rates[alone]##* } / (${rates[beside]##* } + 1e-9)")")
        wal_ratio+=("$(calculate "${wal[alone]##* } / ${wal[beside]##* }")")
        progress "$4, round $round: whisperer ${rates[alone]##* }/s, $3 ${rates[beside]##* }/s"
    done
    # shellcheck disable=SC2086 # they are lists of numbers
    {
        drained[$3 $4]=$(median ${rates[beside]}) drained[whisperer $3 $4]=$(median ${rates[alone]})
        report_ratio "others: $4, whisperer / $3" 1/s "${drained[whisperer $3 $4]}" "${drained[$3 $4]}" "$(median "${ratio[@]}")" ''
        report_ratio "others: $4, WAL for each event, whisperer / $3" B "$(median ${wal[alone]})" "$(median ${wal[beside]})" "$(median "${wal_ratio[@]}")" ''
    }
    report_count "others: $4, events lost of $((rounds * events)) and $((rounds * size)), whisperer, $3" "${gone[alone]}" "${gone[beside]}"
    [ $((twice[alone] + twice[beside])) = 0 ] || report_count "others: $4, events that came again, whisperer, $3" "${twice[alone]}" "${twice[beside]}"
    [ -n "${lost[$3]}" ] && [ -n "${gone[beside]}" ] && lost[$3]=$((lost[$3] + gone[beside])) || lost[$3]=
}

# Two numbers without a ratio.  Nothing: the time was up before it was known.
report_count() { # title, ours, the other's
    report_ratio "$1" '' "${2:-NaN}" "$3" '' ''
}

measure_latency() { # contender, variant, title, what, URL, its log, clients, events a second
    local round side p50 p99 rate came late='' p50_ratio=() p99_ratio=()
    local -A p50s=() p99s=() cames=() reached=()
    for round in $(seq "$rounds"); do
        for side in $(sides "$round"); do
            of_side "$side" latency_of "$1" "$2" "${@:5:4}" "$seconds"
            read -r p50 p99 rate came <"$work/numbers"
            p50s[$side]+=" $p50" p99s[$side]+=" $p99" cames[$side]+=" $came" reached[$side]+=" $rate"
            [ "$came" = 1.0000 ] && continue
            late=yes
            [ "$side" = alone ] || renew_contender "$1" "$2"
        done
        p50_ratio+=("$(calculate "${p50s[alone]##* } / ${p50s[beside]##* }")")
        p99_ratio+=("$(calculate "${p99s[alone]##* } / ${p99s[beside]##* }")")
        progress "$4, round $round: whisperer ${p50s[alone]##* } ms, $3 ${p50s[beside]##* } ms, p99 ${p99s[alone]##* } and ${p99s[beside]##* } ms"
    done
    # shellcheck disable=SC2086 # they are lists of numbers
    {
        report_ratio "others: $4, commit to receipt, median, whisperer / $3" ms "$(median ${p50s[alone]})" "$(median ${p50s[beside]})" "$(median "${p50_ratio[@]}")" ''
        report_ratio "others: $4, commit to receipt, 99th percentile, whisperer / $3" ms "$(median ${p99s[alone]})" "$(median ${p99s[beside]})" "$(median "${p99_ratio[@]}")" ''
        [ "$8" = 20 ] || report "others: $4, transactions a second, whisperer / $3" 1/s "$(median ${reached[alone]})" "$(median ${reached[beside]})" ''
        [ -z "$late" ] || report_count "others: $4, share that came within $patience s, whisperer, $3" "$(median ${cames[alone]})" "$(median ${cames[beside]})"
    }
}

# Both are under load at once, each beside a transaction that stays open during the drains that follow.
measure_held() { # contender, variant, title
    local side ours what="drain after $held s of held xmin"
    progress "others: $3: $held s of 500 events/s beside an open transaction ..."
    for side in alone beside; do on "$side" hold_xmin; done
    of_side alone load_of "$1" "$2" 500 "$held" &
    ours=$!
    of_side beside load_of "$1" "$2" 500 "$held"
    wait "$ours"
    measure_drains "$@" "$what"
    for side in alone beside; do on "$side" release_xmin; done
    report "others: $what / before, whisperer beside $3" 1/s "${drained[whisperer $3 $what]}" "${drained[whisperer $3 drain]}" ''
    report "others: $what / before, $3" 1/s "${drained[$3 $what]}" "${drained[$3 drain]}" ''
}

# Of those that lose nothing: neither by design nor in this run.
report_best() {
    local title best=
    for title in "${!lost[@]}"; do
        [[ ${lost[$title]} = 0 && $title != *'(loses)'* ]] || continue
        [ -z "$best" ] || [ "$(calculate "(${drained[$title drain]} > ${drained[$best drain]})")" = 1 ] || continue
        best=$title
    done
    [ -z "$best" ] || report "others: drain, whisperer / the best that loses nothing: $best" 1/s "${drained[whisperer $best drain]}" "${drained[$best drain]}" '>= 5'
}
