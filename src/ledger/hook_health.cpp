// The rules and statements of hook_health.h.
#include "src/ledger/hook_health.h"

#include "src/base/encoding.h"
#include "src/base/transaction.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

// A shorter row of failures is not worth a write, nor is what a longer one has grown by since.  One
// that a process which starts anew does not know of: a worker that ends often must get on with it.
constexpr int64 failing_written_after_us = 60 * USECS_PER_SEC;
// The server crashed in the middle of a call: two disable the hook.
constexpr int timeouts_of_a_crash = function_timeouts_max / 2;

void add_news(HookNewsList* all, const HookNews& news) {
    // The newest of a kind counts, and comes last: a circuit may open, close and open in one batch.
    int kept = 0;
    for (int i = 0; i < all->count; i++)
        if (all->list[i].hook_id != news.hook_id || all->list[i].news != news.news)
            all->list[kept++] = all->list[i];
    all->count = kept;
    if (all->count == all->capacity) {
        all->capacity *= 2;
        all->list = (HookNews*)repalloc_huge(all->list, sizeof(HookNews) * all->capacity);
    }
    all->list[all->count++] = news;
}

const char* kept_url(const HookNewsList* all, const Hook* hook) {
    return MemoryContextStrdup(all->context, hook->target_url);
}

// For what its receiver did; nothing is noted of it until the hooks have been loaded again.
void disable(HookNewsList* all, Hook* hook, const char* reason) {
    add_news(all, {News::Disabled, hook->id, 0, reason, false, 0, kept_url(all, hook)});
    hook->run->is_disabled = true;
}

void disable_for_functions(HookNewsList* all, Hook* hook, const char* reason) {
    add_news(all, {News::Disabled, hook->id, 0, reason, false, 0, nullptr});
    hook->run->is_disabled = true;
}

void note_failure(HookNewsList* all, Hook* hook) {
    HookRun* run = hook->run;
    SteadyTime now = steady_now();
    if (run->failing_since == 0) {
        run->failing_since = GetCurrentTimestamp();
        run->failing_from = now;
        run->failing_us_written = 0;
    }
    int64 failing_us = now - run->failing_from;
    if (failing_us >= settings.disable_after_s * USECS_PER_SEC) {
        char text[96];
        snprintf(text, sizeof text, "nothing but failures for %lld s",
                 (long long)(failing_us / USECS_PER_SEC));
        disable(all, hook, MemoryContextStrdup(all->context, text));
    } else if (failing_us >= failing_written_after_us &&
               (run->failing_written != run->failing_since ||
                failing_us - run->failing_us_written >= failing_written_after_us)) {
        run->failing_written = run->failing_since;
        run->failing_us_written = failing_us;
        add_news(all, {News::Failing, hook->id, run->failing_since, nullptr, true, 0,
                       kept_url(all, hook), failing_us});
    }
}

void run_news(const char* query, SPIPlanPtr* plan, const HookNews& news) {
    const Oid types[] = {INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID};
    char nulls[] = {' ', news.at == 0 ? 'n' : ' ', news.reason ? ' ' : 'n',
                    news.target_url ? ' ' : 'n', '\0'};
    Datum values[] = {Int64GetDatum(news.hook_id), TimestampTzGetDatum(news.at),
                      news.reason ? CStringGetTextDatum(news.reason) : (Datum)0,
                      news.target_url ? CStringGetTextDatum(news.target_url) : (Datum)0};
    run_plan(kept_plan(plan, query, lengthof(types), types), values, nulls, false, 0,
             SPI_OK_INSERT);
}

#define LOCKED_NEWS_ROW(lock, columns, values, changes)                                    \
    "INSERT INTO whisperer.hook_run AS r (hook_id, " columns ") SELECT h.id, " values      \
    " FROM whisperer.hook_definition h WHERE h.id = $1 AND ($2 IS NULL OR $2 IS NOT NULL)" \
    " AND ($3 IS NULL OR $3 <> '') AND ($4 IS NULL OR h.target_url = $4)" lock             \
    " ON CONFLICT (hook_id) DO UPDATE SET " changes
#define NEWS_ROW(columns, values, changes) LOCKED_NEWS_ROW("", columns, values, changes)
#define DISABLED_ROW(lock)                                                                     \
    LOCKED_NEWS_ROW(lock, "disabled_at, disabled_reason, disabled_resumes",                    \
                    "now(), $3, h.resumes",                                                    \
                    "disabled_at = excluded.disabled_at, disabled_reason = "                   \
                    "excluded.disabled_reason, disabled_resumes = excluded.disabled_resumes, " \
                    "failing_since = NULL, failing_url_hash = NULL, failing_for = NULL, "      \
                    "function_began = NULL")

void write_disabled(const HookNews& news) {
    static SPIPlanPtr plan, address_plan, event_plan;
    // Whoever changes the hook just now may be giving it another address.  If not, the next failure
    // says the same again.
    if (news.target_url)
        run_news(DISABLED_ROW(" FOR SHARE SKIP LOCKED"), &address_plan, news);
    else
        run_news(DISABLED_ROW(""), &plan, news);
    if (SPI_processed == 0)
        return;
    run_news(
        "INSERT INTO whisperer.outbox (id, event_type, data, hook_id) "
        "SELECT whisperer_internal.new_event_id(), 'whisperer-hook-disabled', json_build_object("
        "'hook_id', $1, 'event_type', h.event_type, 'target_url', h.target_url, 'reason', $3, "
        "'at', coalesce($2, now())), o.hook_id FROM whisperer.hook_definition h, "
        "whisperer_internal.operator_hooks($1, 'whisperer-hook-disabled') AS o(hook_id) "
        "WHERE h.id = $1 AND ($4 IS NULL OR $4 <> '')",
        &event_plan, news);
    ereport(LOG, errmsg("whisperer: hook " INT64_FORMAT " disabled: %s", news.hook_id, news.reason),
            errhint("Its deliveries wait for whisperer.resume_hook."));
}

void write_circuit(const HookNews& news) {
    static SPIPlanPtr open_plan, close_plan;
    if (news.news == News::CircuitClosed) {
        run_news(
            NEWS_ROW("circuit_opened_at", "NULL",
                     "circuit_opened_at = NULL, circuit_retry_at = NULL, circuit_reason = NULL"),
            &close_plan, news);
        if (!news.is_silent)
            ereport(LOG, errmsg("whisperer: hook " INT64_FORMAT ": circuit closed", news.hook_id));
        return;
    }
    run_news(NEWS_ROW("circuit_opened_at, circuit_retry_at, circuit_reason", "now(), $2, $3",
                      "circuit_opened_at = coalesce(r.circuit_opened_at, now()), "
                      "circuit_retry_at = excluded.circuit_retry_at, "
                      "circuit_reason = excluded.circuit_reason"),
             &open_plan, news);
    if (!news.is_silent)
        ereport(LOG, errmsg("whisperer: hook " INT64_FORMAT ": circuit open: %s", news.hook_id,
                            news.reason));
}

void write_failing(const HookNews& news) {
    static SPIPlanPtr failing_plan, recovered_plan;
    if (news.news == News::Recovered) {
        run_news(NEWS_ROW("failing_since", "NULL",
                          "failing_since = NULL, failing_url_hash = NULL, failing_for = NULL"),
                 &recovered_plan, news);
        return;
    }
    const Oid types[] = {INT8OID, TIMESTAMPTZOID, TEXTOID, INT8OID};
    Datum values[] = {Int64GetDatum(news.hook_id), TimestampTzGetDatum(news.at),
                      CStringGetTextDatum(news.target_url), Int64GetDatum(news.failing_us)};
    run_plan(kept_plan(&failing_plan,
                       "INSERT INTO whisperer.hook_run AS r (hook_id, failing_since, "
                       "failing_url_hash, failing_for) SELECT h.id, $2, "
                       "hashtextextended(h.target_url, 0), $4 * interval '1 microsecond' "
                       "FROM whisperer.hook_definition h WHERE h.id = $1 AND h.target_url = $3 "
                       "ON CONFLICT (hook_id) DO UPDATE SET failing_since = "
                       "excluded.failing_since, failing_url_hash = excluded.failing_url_hash, "
                       "failing_for = excluded.failing_for",
                       lengthof(types), types),
             values, nullptr, false, 0, SPI_OK_INSERT);
}

void write_function(const HookNews& news) {
    static SPIPlanPtr failed_plan, works_plan, survived_plan;
    if (news.news == News::FunctionSurvived) {
        run_news(NEWS_ROW("function_began", "NULL", "function_began = NULL"), &survived_plan, news);
        return;
    }
    if (news.news == News::FunctionWorks) {
        run_news(NEWS_ROW("function_timeouts", "0", "function_timeouts = 0"), &works_plan, news);
        return;
    }
    const Oid types[] = {INT8OID, TEXTOID, INT4OID};
    WhispererSpan error = {news.reason, strlen(news.reason)};
    Datum values[] = {Int64GetDatum(news.hook_id), PointerGetDatum(server_from_utf8(error)),
                      Int32GetDatum(news.timeouts)};
    run_plan(kept_plan(&failed_plan,
                       "INSERT INTO whisperer.hook_run AS r (hook_id, function_error, "
                       "function_error_at, function_timeouts) SELECT h.id, $2, now(), $3 "
                       "FROM whisperer.hook_definition h WHERE h.id = $1 ON CONFLICT (hook_id) "
                       "DO UPDATE SET function_error = excluded.function_error, "
                       "function_error_at = excluded.function_error_at, "
                       "function_timeouts = excluded.function_timeouts",
                       lengthof(types), types),
             values, nullptr, false, 0, SPI_OK_INSERT);
}

}  // namespace

HookNewsList* create_news_list(MemoryContext context, MemoryContext texts) {
    HookNewsList* all = (HookNewsList*)MemoryContextAllocZero(context, sizeof(HookNewsList));
    all->context = texts;
    all->capacity = 16;
    all->list = (HookNews*)MemoryContextAlloc(context, sizeof(HookNews) * all->capacity);
    return all;
}

void note_outcome(HookNewsList* all, Hook* hook, const WhispererOutcome& outcome) {
    if (hook == nullptr || !outcome.attempted || outcome.kind == WhispererParked ||
        outcome.outdated || hook->run->is_disabled)
        return;
    if (outcome.hook_gone) {
        disable(all, hook, "the receiver answered 410 Gone");
    } else if (outcome.kind != WhispererDelivered) {
        note_failure(all, hook);
    } else {
        if (hook->run->failing_written != 0)
            add_news(all, {News::Recovered, hook->id, 0, nullptr, true, 0, nullptr});
        hook->run->failing_since = hook->run->failing_written = 0;
    }
}

void note_circuit(HookNewsList* all, Hook* hook, const WhispererCircuit& circuit) {
    HookRun* run = hook->run;
    bool is_open = circuit.state != WhispererCircuitClosed;
    HookNews news = {};
    news.news = is_open ? News::CircuitOpened : News::CircuitClosed;
    news.hook_id = hook->id;
    news.is_silent = is_open == run->circuit_is_open;
    if (is_open) {
        news.at = GetCurrentTimestamp() + circuit.retry_after_ms * 1000;
        news.reason = MemoryContextStrdup(all->context, circuit.reason);
    }
    run->circuit_is_open = is_open;
    add_news(all, news);
}

void note_function(HookNewsList* all, Hook* hook, const char* error, bool timed_out) {
    HookRun* run = hook->run;
    int before = run->function_timeouts;
    run->function_timeouts = timed_out ? before + 1 : 0;
    if (error)
        add_news(all,
                 {News::FunctionFailed, hook->id, 0, error, true, run->function_timeouts, nullptr});
    else if (before > 0 || run->timeouts_are_old)
        add_news(all, {News::FunctionWorks, hook->id, 0, nullptr, true, 0, nullptr});
    run->timeouts_are_old = false;
    if (run->call_is_marked)
        add_news(all, {News::FunctionSurvived, hook->id, 0, nullptr, true, 0, nullptr});
    run->call_is_marked = false;
    run->is_survived = true;
    if (before < function_timeouts_max && run->function_timeouts >= function_timeouts_max)
        disable_for_functions(all, hook, "ten time-outs of its functions in a row");
}

void note_cut_call(HookNewsList* all, Hook* hook) {
    HookRun* run = hook->run;
    constexpr const char* error = "the server crashed during a call";
    run->call_was_cut = false;
    run->function_timeouts += timeouts_of_a_crash;
    add_news(all,
             {News::FunctionFailed, hook->id, 0, error, true, run->function_timeouts, nullptr});
    if (run->function_timeouts >= function_timeouts_max)
        disable_for_functions(all, hook, "the server crashed twice during a call of its functions");
}

void mark_call(Hook* hook) {
    HookRun* run = hook->run;
    static SPIPlanPtr plan;
    const Oid types[] = {INT8OID, INT4OID};
    Datum values[] = {Int64GetDatum(hook->id), Int32GetDatum(run->function_timeouts)};
    begin_transaction("marking a call of a hook's function");
    run_plan(kept_plan(&plan,
                       "INSERT INTO whisperer.hook_run AS r (hook_id, function_began, "
                       "function_timeouts) SELECT h.id, clock_timestamp(), $2 "
                       "FROM whisperer.hook_definition h WHERE h.id = $1 ON CONFLICT (hook_id) "
                       "DO UPDATE SET function_began = excluded.function_began, "
                       "function_timeouts = excluded.function_timeouts",
                       lengthof(types), types),
             values, nullptr, false, 0, SPI_OK_INSERT);
    commit_transaction();
    // The worker's commits wait for nothing, and for a standby nothing needs to wait here.
    XLogFlush(XactLastCommitEnd);
    run->call_is_marked = true;
}

void note_fresh(HookNewsList* all, Hook* hook) {
    HookRun* run = hook->run;
    if (run->circuit_is_stale)
        add_news(all, {News::CircuitClosed, hook->id, 0, nullptr, true, 0, nullptr});
    if (run->failing_is_stale) {
        add_news(all, {News::Recovered, hook->id, 0, nullptr, true, 0, nullptr});
        run->failing_written = 0;
    }
    run->circuit_is_stale = run->failing_is_stale = false;
}

void write_news(const HookNewsList* all) {
    for (int i = 0; i < all->count; i++) {
        const HookNews& news = all->list[i];
        switch (news.news) {
            case News::Disabled:
                write_disabled(news);
                break;
            case News::CircuitOpened:
            case News::CircuitClosed:
                write_circuit(news);
                break;
            case News::Failing:
            case News::Recovered:
                write_failing(news);
                break;
            case News::FunctionFailed:
            case News::FunctionWorks:
            case News::FunctionSurvived:
                write_function(news);
                break;
        }
    }
}

void tell_of_failure(const LedgerEntry& entry) {
    static SPIPlanPtr plan;
    const Oid types[] = {INT8OID, UUIDOID, XID8OID, INT2OID, INT4OID, INT4OID, TEXTOID};
    char nulls[] = {' ',
                    ' ',
                    ' ',
                    ' ',
                    ' ',
                    entry.http_status == 0 ? 'n' : ' ',
                    entry.error.size == 0 ? 'n' : ' ',
                    '\0'};
    Datum values[] = {
        Int64GetDatum(entry.hook_id),
        UUIDPGetDatum(&entry.event_id),
        UInt64GetDatum(entry.xid),
        Int16GetDatum(entry.slot),
        Int32GetDatum(entry.retry_count),
        Int32GetDatum(entry.http_status),
        entry.error.size > 0 ? PointerGetDatum(server_from_utf8(entry.error)) : (Datum)0};
    run_plan(kept_plan(
                 &plan,
                 "INSERT INTO whisperer.outbox (id, event_type, data, hook_id) "
                 "SELECT whisperer_internal.new_event_id(), 'whisperer-delivery-failed', "
                 "json_build_object('hook_id', $1, 'event_id', $2, 'event_type', "
                 "e.event_type, 'attempts', $5, 'response_http_status', $6, 'error', $7), "
                 "o.hook_id FROM whisperer.outbox e, "
                 "whisperer_internal.operator_hooks($1, 'whisperer-delivery-failed') AS o(hook_id) "
                 "WHERE e.xid = $3 AND e.id = $2 AND e.slot = $4",
                 lengthof(types), types),
             values, nulls, false, 0, SPI_OK_INSERT);
}

}  // namespace whisperer::pg
