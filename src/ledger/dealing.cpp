// See dealing.h.
#include "src/ledger/dealing.h"

#include "src/base/identity.h"
#include "src/base/transaction.h"

namespace whisperer::pg {

namespace {

HookLoads copy_of(const HookLoads& loads) {
    HookLoads copy = loads;
    Size bytes = sizeof(WhispererHookLoad) * loads.count;
    copy.hooks = (WhispererHookLoad*)palloc_extended(bytes + 1, MCXT_ALLOC_HUGE);
    if (bytes > 0)
        memcpy(copy.hooks, loads.hooks, bytes);
    return copy;
}

}  // namespace

// Hook by hook, by the index: of a day of minutes this is an hour.
HookLoads read_loads() {
    const Oid types[] = {INT8OID};
    Datum values[] = {Int64GetDatum(my_incarnation())};
    if (run_query("SELECT h.id, m.attempts FROM whisperer.hook_definition h CROSS JOIN LATERAL ("
                  "SELECT sum(m.delivered::bigint + m.failed_attempts)::bigint AS attempts "
                  "FROM whisperer.hook_minute m "
                  "WHERE m.hook_id = h.id AND m.minute > now() - interval '1 hour') AS m "
                  "WHERE h.is_active AND h.incarnation = $1 AND m.attempts > 0",
                  lengthof(types), types, values, nullptr, true, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not read whisperer.hook_minute");
    HookLoads loads = {};
    loads.count = SPI_processed;
    loads.hooks = (WhispererHookLoad*)palloc_extended(sizeof(WhispererHookLoad) * loads.count + 1,
                                                      MCXT_ALLOC_HUGE);
    for (size_t i = 0; i < loads.count; i++)
        loads.hooks[i] = {int64_column((int)i, 1), int64_column((int)i, 2), 0};
    return loads;
}

Moves deal_by_load(int workers) {
    HookLoads loads = read_loads();
    whisperer_deal_hooks(loads.hooks, loads.count, workers);
    Datum* hook_ids = (Datum*)palloc_extended(sizeof(Datum) * loads.count + 1, MCXT_ALLOC_HUGE);
    Datum* places = (Datum*)palloc_extended(sizeof(Datum) * loads.count + 1, MCXT_ALLOC_HUGE);
    int count = 0;
    for (size_t i = 0; i < loads.count; i++) {
        const WhispererHookLoad& hook = loads.hooks[i];
        if (hook.worker == whisperer_place_of_hook(hook.hook_id, workers))
            continue;
        hook_ids[count] = Int64GetDatum(hook.hook_id);
        places[count++] = Int16GetDatum((int16)hook.worker);
    }
    return {make_array(hook_ids, nullptr, count, INT8OID),
            make_array(places, nullptr, count, INT2OID)};
}

int gain_of_dealing(const HookPlaces* places, const HookLoads& loads) {
    for (size_t i = 0; i < loads.count; i++)
        loads.hooks[i].worker = place_of(places, loads.hooks[i].hook_id);
    HookLoads dealt = copy_of(loads);
    whisperer_deal_hooks(dealt.hooks, dealt.count, places->workers);
    int64 before = whisperer_largest_load(loads.hooks, loads.count, places->workers);
    int64 after = whisperer_largest_load(dealt.hooks, dealt.count, places->workers);
    return before > 0 ? (int)(100 - after * 100 / before) : 0;
}

}  // namespace whisperer::pg
