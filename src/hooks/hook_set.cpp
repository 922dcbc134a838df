// Loading the hook set and keeping the engine's copy of it; see hook_set.h.
#include "src/hooks/hook_set.h"

#include "src/base/id_table.h"
#include "src/base/transaction.h"
#include "src/hooks/hook_load.h"
#include "src/hooks/hook_types.h"

namespace whisperer::pg {

namespace {

// Definitions that are in memory at once beside the hooks.
constexpr int load_rows_max = 1000;
// Less is how clocks are kept right.
constexpr int64 clock_set_min_us = USECS_PER_SEC;

HookSet* watched_set = nullptr;

void on_membership_change(Datum, CacheId, uint32) {
    watched_set->stale = true;
}

void on_role_change(Datum, CacheId, uint32) {
    watched_set->stale = watched_set->names_stale = true;
}

struct HookById {
    int64 id;
    Hook* hook;
};

// What the request log has that is new under a snapshot.
struct Changes {
    bool all;     // hooks, any of them
    bool rights;  // an event type, a privilege or the control row
    Datum* ids;   // hooks
    int count;
};

// Notes, too, whether something is there that is no change.
Changes read_changes(HookSet* set, XidSnapshot* now) {
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
                       "WITH arrived AS (SELECT kind, hook_id FROM whisperer.request "
                       "WHERE xid = ANY ($1) UNION ALL "
                       "SELECT kind, hook_id FROM whisperer.request WHERE xid >= $2 AND xid < $3 "
                       "AND pg_visible_in_snapshot(xid, $4)) SELECT DISTINCT kind = 'hooks', "
                       "CASE kind WHEN 'hooks' THEN hook_id END FROM arrived",
                       lengthof(types), types),
             values, nullptr, true, 0, SPI_OK_SELECT);
    Changes changes = {};
    changes.ids = (Datum*)palloc(sizeof(Datum) * Max(SPI_processed, 1));
    for (uint64 row = 0; row < SPI_processed; row++) {
        int64 hook_id = int64_column((int)row, 2);
        if (!bool_column((int)row, 1))
            set->requests_arrived = true;
        else if (hook_id == changed_rights)
            changes.rights = true;
        else if (hook_id == changed_all_hooks)
            changes.all = true;
        else
            changes.ids[changes.count++] = Int64GetDatum(hook_id);
    }
    return changes;
}

void load_control(HookSet* set) {
    if (run_query("SELECT is_paused FROM whisperer.control", true, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not read whisperer.control");
    set->delivery_paused = SPI_processed == 1 && bool_column(0, 1);
}

void tell_of_unadopted(const HookSet* set, int64 before) {
    if (set->unadopted == before || set->unadopted == 0 || set->places->worker != 0)
        return;
    ereport(LOG,
            errmsg("whisperer: hooks carried here by a restore or copy of another database are "
                   "paused: " INT64_FORMAT,
                   set->unadopted),
            errhint("SELECT whisperer.resume() adopts them and delivers what they had not got."));
}

Hook* add_hook(HookSet* set, int64 id) {
    if (set->count == set->capacity) {
        set->capacity *= 2;
        set->hooks = (Hook**)repalloc_huge(set->hooks, sizeof(Hook*) * (Size)set->capacity);
    }
    Hook* hook = (Hook*)MemoryContextAllocZero(set->context, sizeof(Hook));
    hook->run = (HookRun*)MemoryContextAllocZero(set->context, sizeof(HookRun));
    HookById* place = (HookById*)hash_search(set->by_id, &id, HASH_ENTER, nullptr);
    place->hook = set->hooks[set->count] = hook;
    hook->place = set->count++;
    return hook;
}

// Takes over the definition at row of the last query, in the place of the one before.
void replace_hook(HookSet* set, int row, WhispererEngine* engine) {
    int64 id = queried_hook_id(row);
    Hook* hook = find_hook(set, id);
    if (hook == nullptr)
        hook = add_hook(set, id);
    Hook before = *hook;
    *hook = {};
    hook->run = before.run;
    hook->place = before.place;
    hook->context = AllocSetContextCreate(set->context, "whisperer hook", ALLOCSET_SMALL_SIZES);
    hook->load = set->load;
    MemoryContext caller = MemoryContextSwitchTo(hook->context);
    set->bytes -= before.bytes;
    load_hook(set, hook, row, engine, before.context ? &before : nullptr);
    MemoryContextSwitchTo(caller);
    forget_types(set, hook->event_type);
    if (before.context == nullptr)
        return;
    forget_types(set, before.event_type);
    MemoryContextDelete(before.context);
}

// Returns how many there were.
int load_chunk(HookSet* set, WhispererEngine* engine, const Datum* ids, int count) {
    int loaded = 0;
    query_hooks(make_array(ids, nullptr, count, INT8OID), set->requests_seen == nullptr);
    SPITupleTable* rows = SPI_tuptable;
    for (int i = 0; i < count; i++) {
        int64 id = DatumGetInt64(ids[i]);
        hash_search(set->operators, &id, HASH_REMOVE, nullptr);
    }
    for (uint64 row = 0; row < SPI_processed; row++) {
        int64 id = queried_hook_id((int)row);
        if (is_for_operators((int)row))
            hash_search(set->operators, &id, HASH_ENTER, nullptr);
        if (!serves(set, id))
            continue;
        replace_hook(set, (int)row, engine);
        loaded++;
    }
    SPI_freetuptable(rows);
    for (int i = 0; i < count; i++) {
        Hook* hook = find_hook(set, DatumGetInt64(ids[i]));
        if (hook && hook->load != set->load)
            forget_hook(set, hook, engine);
    }
    return loaded;
}

// Those that are gone are forgotten.
void load_hooks(HookSet* set, WhispererEngine* engine, const Datum* ids, int count) {
    set->load++;
    int loaded = 0;
    for (int done = 0; done < count; done += load_rows_max)
        loaded += load_chunk(set, engine, ids + done, Min(load_rows_max, count - done));
    if (count > 0)
        ereport(DEBUG1, errmsg_internal("whisperer: hooks loaded: %d", loaded));
}

// What there is room for when others have gone.
void load_refused(HookSet* set, WhispererEngine* engine) {
    Datum* ids = (Datum*)palloc(sizeof(Datum) * Max(set->count, 1));
    int count = 0;
    for (int i = 0; i < set->count; i++)
        if (set->hooks[i]->lacks_room)
            ids[count++] = Int64GetDatum(set->hooks[i]->id);
    load_hooks(set, engine, ids, count);
}

// Deleted hooks have been cancelled and forgotten, or have something left, of which the index of
// what is pending tells without a look at those that have not.
constexpr const char* first_ids =
    "WITH RECURSIVE waiting AS ((SELECT hook_id FROM whisperer.delivery "
    "WHERE next_attempt_at IS NOT NULL ORDER BY hook_id LIMIT 1) UNION ALL "
    "SELECT (SELECT d.hook_id FROM whisperer.delivery d WHERE d.next_attempt_at IS NOT NULL "
    "AND d.hook_id > w.hook_id ORDER BY d.hook_id LIMIT 1) "
    "FROM waiting w WHERE w.hook_id IS NOT NULL) "
    "SELECT id FROM whisperer.hook_definition WHERE is_active "
    "UNION SELECT hook_id FROM waiting WHERE hook_id IS NOT NULL";

void load_all(HookSet* set, WhispererEngine* engine) {
    const char* query =
        set->requests_seen ? "SELECT id FROM whisperer.hook_definition WHERE is_active" : first_ids;
    if (run_query(query, true, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not read whisperer.hook_definition");
    Datum* ids = (Datum*)palloc_extended(
        sizeof(Datum) * (Size)(SPI_processed + (uint64)set->count + 1), MCXT_ALLOC_HUGE);
    int count = 0;
    for (uint64 row = 0; row < SPI_processed; row++)
        ids[count++] = Int64GetDatum(int64_column((int)row, 1));
    for (int i = 0; i < set->count; i++)
        if (set->hooks[i]->is_deleted)
            ids[count++] = Int64GetDatum(set->hooks[i]->id);
    set->stale = false;
    load_hooks(set, engine, ids, count);
    for (int i = set->count - 1; i >= 0; i--)
        if (set->hooks[i]->load != set->load)
            forget_hook(set, set->hooks[i], engine);
}

int add_due(const HookSet* set, Datum* ids) {
    TimestampTz now = GetCurrentTransactionStartTimestamp();
    int count = 0;
    for (int i = 0; i < set->count; i++)
        if (set->hooks[i]->reload_at <= now)
            ids[count++] = Int64GetDatum(set->hooks[i]->id);
    return count;
}

void load_changed(HookSet* set, WhispererEngine* engine, const Changes& changes) {
    int64 bytes = set->bytes;
    Datum* ids = (Datum*)palloc(sizeof(Datum) * (Size)(changes.count + set->count + 1));
    memcpy(ids, changes.ids, sizeof(Datum) * (Size)changes.count);
    load_hooks(set, engine, ids, changes.count + add_due(set, ids + changes.count));
    if (set->bytes < bytes)
        load_refused(set, engine);
}

// What is said of all of them.
void sum_up(HookSet* set) {
    set->unadopted = set->carried_count = set->awaited_count = set->stale_health = 0;
    set->has_operators = hash_get_num_entries(set->operators) > 0;
    set->reload_at = DT_NOEND;
    int lowest = WhispererPriorityHigh, highest = WhispererPriorityLow;
    for (int i = 0; i < set->count; i++) {
        const Hook* hook = set->hooks[i];
        if (hook->runnable) {
            lowest = Min(lowest, hook->priority);
            highest = Max(highest, hook->priority);
        }
        set->unadopted += hook->is_unadopted;
        set->carried_count += hook->carried != nullptr;
        set->awaited_count += hook->is_awaited;
        set->stale_health += hook->run->circuit_is_stale || hook->run->failing_is_stale;
        set->reload_at = Min(set->reload_at, hook->reload_at);
    }
    set->has_priorities = lowest < highest;
    update_next_due(set);
}

}  // namespace

HookSet* create_hook_set(MemoryContext context, const HookPlaces* places) {
    HookSet* set = (HookSet*)MemoryContextAllocZero(context, sizeof(HookSet));
    set->context = AllocSetContextCreate(context, "whisperer hooks", ALLOCSET_DEFAULT_SIZES);
    set->by_id = create_id_table(set->context, "whisperer hooks", sizeof(HookById), 256);
    set->by_type = create_types(set->context);
    set->operators =
        create_id_table(set->context, "whisperer hooks for operator events", sizeof(int64), 256);
    set->capacity = 64;
    set->hooks = (Hook**)MemoryContextAlloc(set->context, sizeof(Hook*) * (Size)set->capacity);
    set->reload_at = DT_NOEND;
    set->clock_ahead_us = GetCurrentTimestamp() - steady_now();
    set->places = places;
    watched_set = set;
    CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_membership_change, 0);
    CacheRegisterSyscacheCallback(AUTHOID, on_role_change, 0);
    set->names_stale = set->requests_arrived = true;
    return set;
}

void refresh_hooks(HookSet* set, WhispererEngine* engine, const XidSnapshot* sent_until) {
    set->sent_until = sent_until;
    XidSnapshot* now = current_snapshot(CurrentMemoryContext);
    Changes changes = {};
    if (set->requests_seen)
        changes = read_changes(set, now);
    bool all = set->requests_seen == nullptr || changes.all || set->stale;
    bool due = set->reload_at <= GetCurrentTransactionStartTimestamp();
    if (all || changes.rights) {
        load_control(set);
        if (set->delivery_paused)
            whisperer_engine_break_chains(engine, 0);
        forget_types(set, nullptr);
    }
    if (all || changes.count > 0 || due) {
        int64 unadopted = set->unadopted;
        if (all)
            load_all(set, engine);
        else
            load_changed(set, engine, changes);
        sum_up(set);
        tell_of_unadopted(set, unadopted);
    }
    set->sent_until = nullptr;
    MemoryContext parent = MemoryContextGetParent(set->context);
    if (set->requests_seen)
        free_snapshot(set->requests_seen);
    set->requests_seen = parse_snapshot(now->text, parent);
    free_snapshot(now);
}

void note_settled(HookSet* set, const XidSnapshot* snapshot) {
    if (set->settled)
        free_snapshot(set->settled);
    set->settled = parse_snapshot(snapshot->text, MemoryContextGetParent(set->context));
}

void load_again(HookSet* set, int64 hook_id) {
    Hook* hook = find_hook(set, hook_id);
    if (hook)
        hook->reload_at = set->reload_at = DT_NOBEGIN;
}

void forget_hook(HookSet* set, Hook* hook, WhispererEngine* engine) {
    if (hook->runnable)
        whisperer_engine_drop_hook(engine, hook->id);
    if (hook->run->lines)
        free_lines(hook->run->lines);
    pfree(hook->run);
    forget_types(set, hook->event_type);
    set->bytes -= hook->bytes;
    hash_search(set->by_id, &hook->id, HASH_REMOVE, nullptr);
    Hook* last = set->hooks[--set->count];
    last->place = hook->place;
    set->hooks[last->place] = last;
    MemoryContextDelete(hook->context);
    pfree(hook);
}

Hook* find_hook(HookSet* set, int64 id) {
    HookById* place = (HookById*)hash_search(set->by_id, &id, HASH_FIND, nullptr);
    return place ? place->hook : nullptr;
}

bool has_turn(const Hook& hook, uint64 xid) {
    int changes = 0;
    while (changes < hook.turn_count && !visible_in(xid, hook.turns[changes]))
        changes++;
    return !hook.is_shared || changes % 2 == 1;
}

TimestampTz hook_due_at(const Hook* hook) {
    const HookRun* run = hook->run;
    bool has_lines = run->lines && hook->runnable && hook->carried == nullptr;
    return has_lines ? Min(run->next_due_at, lines_due_at(run->lines)) : run->next_due_at;
}

static void note_due_at(HookSet* set, const Hook* hook, TimestampTz at) {
    TimestampTz* due_at = &set->due_at[hook->priority + 1];
    *due_at = Min(*due_at, at);
}

void note_lines_due(HookSet* set, const Hook* hook) {
    if (hook->runnable)
        note_due_at(set, hook, hook_due_at(hook));
}

void note_due(HookSet* set, Hook* hook, TimestampTz at) {
    HookRun* run = hook->run;
    run->next_due_at = Min(run->next_due_at, at);
    if (run->lines)
        run->lines->not_before = Min(run->lines->not_before, at);
    if (hook->runnable || hook->is_deleted)
        note_due_at(set, hook, at);
    // Due before what was already read: the clock went back, or it waits for nothing.
    if (at <= run->low_at) {
        run->low_at = at - 1;
        memset(&run->low_id, 0, sizeof run->low_id);
    }
}

void free_hook(HookSet* set, Hook* hook, FreedFrom from) {
    hook->run->freed_from |= from;
    hook->run->freed = {DT_NOBEGIN, {}};
    note_due(set, hook, GetCurrentTimestamp());
}

void free_all_refused(HookSet* set) {
    for (int i = 0; i < set->count; i++) {
        Hook* hook = set->hooks[i];
        hook->run->refusal_is_told = false;
        hook->run->wants_probe = true;
        free_hook(set, hook, FreedFromAddress);
    }
}

bool serves(const HookSet* set, int64 hook_id) {
    return place_of(set->places, hook_id) == set->places->worker;
}

void look_at_all_again(HookSet* set) {
    for (int i = 0; i < set->count; i++) {
        Hook* hook = set->hooks[i];
        hook->run->next_due_at = hook->run->low_at = DT_NOBEGIN;
        if (hook->run->lines) {
            hook->run->lines->not_before = DT_NOBEGIN;
            note_lines_changed(hook->run->lines);
        }
    }
    update_next_due(set);
}

// What was entered by a clock that was ahead would wait until the clock gets there.
void follow_set_clock(HookSet* set, TimestampTz now) {
    int64 ahead_us = now - steady_now();
    int64 set_us = ahead_us - set->clock_ahead_us;
    if (set_us < clock_set_min_us && set_us > -clock_set_min_us)
        return;
    set->clock_ahead_us = ahead_us;
    for (int i = 0; i < set->count; i++) {
        Hook* hook = set->hooks[i];
        if (hook->run->failing_since != 0)
            hook->run->failing_since += set_us;
        if (set_us < 0)
            free_hook(set, hook, FreedFromClock);
    }
}

TimestampTz next_due_at(const HookSet* set, int full_priorities) {
    TimestampTz next = DT_NOEND;
    for (int i = 0; i < priority_count; i++)
        if ((full_priorities >> i & 1) == 0)
            next = Min(next, set->due_at[i]);
    return next;
}

void update_next_due(HookSet* set) {
    for (TimestampTz& due_at : set->due_at)
        due_at = DT_NOEND;
    for (int i = 0; i < set->count; i++)
        if (set->hooks[i]->runnable || set->hooks[i]->is_deleted)
            note_due_at(set, set->hooks[i], hook_due_at(set->hooks[i]));
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
