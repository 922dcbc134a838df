// pg_snapshot's internals are private to PostgreSQL, its text form is documented: so it is parsed.
#include "src/base/snapshot.h"

namespace whisperer::pg {

XidSnapshot* parse_snapshot(const char* text, MemoryContext context) {
    MemoryContext caller = MemoryContextSwitchTo(context);
    XidSnapshot* snapshot = (XidSnapshot*)palloc0(sizeof(XidSnapshot));
    // Checks the form, too.
    snapshot->datum = DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(text));
    snapshot->text = pstrdup(text);
    char* rest;
    snapshot->xmin = strtoull(text, &rest, 10);
    snapshot->xmax = strtoull(rest + 1, &rest, 10);
    int running_max = 1;
    for (const char* c = rest; *c; c++)
        running_max += *c == ',';
    snapshot->running = (uint64*)palloc(sizeof(uint64) * running_max);
    rest++;
    while (*rest) {
        snapshot->running[snapshot->running_count++] = strtoull(rest, &rest, 10);
        if (*rest == ',')
            rest++;
    }
    MemoryContextSwitchTo(caller);
    return snapshot;
}

void free_snapshot(XidSnapshot* snapshot) {
    pfree(snapshot->running);
    pfree(snapshot->text);
    pfree(DatumGetPointer(snapshot->datum));
    pfree(snapshot);
}

bool covers(const XidSnapshot* snapshot, const XidSnapshot* earlier) {
    return earlier->xmax < snapshot->xmax ||
           (earlier->xmax == snapshot->xmax && earlier->running_count >= snapshot->running_count);
}

bool visible_in(uint64 xid, const XidSnapshot* snapshot) {
    if (xid < snapshot->xmin)
        return true;
    if (xid >= snapshot->xmax)
        return false;
    int low = 0, high = snapshot->running_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (snapshot->running[middle] < xid)
            low = middle + 1;
        else
            high = middle;
    }
    return low == snapshot->running_count || snapshot->running[low] != xid;
}

XidSnapshot* current_snapshot(MemoryContext context) {
    if (FullTransactionIdIsValid(GetTopFullTransactionIdIfAny()))
        ereport(FATAL, errcode(ERRCODE_INTERNAL_ERROR),
                errmsg("whisperer: a snapshot for reading was taken in a transaction that writes"));
    char* text = DatumGetCString(
        OidFunctionCall1(F_PG_SNAPSHOT_OUT, OidFunctionCall0(F_PG_CURRENT_SNAPSHOT)));
    XidSnapshot* snapshot = parse_snapshot(text, context);
    pfree(text);
    return snapshot;
}

}  // namespace whisperer::pg
