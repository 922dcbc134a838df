// See hook_load.h.
#include "src/hooks/hook_load.h"

#include "src/base/encoding.h"
#include "src/base/identity.h"
#include "src/base/transaction.h"
#include "src/hooks/formats.h"
#include "src/processes/shared_state.h"
#include "src/secrets/sealed.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

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
    "AND (n.waits_for IS NULL OR h.ordering = 'none' OR cardinality(n.turns) % 2 = 0) "
    "AND whisperer_internal.role_exists(h.owner) AS is_runnable, "
    "h.since_incarnation, h.created_at, h.is_active AND h.incarnation = $1 "
    "AND h.since_incarnation <> $1 AND r.taken_over IS DISTINCT FROM $1 AS is_carried, "
    "h.rate_limit, r.failing_since, r.failing_url_hash IS NULL "
    "OR r.failing_url_hash = hashtextextended(h.target_url, 0), r.circuit_opened_at IS NOT NULL, "
    "h.event_type ~ '(^|, )whisperer-', h.owner, "
    "regexp_replace(h.transform, '[(]json, jsonb[)]$', ''), h.callback, "
    "CASE WHEN c.is_custom THEN h.retry_countdown_config->'kwargs'->>'function' END, "
    "CASE WHEN c.is_custom THEN h.retry_countdown_config->>'kwargs' END, r.function_timeouts, "
    "s.auth, r.function_began, "
    // Lines that were begun are served to their end, ordered or not.
    "h.ordering, h.ordering <> 'none' OR ($2 AND EXISTS (SELECT FROM whisperer.delivery d "
    "WHERE d.hook_id = h.id AND d.line IS NOT NULL AND d.state = 'pending')) AS has_lines, "
    "h.event_type, array_to_string(n.turns, ';'), h.resumes, " FORMAT_COLUMNS
    ", "
    "h.signing::text, 'standard' <> ALL (h.signatures), 'whisperer' <> ALL (h.signatures), "
    "whisperer_internal.metadata_bits(h.metadata_headers), "
    "(1000 * extract(epoch FROM h.timeout))::integer, h.max_in_flight, h.batch::text, "
    "h.encoding = 'gzip', h.transform LIKE '%(json, jsonb)', "
    "CASE h.priority WHEN 'high' THEN 1 WHEN 'low' THEN -1 ELSE 0 END, "
    "coalesce(h.is_active AND h.ordering <> 'none' AND " IS_AWAITED
    ", false), "
    "(1000000 * extract(epoch FROM coalesce(r.failing_for, now() - r.failing_since)))::bigint "
    "FROM unnest($3) AS asked (id) JOIN whisperer.hook_definition h USING (id) "
    "CROSS JOIN LATERAL (SELECT h.retry_countdown_config->>'choice' = 'custom') AS c (is_custom) "
    "LEFT JOIN whisperer.secret s ON s.hook_id = h.id "
    "LEFT JOIN whisperer.hook_run r ON r.hook_id = h.id "
    "LEFT JOIN whisperer.hook_node n ON n.hook_id = h.id";

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
    LoadFailingHere,
    LoadCircuitOpen,
    LoadOperator,
    LoadOwnerId,
    LoadTransform,
    LoadCallback,
    LoadCountdown,
    LoadCountdownKwargs,
    LoadFunctionTimeouts,
    LoadAuth,
    LoadFunctionBegan,
    LoadOrdering,
    LoadHasLines,
    LoadEventType,
    LoadTurns,
    LoadResumes,
    LoadFormat,
    LoadSigning = LoadFormat + format_column_count,
    LoadNoWebhookSignature,
    LoadNoBodySignature,
    LoadMetadata,
    LoadTimeout,
    LoadMaxInFlight,
    LoadBatch,
    LoadGzip,
    LoadTransformTakesMeta,
    LoadPriority,
    LoadAwaited,
    LoadFailingFor,
};

uint64 fingerprint(const WhispererHook& hook) {
    const WhispererSpan parts[] = {hook.target_url,
                                   hook.secret_key,
                                   hook.previous_secret_key,
                                   hook.additional_headers,
                                   hook.retry_config,
                                   hook.auth,
                                   hook.format,
                                   hook.signing,
                                   hook.batch};
    uint64 hash = 1;
    for (const WhispererSpan& part : parts)
        hash =
            hash_combine64(hash, DatumGetUInt64(hash_any_extended((const unsigned char*)part.data,
                                                                  (int)part.size, part.size + 1)));
    hash = hash_combine64(hash, (uint64)hook.owner);
    hash = hash_combine64(hash, (uint64)hook.priority);
    hash = hash_combine64(
        hash, (uint64)(hook.no_webhook_signature + 2 * hook.no_body_signature + 4 * hook.metadata));
    hash = hash_combine64(hash, (uint64)hook.gzip);
    hash = hash_combine64(hash, (uint64)hook.timeout_ms << 32 | (uint32)hook.max_in_flight);
    return hash_combine64(hash,
                          DatumGetUInt64(hash_any_extended((const unsigned char*)&hook.rate_limit,
                                                           sizeof hook.rate_limit, 0)));
}

// False: one of the secrets cannot be opened.
bool load_definition(WhispererHook* definition, int row, WhispererError* error) {
    definition->id = int64_column(row, LoadId);
    definition->target_url = utf8_column(row, LoadUrl);
    definition->retry_config = utf8_column(row, LoadRetry);
    definition->format = utf8_column(row, LoadFormat);
    definition->signing = utf8_column(row, LoadSigning);
    definition->no_webhook_signature = bool_column(row, LoadNoWebhookSignature);
    definition->no_body_signature = bool_column(row, LoadNoBodySignature);
    definition->metadata = int32_column(row, LoadMetadata);
    definition->timeout_ms = int32_column(row, LoadTimeout);
    definition->max_in_flight = int32_column(row, LoadMaxInFlight);
    definition->batch = utf8_column(row, LoadBatch);
    definition->gzip = bool_column(row, LoadGzip);
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
    definition.rate_limit = hook->rate_limit;
    definition.priority = hook->priority;
    definition.owner = hook->owner;
    WhispererError error = {};
    if (!load_definition(&definition, row, &error)) {
        refuse_hook(hook, before, error);
        return;
    }
    hook->fingerprint = fingerprint(definition);
    if (before && before->runnable && before->fingerprint == hook->fingerprint)
        return;
    WhispererCode code = whisperer_engine_put_hook(engine, &definition, &error);
    if (code == WhispererInvalid || code == WhispererOutOfMemory)
        refuse_hook(hook, before, error);
    else if (code != WhispererOk)
        ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR),
                errmsg("whisperer: hook " INT64_FORMAT ": %s", hook->id, error.message));
}

// Each text is kept here and in the engine, a filter as a tree of values.
constexpr int64 text_copies = 2;
constexpr int64 filter_growth = 8;
constexpr int64 hook_bytes = 4096;
// The rest is for what is under way.
constexpr int64 share_of_memory = 4;

int64 column_bytes(int row, int number) {
    Datum value = datum_column(row, number);
    return value == (Datum)0 ? 0 : (int64)toast_raw_datum_size(value);
}

// As jsonb writes an operator; the same within a string has backslashes.
int64 pattern_bytes(int row) {
    int64 count = 0;
    const char* filter = text_column(row, LoadFilter);
    while (filter && (filter = strstr(filter, "\"$regex\":")) != nullptr) {
        count++;
        filter++;
    }
    return count * WHISPERER_PATTERN_MEMORY_BYTES;
}

int64 bytes_of(int row) {
    constexpr int texts[] = {
        LoadUrl,  LoadConfig,    LoadRetry,    LoadSecret, LoadPreviousSecret, LoadHeaders,
        LoadAuth, LoadTransform, LoadCallback, LoadFormat, LoadSigning};
    int64 bytes = hook_bytes;
    for (int text : texts)
        bytes += text_copies * column_bytes(row, text);
    return bytes + filter_growth * column_bytes(row, LoadFilter) + pattern_bytes(row);
}

// One that does not fit costs nobody else his delivery.
bool fits(HookSet* set, Hook* hook, int row, WhispererError* error) {
    int64 bytes = bytes_of(row);
    int64 limit = settings.worker_memory_mb * (int64)(1024 * 1024) / share_of_memory;
    if (settings.worker_memory_mb >= 0 && set->bytes + bytes > limit) {
        strlcpy(error->message, "the hooks take a quarter of whisperer.worker_memory",
                sizeof error->message);
        strlcpy(error->hint, "Raise that and reload the settings, or delete hooks.",
                sizeof error->hint);
        return false;
    }
    hook->bytes = bytes;
    set->bytes += bytes;
    return true;
}

void load_since(Hook* hook, int row) {
    XidSnapshot* since = parse_snapshot(text_column(row, LoadSince), hook->context);
    int64 incarnation = int64_column(row, LoadSinceIncarnation);
    if (incarnation == my_incarnation())
        hook->since = since;
    if (!bool_column(row, LoadCarried)) {
        hook->run->in_scan = false;
        return;
    }
    hook->carried = (CarriedHook*)palloc0(sizeof(CarriedHook));
    hook->carried->incarnation = incarnation;
    hook->carried->since = since;
    hook->carried->created_at = timestamp_column(row, LoadCreatedAt);
}

void load_turns(Hook* hook, int row) {
    char* turns = text_column(row, LoadTurns);
    hook->is_shared = turns != nullptr;
    hook->is_awaited = bool_column(row, LoadAwaited);
    if (turns == nullptr || *turns == '\0')
        return;
    int turn_max = 1;
    for (const char* c = turns; *c; c++)
        turn_max += *c == ';';
    hook->turns = (XidSnapshot**)palloc(sizeof(XidSnapshot*) * turn_max);
    while (char* turn = strsep(&turns, ";"))
        hook->turns[hook->turn_count++] = parse_snapshot(turn, hook->context);
}

// Somebody has resumed it, or what kept it from being served is over.  One that the process itself
// disabled may be resumed before it was loaded as disabled: of that only resumes tells.
bool begins_anew(const Hook* hook, const Hook* before) {
    return before && (!before->runnable || before->resumes != hook->resumes);
}

// What hook_run says counts when the process knows nothing yet.  An engine that has just been told
// of the hook has its circuit closed.
void load_health(Hook* hook, int row, const Hook* before) {
    HookRun* run = hook->run;
    bool is_known = before && before->runnable && hook->runnable;
    bool is_moved = before ? strcmp(before->target_url, hook->target_url) != 0
                           : !bool_column(row, LoadFailingHere);
    run->is_disabled = false;
    if (!is_known) {
        // The time that the server was down is no time of failures, and the clock may have been set
        // meanwhile.
        run->failing_us_written = Max(int64_column(row, LoadFailingFor), (int64)0);
        run->failing_from = steady_now() - run->failing_us_written;
        run->failing_since = run->failing_written = timestamp_column(row, LoadFailingSince);
        run->circuit_is_open = false;
        run->circuit_is_stale = hook->runnable && bool_column(row, LoadCircuitOpen);
    }
    // Nor is the time that it was paused, or that of another address.
    if (is_moved || begins_anew(hook, before))
        run->failing_since = 0;
    if (is_moved)
        run->failing_is_stale = run->failing_written != 0;
}

void load_functions(Hook* hook, int row, const Hook* before) {
    hook->owner = DatumGetObjectId(datum_column(row, LoadOwnerId));
    hook->metadata = int32_column(row, LoadMetadata);
    hook->transform = text_column(row, LoadTransform);
    hook->transform_takes_meta = bool_column(row, LoadTransformTakesMeta);
    if (hook->transform_takes_meta)
        hook->metadata |= WhispererMetadataTime | WhispererMetadataObject | WhispererMetadataSource;
    hook->callback = text_column(row, LoadCallback);
    hook->countdown = text_column(row, LoadCountdown);
    hook->countdown_kwargs = text_column(row, LoadCountdownKwargs);
    HookRun* run = hook->run;
    if (before == nullptr) {
        run->function_timeouts = int32_column(row, LoadFunctionTimeouts);
        // Neither what a shutdown ended nor what only the worker's own end did.
        TimestampTz began_at = timestamp_column(row, LoadFunctionBegan);
        run->call_was_cut =
            began_at != 0 && began_at >= PgStartTime && began_at < shared_state()->made_at;
    }
    bool is_resumed =
        before ? begins_anew(hook, before) : run->function_timeouts >= function_timeouts_max;
    if (hook->runnable && is_resumed) {
        run->timeouts_are_old |= run->function_timeouts > 0;
        run->function_timeouts = 0;
    }
}

void load_lines(HookSet* set, Hook* hook, int row) {
    hook->ordering = ordering_from(text_column(row, LoadOrdering));
    HookRun* run = hook->run;
    if (run->lines == nullptr && bool_column(row, LoadHasLines))
        run->lines = create_lines(set->context);
    if (run->lines)
        run->lines->own_busy_max = int32_column(row, LoadMaxInFlight);
}

void forget_filter(void* filter) {
    whisperer_filter_destroy((WhispererFilter*)filter);
}

// Without the memory for a tree it is kept as it is written, and read for each event: what a hook
// that waits is to get later is decided by its filter all the same.
bool load_filter(Hook* hook, int row, bool as_text, WhispererError* error) {
    WhispererSpan filter = utf8_column(row, LoadFilter);
    hook->has_filter = datum_column(row, LoadFilter) != (Datum)0;
    if (!hook->has_filter)
        return true;
    if (as_text ||
        whisperer_filter_create(filter, filter_steps_max, &hook->filter, error) != WhispererOk) {
        hook->filter_text = filter;
        return false;
    }
    MemoryContextCallback* at_reload =
        (MemoryContextCallback*)palloc0(sizeof(MemoryContextCallback));
    at_reload->func = forget_filter;
    at_reload->arg = hook->filter;
    MemoryContextRegisterResetCallback(hook->context, at_reload);
    return true;
}

// What it and its lines are to wait for now, if for anything, the next look finds.
void look_at_once(HookRun* run) {
    run->next_due_at = DT_NOBEGIN;
    if (run->lines)
        run->lines->not_before = DT_NOBEGIN;
}

// Nothing is known to be pending or not, so it is looked for at once: in the rows of a hook that is
// new to the process, or was deleted and has them cancelled.
void load_due(Hook* hook, const Hook* before) {
    if (before == nullptr || (hook->is_deleted && !before->is_deleted))
        hook->run->next_due_at = hook->run->low_at = DT_NOBEGIN;
}

// Of an unlimited hook nothing is spaced.
void load_rate(Hook* hook, int row, const Hook* before) {
    HookRun* run = hook->run;
    hook->rate_limit = DatumGetFloat8(datum_column(row, LoadRateLimit));
    hook->priority = int32_column(row, LoadPriority);
    if (before == nullptr) {
        // The worker before this one may have refused its address by other settings, and had
        // another clock.
        run->freed_from = FreedFromAddress | FreedFromClock;
        run->freed = {DT_NOBEGIN, {}};
    } else if (before->rate_limit > 0 && before->rate_limit != hook->rate_limit) {
        run->freed_from |= FreedFromRate;
        run->freed = {DT_NOBEGIN, {}};
    }
    if (run->freed_from != 0)
        look_at_once(run);
}

void load_probe(Hook* hook, const Hook* before) {
    HookRun* run = hook->run;
    if (before == nullptr)
        return;
    run->refusal_is_told &= strcmp(before->target_url, hook->target_url) == 0;
    // Somebody resumed it, although it may have been active, because its receiver is back.
    run->wants_probe |= before->resumes != hook->resumes;
    if (run->wants_probe)
        look_at_once(run);
}

void load_flags(Hook* hook, int row) {
    hook->is_deleted = !bool_column(row, LoadActive);
    hook->runnable = bool_column(row, LoadRunnable);
    hook->is_unadopted = !hook->is_deleted && !bool_column(row, LoadNative);
    hook->resumes = int32_column(row, LoadResumes);
}

// What an event must have for the hook, if there is room for it.
bool load_rules(HookSet* set, Hook* hook, int row, WhispererError* error) {
    hook->config = utf8_column(row, LoadConfig);
    hook->lacks_room = !fits(set, hook, row, error);
    return load_filter(hook, row, hook->lacks_room, error) && !hook->lacks_room;
}

}  // namespace

void query_hooks(Datum ids, bool is_first) {
    static SPIPlanPtr plan;
    const Oid types[] = {INT8OID, BOOLOID, INT8ARRAYOID};
    Datum values[] = {Int64GetDatum(my_incarnation()), BoolGetDatum(is_first), ids};
    run_plan(kept_plan(&plan, load_query, lengthof(types), types), values, nullptr, true, 0,
             SPI_OK_SELECT);
}

int64 queried_hook_id(int row) {
    return int64_column(row, LoadId);
}

bool is_for_operators(int row) {
    return bool_column(row, LoadActive) && bool_column(row, LoadOperator);
}

void load_hook(HookSet* set, Hook* hook, int row, WhispererEngine* engine, const Hook* before) {
    hook->id = int64_column(row, LoadId);
    hook->event_type = text_column(row, LoadEventType);
    hook->owner_name = text_column(row, LoadOwner);
    hook->target_url = text_column(row, LoadUrl);
    load_flags(hook, row);
    WhispererError no_room = {};
    bool has_room = hook->is_deleted || load_rules(set, hook, row, &no_room);
    load_since(hook, row);
    load_turns(hook, row);
    load_due(hook, before);
    load_rate(hook, row, before);
    load_probe(hook, before);
    load_health(hook, row, before);
    load_formats(set, hook, row, LoadFormat);
    load_functions(hook, row, before);
    load_lines(set, hook, row);
    if (hook->runnable && !has_room)
        refuse_hook(hook, before, no_room);
    else if (hook->runnable)
        put_hook(engine, hook, row, before);
    if (!hook->runnable && before && before->runnable)
        whisperer_engine_drop_hook(engine, hook->id);
    // Whatever has changed, it counts for all that has not begun.
    if (before)
        whisperer_engine_break_chains(engine, hook->id);
    TimestampTz expires = timestamp_column(row, LoadPreviousExpires);
    hook->reload_at = expires != 0 ? expires : DT_NOEND;
}

}  // namespace whisperer::pg
