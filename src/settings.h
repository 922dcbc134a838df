// The whisperer.* settings as this process sees them now.  Set by PostgreSQL's GUC machinery; read
// by everybody; never written by us.
#pragma once

namespace whisperer::pg {

struct Settings {
    bool enabled;
    int workers;
    int poll_interval_ms;
    int max_in_flight;
    int max_in_flight_per_hook;
    int park_after_ms;
    int request_timeout_ms;
    int connect_timeout_ms;
    int max_queued_bytes;
    int max_response_bytes;
    int max_payload_bytes;
    int callback_timeout_ms;
    int helper_memory_mb;
    int worker_memory_mb;
    int max_hooks_per_role;
    int max_requests_per_second;
    int retention_s;
    int idempotency_window_s;
    int payload_retention_s;
    int disable_after_s;
    bool circuit_breaker;
    bool log_deliveries;
    bool track_hooks;
    bool require_https;
    int tls_key_exchange;  // KeyExchange
    char* allowed_networks;
    char* denied_networks;
    char* divert_to;
    char* proxy;
    char* ca_file;
    char* secret_key_file;
    char* node;
    char* hold_at;
};

extern Settings settings;

// What roles have of which nothing else is said, as the postmaster has it, in shared memory: the
// settings of a session may be what ALTER ROLE says of its login role.  Null when the library is
// not preloaded.
struct RoleLimits {
    int max_hooks;
    int max_requests_per_second;
};
extern RoleLimits* limits_of_all;

enum KeyExchange { KeyExchangeElliptic, KeyExchangeAny };

// Bytes kept of a 2xx answer: a success is read by nobody, and a large row costs the ledger dearly.
constexpr int success_response_bytes_max = 1024;

// Containment of a filter in an event, in steps of the engine's evaluation.
constexpr long long filter_steps_max = 1000000;

// Defines the settings.  _PG_init only.
void define_settings();

}  // namespace whisperer::pg
