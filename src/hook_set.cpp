// Loading the hook set and keeping the engine's copy of it; see hook_set.h.
#include "hook_set.h"

#include "encoding.h"
#include "record.h"
#include "sealed.h"
#include "transaction.h"

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

WhispererSpan utf8_column(int row, int number) {
    char* value = text_column(row, number);
    WhispererSpan utf8 = {nullptr, 0};
    if (value && !utf8_from_server(value, strlen(value), &utf8))
        utf8 = {nullptr, 0};
    return utf8;
}

constexpr const char* load_query =
    "SELECT h.id, h.owner_name, h.target_url, h.config::text, h.filter::text, h.since::text, "
    "h.retry_countdown_config::text, coalesce(s.secret_key, ''), "
    "CASE WHEN s.previous_expires_at > now() THEN s.previous_secret_key END, "
    "s.additional_headers, "
    "CASE WHEN s.previous_expires_at > now() THEN s.previous_expires_at END, "
    "h.incarnation = $1 AS is_native, h.is_active, "
    "h.is_active AND NOT h.is_paused AND h.incarnation = $1 "
    "AND r.disabled_resumes IS DISTINCT FROM h.resumes "
    "AND whisperer.role_exists(h.owner) AS is_runnable, "
    "h.since_incarnation, h.created_at, h.is_active AND h.incarnation = $1 "
    "AND h.since_incarnation <> $1 AND r.taken_over IS DISTINCT FROM $1 AS is_carried, "
    "h.rate_limit, r.failing_since, r.circuit_opened_at IS NOT NULL, "
    "starts_with(h.event_type, 'whisperer-'), h.owner, h.transform, h.callback, "
    "CASE WHEN c.is_custom THEN h.retry_countdown_config->'kwargs'->>'function' END, "
    "CASE WHEN c.is_custom THEN h.retry_countdown_config->>'kwargs' END, r.function_timeouts, "
    "s.auth, "
    // Lines that were begun are served to their end, ordered or not.
    "h.ordering, h.ordering <> 'none' OR ($2 AND EXISTS (SELECT FROM whisperer.delivery d "
    "WHERE d.hook_id = h.id AND d.line IS NOT NULL AND d.state = 'pending')) AS has_lines "
    "FROM whisperer.hook_definition h "
    "CROSS JOIN LATERAL (SELECT h.retry_countdown_config->>'choice' = 'custom') AS c (is_custom) "
    "LEFT JOIN whisperer.secret s ON s.hook_id = h.id "
    "LEFT JOIN whisperer.hook_run r ON r.hook_id = h.id";

enum LoadColumn {
    LoadId = 1,
    LoadOwner,
    LoadUrl,
    LoadConfig,
    LoadFilter,
    LoadSince,
    LoadRetry,
    LoadSecret,
    LoadPreviousSecret,
    LoadHeaders,
    LoadPreviousExpires,
    LoadNative,
    LoadActive,
    LoadRunnable,
    LoadSinceIncarnation,
    LoadCreatedAt,
    LoadCarried,
    LoadRateLimit,
    LoadFailingSince,
    LoadCircuitOpen,
    LoadOperator,
    LoadOwnerId,
    LoadTransform,
    LoadCallback,
    LoadCountdown,
    LoadCountdownKwargs,
    LoadFunctionTimeouts,
    LoadAuth,
    LoadOrdering,
    LoadHasLines,
};

uint64 fingerprint(const WhispererHook& hook) {
    const WhispererSpan parts[] = {hook.target_url,          hook.secret_key,
                                   hook.previous_secret_key, hook.additional_headers,
                                   hook.retry_config,        hook.auth};
    uint64 hash = 1;
    for (const WhispererSpan& part : parts)
        hash =
            hash_combine64(hash, DatumGetUInt64(hash_any_extended((const unsigned char*)part.data,
                                                                  (int)part.size, part.size + 1)));
    return hash_combine64(hash,
                          DatumGetUInt64(hash_any_extended((const unsigned char*)&hook.rate_limit,
                                                           sizeof hook.rate_limit, 0)));
}

// False: one of the secrets cannot be opened.
bool load_definition(WhispererHook* definition, int row, WhispererError* error) {
    definition->id = int64_column(row, LoadId);
    definition->target_url = utf8_column(row, LoadUrl);
    definition->retry_config = utf8_column(row, LoadRetry);
    bool is_null;
    Datum rate_limit = column(row, LoadRateLimit, &is_null);
    definition->rate_limit = is_null ? 0 : DatumGetFloat8(rate_limit);
    return open_stored(definition->id, secret_key_column, utf8_column(row, LoadSecret),
                       &definition->secret_key, error) &&
           open_stored(definition->id, previous_secret_column, utf8_column(row, LoadPreviousSecret),
                       &definition->previous_secret_key, error) &&
           open_stored(definition->id, headers_column, utf8_column(row, LoadHeaders),
                       &definition->additional_headers, error) &&
           open_stored(definition->id, auth_column, utf8_column(row, LoadAuth), &definition->auth,
                       error);
}

// Told once for each reason.
void refuse_hook(Hook* hook, const Hook* before, const WhispererError& error) {
    hook->runnable = false;
    hook->refused = DatumGetUInt64(hash_any_extended((const unsigned char*)error.message,
                                                     (int)strlen(error.message), 1)) |
                    1;
    if (before && before->refused == hook->refused)
        return;
    ereport(LOG,
            errmsg("whisperer: hook " INT64_FORMAT " cannot be served, its deliveries wait: %s",
                   hook->id, error.message),
            errhint("%s",
                    error.hint[0] != '\0' ? error.hint : "Correct it with whisperer.update_hook."));
}

// Tells the engine of a runnable hook, unless it knows this definition already.
void put_hook(WhispererEngine* engine, Hook* hook, int row, const Hook* before) {
    WhispererHook definition = {};
    WhispererError error = {};
    if (!load_definition(&definition, row, &error)) {
        refuse_hook(hook, before, error);
        return;
    }
    hook->fingerprint = fingerprint(definition);
    if (before && before->runnable && before->fingerprint == hook->fingerprint)
        return;
    WhispererCode code = whisperer_engine_put_hook(engine, &definition, &error);
    if (code == WhispererInvalid)
        refuse_hook(hook, before, error);
    else if (code != WhispererOk)
        ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY),
                errmsg("whisperer: hook " INT64_FORMAT ": %s", hook->id, error.message));
}

void load_since(HookSet* set, Hook* hook, int row, const Hook* before) {
    XidSnapshot* since = parse_snapshot(text_column(row, LoadSince), CurrentMemoryContext);
    int64 incarnation = int64_column(row, LoadSinceIncarnation);
    if (incarnation == my_incarnation())
        hook->since = since;
    if (!bool_column(row, LoadCarried))
        return;
    bool is_null;
    hook->carried = (CarriedHook*)palloc0(sizeof(CarriedHook));
    hook->carried->in_scan = before && before->carried && before->carried->in_scan;
    hook->carried->incarnation = incarnation;
    hook->carried->since = since;
    hook->carried->created_at = DatumGetTimestampTz(column(row, LoadCreatedAt, &is_null));
    set->carried_count++;
}

// What hook_run says counts when the process knows nothing yet.  An engine that has just been told
// of the hook has its circuit closed.
void load_health(Hook* hook, int row, const Hook* before) {
    bool is_known = before && before->runnable && hook->runnable;
    if (is_known) {
        hook->failing_since = before->failing_since;
        hook->failing_written = before->failing_written;
        hook->circuit_is_open = before->circuit_is_open;
        return;
    }
    bool is_null;
    Datum failing_since = column(row, LoadFailingSince, &is_null);
    hook->failing_written = is_null ? 0 : DatumGetTimestampTz(failing_since);
    // The time that it was paused is no time of failures.
    hook->failing_since = before && !before->runnable ? 0 : hook->failing_written;
    hook->circuit_is_stale = hook->runnable && bool_column(row, LoadCircuitOpen);
}

void load_functions(Hook* hook, int row, const Hook* before) {
    bool is_null;
    hook->owner = DatumGetObjectId(column(row, LoadOwnerId, &is_null));
    hook->transform = text_column(row, LoadTransform);
    hook->callback = text_column(row, LoadCallback);
    hook->countdown = text_column(row, LoadCountdown);
    hook->countdown_kwargs = text_column(row, LoadCountdownKwargs);
    Datum timeouts = column(row, LoadFunctionTimeouts, &is_null);
    hook->function_timeouts = before    ? before->function_timeouts
                              : is_null ? 0
                                        : DatumGetInt32(timeouts);
    // Somebody has resumed it.
    if (before && hook->runnable && !before->runnable)
        hook->function_timeouts = 0;
}

void load_lines(HookSet* set, Hook* hook, int row, const Hook* before) {
    hook->ordering = ordering_from(text_column(row, LoadOrdering));
    hook->lines = before ? before->lines : nullptr;
    if (hook->lines == nullptr && bool_column(row, LoadHasLines))
        hook->lines = create_lines(MemoryContextGetParent(set->context));
}

void load_hook(HookSet* set, Hook* hook, int row, WhispererEngine* engine, const Hook* before) {
    hook->id = int64_column(row, LoadId);
    hook->owner_name = text_column(row, LoadOwner);
    hook->config = utf8_column(row, LoadConfig);
    hook->filter = utf8_column(row, LoadFilter);
    load_since(set, hook, row, before);
    hook->is_deleted = !bool_column(row, LoadActive);
    hook->runnable = bool_column(row, LoadRunnable);
    // Unknown to this process: look for what is pending at once.
    hook->next_due_at = hook->low_at = DT_NOBEGIN;
    if (before) {
        hook->next_due_at = before->next_due_at;
        hook->low_at = before->low_at;
        hook->low_id = before->low_id;
    }
    if (hook->is_deleted && before && !before->is_deleted)
        hook->next_due_at = DT_NOBEGIN;
    load_health(hook, row, before);
    load_functions(hook, row, before);
    load_lines(set, hook, row, before);
    if (hook->runnable)
        put_hook(engine, hook, row, before);
    set->stale_circuits += hook->circuit_is_stale;
    if (!hook->runnable && before && before->runnable)
        whisperer_engine_drop_hook(engine, hook->id);
    bool is_null;
    Datum expires = column(row, LoadPreviousExpires, &is_null);
    if (!is_null)
        set->reload_at = Min(set->reload_at, DatumGetTimestampTz(expires));
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
    static SPIPlanPtr plan;
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
    set->reload_at = DT_NOEND;
    load_control(set);

    const Oid types[] = {INT8OID, BOOLOID};
    Datum values[] = {Int64GetDatum(my_incarnation()), BoolGetDatum(set->requests_seen == nullptr)};
    run_plan(kept_plan(&plan, load_query, lengthof(types), types), values, nullptr, true, 0,
             SPI_OK_SELECT);
    MemoryContext caller = MemoryContextSwitchTo(set->context);
    set->hooks = (Hook*)palloc0_array(Hook, Max(SPI_processed, 1));
    set->count = 0;
    for (uint64 row = 0; row < SPI_processed; row++) {
        int64 id = int64_column((int)row, LoadId);
        if (!serves(set, id))
            continue;
        set->has_operators |=
            bool_column((int)row, LoadActive) && bool_column((int)row, LoadOperator);
        set->unadopted += bool_column((int)row, LoadActive) && !bool_column((int)row, LoadNative);
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

void find_matching(HookSet* set, TypeEntry* entry, const char* source) {
    static SPIPlanPtr plan;
    const Oid types[] = {TEXTOID, TEXTOID};
    Datum values[] = {CStringGetTextDatum(entry->name),
                      source ? CStringGetTextDatum(source) : (Datum)0};
    // A type that nobody registered belongs to the owner of the table that recorded it.
    run_plan(kept_plan(&plan,
                       "SELECT h.id FROM whisperer.hook_definition h "
                       "LEFT JOIN whisperer.event_type t ON t.name = $1 "
                       "CROSS JOIN LATERAL (SELECT whisperer.living_role(h.owner, h.owner_name, "
                       "h.incarnation) AS owner) AS r "
                       "WHERE h.is_active AND (h.event_type = $1 OR (right(h.event_type, 1) = '*' "
                       "AND starts_with($1, left(h.event_type, -1)))) "
                       "AND CASE WHEN t.name IS NULL THEN pg_has_role(r.owner, (SELECT c.relowner "
                       "FROM pg_class c WHERE c.oid = to_regclass($2)), 'MEMBER') "
                       "ELSE whisperer.may(r.owner, $1, 'subscribe') END ORDER BY h.id",
                       lengthof(types), types),
             values, source ? nullptr : " n", true, 0, SPI_OK_SELECT);
    if (entry->hooks)
        pfree(entry->hooks);
    if (entry->source)
        pfree(entry->source);
    entry->source = source ? MemoryContextStrdup(set->context, source) : nullptr;
    entry->count = 0;
    entry->hooks = (int*)MemoryContextAlloc(set->context, sizeof(int) * Max(SPI_processed, 1));
    for (uint64 row = 0; row < SPI_processed; row++) {
        Hook* hook = find_hook(set, int64_column((int)row, 1));
        if (hook)
            entry->hooks[entry->count++] = (int)(hook - set->hooks);
    }
}

bool is_same_source(const char* one, const char* other) {
    return one && other ? strcmp(one, other) == 0 : one == other;
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

TypeEntry* hooks_for(HookSet* set, const char* event_type, const char* source) {
    char key[sizeof(TypeEntry::name)] = {};
    strlcpy(key, event_type, sizeof key);
    bool found;
    TypeEntry* entry = (TypeEntry*)hash_search(set->by_type, key, HASH_ENTER, &found);
    if (!found) {
        entry->source = nullptr;
        entry->hooks = nullptr;
        entry->registered = is_registered(entry->name);
        find_matching(set, entry, source);
    } else if (!entry->registered && !is_same_source(entry->source, source)) {
        find_matching(set, entry, source);
    }
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
