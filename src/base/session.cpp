// The pinned settings; see session.h.
#include "src/base/session.h"

#include "src/pg.h"

namespace whisperer::pg {

namespace {

// What would make a transaction of ours another one.
constexpr PinnedSetting transaction_settings[] = {
    {"search_path", "pg_catalog, pg_temp"},
    {"default_transaction_read_only", "off"},
    {"default_transaction_isolation", "read committed"},
    {"default_transaction_deferrable", "off"},
    {"statement_timeout", "0"},
    {"lock_timeout", "0"},
    {"idle_in_transaction_session_timeout", "0"},
};

// What postgresql.conf, the database or a superuser's role set for people must not change the
// worker. The planner switches: every statement of ours is a walk along an index, whatever the
// statistics of a table that was empty a minute ago say.
constexpr PinnedSetting worker_settings[] = {
    // In a deadlock with somebody's statement the worker notices first, and starts again.
    {"deadlock_timeout", "10ms"},
    // Which is also when a wait is logged (from 19 on unless it is switched off): a line for every
    // lock that somebody holds for 10 ms says nothing.
    {"log_lock_waits", "off"},
    // Losing the last transactions of the ledger costs duplicates, never events.
    {"synchronous_commit", "off"},
    {"enable_seqscan", "off"},
    {"enable_bitmapscan", "off"},
    {"enable_hashjoin", "off"},
    {"enable_mergejoin", "off"},
    {"plan_cache_mode", "force_generic_plan"},
    {"jit", "off"},
};

// What lets a function write, and its result depend on the arguments alone.
constexpr PinnedSetting function_settings[] = {
    {"session_replication_role", "origin"},
    {"row_security", "on"},
};

void pin(const PinnedSetting& setting) {
    SetConfigOption(setting.name, setting.value, PGC_SUSET, PGC_S_OVERRIDE);
}

template <size_t count>
void pin(const PinnedSetting (&settings)[count]) {
    for (const PinnedSetting& setting : settings)
        pin(setting);
}

void pin_transactions() {
    pin(transaction_settings);
    if (pg_has_transaction_timeout)
        pin(PinnedSetting{"transaction_timeout", "0"});
}

}  // namespace

void pin_session() {
    pin_transactions();
    pin(value_settings);
    pin(worker_settings);
}

void pin_session_of_functions() {
    pin_transactions();
    pin(value_settings);
    pin(function_settings);
}

}  // namespace whisperer::pg
