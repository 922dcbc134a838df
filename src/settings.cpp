// The whisperer.* settings: name, unit, bounds, description and validation of each.  Called once
// per process, by _PG_init.
#include "src/settings.h"

#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

Settings settings;
RoleLimits* limits_of_all = nullptr;

namespace {

// A check hook must not ereport; it leaves the reason for PostgreSQL to show.
bool accept(WhispererCode code, const WhispererError& error) {
    if (code == WhispererOk)
        return true;
    GUC_check_errdetail("%s", error.message);
    if (error.hint[0] != '\0')
        GUC_check_errhint("%s", error.hint);
    return false;
}

bool check_networks(char** value, void**, GucSource) {
    WhispererError error = {};
    return accept(whisperer_check_networks({*value, strlen(*value)}, &error), error);
}

// Of a session it would be no one's business: the workers have sessions of their own.
bool check_enabled(bool*, void**, GucSource source) {
    if (source != PGC_S_SESSION && source != PGC_S_CLIENT)
        return true;
    GUC_check_errmsg("whisperer.enabled cannot be set in a session");
    GUC_check_errhint("Use ALTER DATABASE ... SET whisperer.enabled, or ALTER SYSTEM.");
    return false;
}

// What counts is the owner of a hook or the role of a token, whoever's session it is: see
// src/api/role_limits.cpp.
bool check_role_limit(const char* name, GucSource source) {
    if (source != PGC_S_SESSION && source != PGC_S_CLIENT)
        return true;
    GUC_check_errmsg("%s cannot be set in a session", name);
    GUC_check_errhint("Use ALTER ROLE ... SET %s, or ALTER SYSTEM.", name);
    return false;
}

bool check_max_hooks(int*, void**, GucSource source) {
    return check_role_limit("whisperer.max_hooks_per_role", source);
}

bool check_max_requests(int*, void**, GucSource source) {
    return check_role_limit("whisperer.max_requests_per_second", source);
}

// The postmaster knows no roles and reads its files before it tells anybody else to.
void share_max_hooks(int value, void*) {
    if (!IsUnderPostmaster && limits_of_all)
        limits_of_all->max_hooks = value;
}

void share_max_requests(int value, void*) {
    if (!IsUnderPostmaster && limits_of_all)
        limits_of_all->max_requests_per_second = value;
}

bool check_optional_url(char** value, void**, GucSource) {
    if (**value == '\0')
        return true;
    WhispererError error = {};
    return accept(whisperer_check_url({*value, strlen(*value)}, 0, &error), error);
}

constexpr config_enum_entry key_exchanges[] = {{"elliptic", KeyExchangeElliptic, false},
                                               {"unrestricted", KeyExchangeAny, false},
                                               {nullptr, 0, false}};

void define_bool(const char* name, const char* description, bool* value, bool initial) {
    DefineCustomBoolVariable(name, description, nullptr, value, initial, PGC_SIGHUP, 0, nullptr,
                             nullptr, nullptr);
}

void define_int(const char* name, const char* description, int* value, int initial, int low,
                int high, int unit) {
    DefineCustomIntVariable(name, description, nullptr, value, initial, low, high, PGC_SIGHUP, unit,
                            nullptr, nullptr, nullptr);
}

void define_string(const char* name, const char* description, char** value,
                   GucStringCheckHook check) {
    DefineCustomStringVariable(name, description, nullptr, value, "", PGC_SIGHUP,
                               GUC_SUPERUSER_ONLY, check, nullptr, nullptr);
}

void define_limits() {
    Settings& s = settings;
    define_int("whisperer.workers", "Number of delivery workers per database.", &s.workers, 1, 1,
               WHISPERER_WORKERS_MAX, 0);
    define_int("whisperer.poll_interval",
               "How often an idle worker looks for commits that set no latch.", &s.poll_interval_ms,
               1000, 10, 60000, GUC_UNIT_MS);
    define_int("whisperer.max_in_flight", "Requests in flight at once, per worker.",
               &s.max_in_flight, 256, 1, 10000, 0);
    define_int("whisperer.max_in_flight_per_hook", "Requests in flight at once, per hook.",
               &s.max_in_flight_per_hook, 64, 1, 10000, 0);
    define_int("whisperer.park_after",
               "A delivery that takes longer is parked in the ledger so that it holds up nobody.",
               &s.park_after_ms, 1000, 10, 60000, GUC_UNIT_MS);
    define_int("whisperer.request_timeout", "Longest time for one attempt.", &s.request_timeout_ms,
               10000, 100, 600000, GUC_UNIT_MS);
    define_int("whisperer.connect_timeout", "Longest time to connect, name resolution included.",
               &s.connect_timeout_ms, 5000, 100, 600000, GUC_UNIT_MS);
    define_int("whisperer.max_queued_bytes", "Bodies that a worker holds in memory at once.",
               &s.max_queued_bytes, 64 * 1024 * 1024, 1024 * 1024, 2000 * 1024 * 1024,
               GUC_UNIT_BYTE);
    define_int("whisperer.max_response_bytes", "Bytes kept of the answer to a failed attempt.",
               &s.max_response_bytes, 8 * 1024, 0, 64 * 1024, GUC_UNIT_BYTE);
    define_int("whisperer.max_payload",
               "A larger event is recorded, but its deliveries end as failed.",
               &s.max_payload_bytes, 1024 * 1024, 1024, 256 * 1024 * 1024, GUC_UNIT_BYTE);
    define_int("whisperer.callback_timeout",
               "Longest time for one call of a hook's function (transform, callback, countdown).",
               &s.callback_timeout_ms, 1000, 10, 600000, GUC_UNIT_MS);
    define_int("whisperer.helper_memory",
               "Memory of a process that runs hooks' functions, at most; -1: no limit.",
               &s.helper_memory_mb, 256, -1, 1024 * 1024, GUC_UNIT_MB);
    define_int("whisperer.worker_memory", "Memory of a worker, at most; -1: no limit.",
               &s.worker_memory_mb, 1024, -1, 1024 * 1024, GUC_UNIT_MB);
    // Of one role with ALTER ROLE, by superusers.
    DefineCustomIntVariable("whisperer.max_hooks_per_role",
                            "Hooks that a role may have, superusers excepted; -1: any number.",
                            nullptr, &s.max_hooks_per_role, 1000, -1, INT_MAX, PGC_SUSET, 0,
                            check_max_hooks, share_max_hooks, nullptr);
    DefineCustomIntVariable("whisperer.max_requests_per_second",
                            "Requests that a gateway takes of a role within a second; 0: any "
                            "number.",
                            nullptr, &s.max_requests_per_second, 0, 0, 1000000, PGC_SUSET, 0,
                            check_max_requests, share_max_requests, nullptr);
    define_int("whisperer.retention",
               "How long events and their deliveries are kept; what is still pending then fails.",
               &s.retention_s, 30 * 86400, 10, 10 * 366 * 86400, GUC_UNIT_S);
    define_int("whisperer.idempotency_window",
               "How long an idempotency_key stands for the event recorded with it; not longer than "
               "whisperer.retention.",
               &s.idempotency_window_s, 86400, 1, 10 * 366 * 86400, GUC_UNIT_S);
    define_int("whisperer.payload_retention",
               "How long the data of events and what receivers answered are kept; 0: as long as "
               "whisperer.retention.",
               &s.payload_retention_s, 0, 0, 10 * 366 * 86400, GUC_UNIT_S);
    define_int("whisperer.disable_after",
               "A hook with nothing but failures for this long is disabled.", &s.disable_after_s,
               5 * 86400, 1, 366 * 86400, GUC_UNIT_S);
}

}  // namespace

void define_settings() {
    Settings& s = settings;
    // Of one database with ALTER DATABASE, by superusers: its workers find it when they start.
    DefineCustomBoolVariable("whisperer.enabled", "Delivers events; recording goes on either way.",
                             nullptr, &s.enabled, true, PGC_SUSET, 0, check_enabled, nullptr,
                             nullptr);
    define_limits();
    define_bool("whisperer.circuit_breaker",
                "Leaves a hook alone for a while whose attempts mostly fail.", &s.circuit_breaker,
                true);
    define_bool("whisperer.log_deliveries",
                "Logs a line for each attempt and what came of it; never a payload.",
                &s.log_deliveries, false);
    define_bool("whisperer.track_hooks",
                "Counts what each hook does, for hook_stats and delivery_rate.", &s.track_hooks,
                true);
    define_bool("whisperer.require_https", "Accepts only https in target_url.", &s.require_https,
                false);
    DefineCustomEnumVariable("whisperer.tls_key_exchange",
                             "Key exchanges that TLS with receivers may use.", nullptr,
                             &s.tls_key_exchange, KeyExchangeElliptic, key_exchanges, PGC_SIGHUP, 0,
                             nullptr, nullptr, nullptr);
    define_string("whisperer.allowed_networks",
                  "Networks that may be reached although they are private: cidr[:port], ...",
                  &s.allowed_networks, check_networks);
    define_string("whisperer.denied_networks",
                  "Networks that may not be reached, beside the built-in list: cidr[:port], ...",
                  &s.denied_networks, check_networks);
    define_string("whisperer.divert_to", "Sends every request to this URL instead of its hook's.",
                  &s.divert_to, check_optional_url);
    define_string("whisperer.proxy", "URL of the HTTP proxy; empty for none.", &s.proxy, nullptr);
    define_string("whisperer.ca_file",
                  "File of certificate authorities that receivers are verified with; empty for the "
                  "system's.",
                  &s.ca_file, nullptr);
    // What the file says is not checked here: a value that is refused at start would be forgotten,
    // and secrets stored as they are.
    define_string("whisperer.secret_key_file",
                  "File of the keys that hooks' secrets are encrypted with; empty: they are not.",
                  &s.secret_key_file, nullptr);
    // No secret: what decides whose turn it is reads it with its caller's rights.
    DefineCustomStringVariable("whisperer.node",
                               "Name of this delivery node among those of its primary.", nullptr,
                               &s.node, "", PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomStringVariable("whisperer.hold_at",
                               "Developer option: the worker waits at the injection point of this "
                               "name.",
                               nullptr, &s.hold_at, "", PGC_SIGHUP,
                               GUC_SUPERUSER_ONLY | GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE, nullptr,
                               nullptr, nullptr);
    MarkGUCPrefixReserved("whisperer");
}

}  // namespace whisperer::pg
