// Loading the hook set and keeping the engine's copy of it; see hook_set.h.
#include "src/hooks/hook_set.h"

#include "src/base/transaction.h"
#include "src/hooks/hook_load.h"

namespace whisperer::pg {

namespace {

HookSet* watched_set = nullptr;

void on_membership_change(Datum, int, uint32) {
    watched_set->stale = true;
}

void on_role_change(Datum, int, uint32) {
    watched_set->stale = watched_set->names_stale = true;
}

// Whether the request log has something new under the transaction's snapshot that changes the
// hooks. Notes whether it has anything else.
bool hooks_changed(HookSet* set, XidSnapshot* now) {
    static SPIPlanPtr plan;
    const XidSnapshot* seen = set->requests_seen;
    const Oid types[] = {XID8ARRAYOID, XID8OID, XID8OID, PG_SNAPSHOTOID};
    Datum* finished = (Datum*)palloc(sizeof(Datum) * Max(seen->running_count, 1));
    int count = 0;
    for (int i = 0; i < seen->running_count; i++)
        if (visible_in(seen->running[i], now))
            finished[count++] = UInt64GetDatum(seen->running[i]);
    Datum values[] = {make_array(finished, nullptr, count, XID8OID), UInt64GetDatum(seen->xmax),
                      UInt64GetDatum(now->xmax), now->datum};
    run_plan(kept_plan(&plan,
                       "SELECT kind = 'hooks' FROM whisperer.request WHERE xid = ANY ($1) UNION "
                       "SELECT kind = 'hooks' FROM whisperer.request WHERE xid >= $2 AND xid < $3 "
                       "AND pg_visible_in_snapshot(xid, $4)",
                       lengthof(types), types),
             values, nullptr, true, 0, SPI_OK_SELECT);
    bool changed = false;
    for (uint64 row = 0; row < SPI_processed; row++) {
        bool is_hooks = bool_column((int)row, 1);
        changed |= is_hooks;
        set->requests_arrived |= !is_hooks;
    }
    return changed;
}

HTAB* create_index(MemoryContext context, const char* name, Size key, Size entry, int flags) {
    HASHCTL control = {};
    control.keysize = key;
    control.entrysize = entry;
    control.hcxt = context;
    return hash_create(name, 256, &control, HASH_ELEM | HASH_CONTEXT | flags);
}

struct HookIndex {
    int64 id;
    int index;
};

void load_control(HookSet* set) {
    if (SPI_execute("SELECT is_paused FROM whisperer.control", true, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not read whisperer.control");
    set->delivery_paused = SPI_processed == 1 && bool_column(0, 1);
}

void drop_vanished(HookSet* before, HookSet* set, WhispererEngine* engine) {
    for (int i = 0; i < before->count; i++) {
        const Hook& hook = before->hooks[i];
        if (find_hook(set, hook.id))
            continue;
        if (hook.runnable)
            whisperer_engine_drop_hook(engine, hook.id);
        if (hook.lines)
            free_lines(hook.lines);
    }
}

void tell_of_unadopted(const HookSet* set, int64 before) {
    if (set->unadopted == before || set->unadopted == 0 || set->worker != 0)
        return;
    ereport(LOG,
            errmsg("whisperer: hooks carried here by a restore or copy of another database are "
                   "paused: " INT64_FORMAT,
                   set->unadopted),
            errhint("SELECT whisperer.resume() adopts them and delivers what they had not got."));
}

void load_hooks(HookSet* set, WhispererEngine* engine) {
    HookSet before = *set;
    set->context = AllocSetContextCreate(MemoryContextGetParent(before.context), "whisperer hooks",
                                         ALLOCSET_DEFAULT_SIZES);
    set->by_id =
        create_index(set->context, "whisperer hooks", sizeof(int64), sizeof(HookIndex), HASH_BLOBS);
    set->by_type = create_index(set->context, "whisperer event types", sizeof(TypeEntry::name),
                                sizeof(TypeEntry), HASH_STRINGS);
    set->stale = false;
    set->unadopted = set->carried_count = set->stale_circuits = 0;
    set->has_operators = false;
    set->bytes = 0;
    set->reload_at = DT_NOEND;
    load_control(set);

    query_hooks(set->requests_seen == nullptr);
    MemoryContext caller = MemoryContextSwitchTo(set->context);
    set->hooks = (Hook*)palloc0_array(Hook, Max(SPI_processed, 1));
    set->count = 0;
    for (uint64 row = 0; row < SPI_processed; row++) {
        int64 id = queried_hook_id((int)row);
        if (!serves(set, id))
            continue;
        HookIndex* index = (HookIndex*)hash_search(set->by_id, &id, HASH_ENTER, nullptr);
        index->index = set->count++;
        load_hook(set, &set->hooks[index->index], (int)row, engine, find_hook(&before, id));
    }
    MemoryContextSwitchTo(caller);
    drop_vanished(&before, set, engine);
    update_next_due(set);
    tell_of_unadopted(set, before.unadopted);
    MemoryContextDelete(before.context);
}

void find_matching(HookSet* set, TypeEntry* entry, Oid recorder) {
    static SPIPlanPtr plan;
    const Oid types[] = {TEXTOID, OIDOID};
    Datum values[] = {CStringGetTextDatum(entry->name), ObjectIdGetDatum(recorder)};
    run_plan(kept_plan(&plan,
                       "SELECT h.id FROM whisperer.hook_definition h "
                       "WHERE h.is_active AND whisperer_internal.names(h.event_type, $1) "
                       "AND whisperer_internal.may_have(whisperer_internal.living_role(h.owner, "
                       "h.owner_name, h.incarnation), $1, $2) ORDER BY h.id",
                       lengthof(types), types),
             values, OidIsValid(recorder) ? nullptr : " n", true, 0, SPI_OK_SELECT);
    if (entry->hooks)
        pfree(entry->hooks);
    entry->recorder = recorder;
    entry->count = 0;
    entry->hooks = (int*)MemoryContextAlloc(set->context, sizeof(int) * Max(SPI_processed, 1));
    for (uint64 row = 0; row < SPI_processed; row++) {
        Hook* hook = find_hook(set, int64_column((int)row, 1));
        if (hook)
            entry->hooks[entry->count++] = (int)(hook - set->hooks);
    }
}

bool is_registered(const char* event_type) {
    static SPIPlanPtr plan;
    const Oid types[] = {TEXTOID};
    Datum values[] = {CStringGetTextDatum(event_type)};
    run_plan(kept_plan(&plan, "SELECT 1 FROM whisperer.event_type WHERE name = $1", lengthof(types),
                       types),
             values, nullptr, true, 1, SPI_OK_SELECT);
    return SPI_processed > 0;
}

}  // namespace

HookSet* create_hook_set(MemoryContext context, int worker, int workers) {
    HookSet* set = (HookSet*)MemoryContextAllocZero(context, sizeof(HookSet));
    set->context = AllocSetContextCreate(context, "whisperer hooks", ALLOCSET_DEFAULT_SIZES);
    set->by_id =
        create_index(set->context, "whisperer hooks", sizeof(int64), sizeof(HookIndex), HASH_BLOBS);
    set->worker = worker;
    set->workers = workers;
    watched_set = set;
    CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_membership_change, 0);
    CacheRegisterSyscacheCallback(AUTHOID, on_role_change, 0);
    set->names_stale = set->requests_arrived = true;
    return set;
}

void refresh_hooks(HookSet* set, WhispererEngine* engine) {
    XidSnapshot* now = current_snapshot(CurrentMemoryContext);
    bool changed = set->requests_seen == nullptr || hooks_changed(set, now);
    if (changed || set->stale || set->reload_at <= GetCurrentTransactionStartTimestamp())
        load_hooks(set, engine);
    MemoryContext parent = MemoryContextGetParent(set->context);
    if (set->requests_seen)
        free_snapshot(set->requests_seen);
    set->requests_seen = parse_snapshot(now->text, parent);
    free_snapshot(now);
}

TypeEntry* hooks_for(HookSet* set, const char* event_type, Oid recorder) {
    char key[sizeof(TypeEntry::name)] = {};
    strlcpy(key, event_type, sizeof key);
    bool found;
    TypeEntry* entry = (TypeEntry*)hash_search(set->by_type, key, HASH_ENTER, &found);
    if (!found) {
        entry->hooks = nullptr;
        entry->registered = is_registered(entry->name);
    }
    if (!found || entry->recorder != recorder)
        find_matching(set, entry, recorder);
    return entry;
}

Hook* find_hook(HookSet* set, int64 id) {
    HookIndex* index = (HookIndex*)hash_search(set->by_id, &id, HASH_FIND, nullptr);
    return index ? &set->hooks[index->index] : nullptr;
}

TimestampTz hook_due_at(const Hook* hook) {
    bool has_lines = hook->lines && hook->runnable && hook->carried == nullptr;
    return has_lines ? Min(hook->next_due_at, lines_due_at(hook->lines)) : hook->next_due_at;
}

void note_lines_due(HookSet* set, const Hook* hook) {
    if (hook->runnable)
        set->next_due_at = Min(set->next_due_at, hook_due_at(hook));
}

void note_due(HookSet* set, Hook* hook, TimestampTz at) {
    hook->next_due_at = Min(hook->next_due_at, at);
    if (hook->lines)
        hook->lines->not_before = Min(hook->lines->not_before, at);
    if (hook->runnable || hook->is_deleted)
        set->next_due_at = Min(set->next_due_at, at);
    // Due before what was already read: the clock went back, or it waits for nothing.
    if (at <= hook->low_at) {
        hook->low_at = at - 1;
        memset(&hook->low_id, 0, sizeof hook->low_id);
    }
}

bool serves(const HookSet* set, int64 hook_id) {
    uint64 hash =
        DatumGetUInt64(hash_any_extended((const unsigned char*)&hook_id, sizeof hook_id, 0));
    return hash % (uint64)set->workers == (uint64)set->worker;
}

void look_at_all_again(HookSet* set) {
    for (int i = 0; i < set->count; i++) {
        Hook* hook = &set->hooks[i];
        hook->next_due_at = hook->low_at = DT_NOBEGIN;
        if (hook->lines) {
            hook->lines->not_before = DT_NOBEGIN;
            note_lines_changed(hook->lines);
        }
    }
    update_next_due(set);
}

void update_next_due(HookSet* set) {
    set->next_due_at = DT_NOEND;
    for (int i = 0; i < set->count; i++)
        if (set->hooks[i].runnable || set->hooks[i].is_deleted)
            set->next_due_at = Min(set->next_due_at, hook_due_at(&set->hooks[i]));
}

void empty_requests(HookSet* set, uint64 read_by_all) {
    static SPIPlanPtr plan;
    static uint64 emptied_up_to = 0;
    if (read_by_all <= emptied_up_to)
        return;
    const Oid types[] = {XID8OID, XID8OID};
    Datum values[] = {UInt64GetDatum(emptied_up_to), UInt64GetDatum(read_by_all)};
    run_plan(kept_plan(&plan,
                       "DELETE FROM whisperer.request WHERE xid >= $1 AND xid < $2 "
                       "AND kind = 'hooks'",
                       lengthof(types), types),
             values, nullptr, false, 0, SPI_OK_DELETE);
    emptied_up_to = read_by_all;
}

}  // namespace whisperer::pg
