// The metrics; see metrics.h.  A family is a row of a table: its name, and the column that it
// shows.
#include "metrics.h"

#include "log.h"

namespace whisperer::gateway {

namespace {

struct Series {
    const char* suffix;  // of the family's name
    const char* labels;  // beside that of the row
    int column;
};
struct Family {
    const char* name;
    const char* type;
    const char* help;
    std::vector<Series> series;
};

const Statement workers[] = {Statement(R"(
SELECT s.worker, (s.state <> 'down')::integer, (s.state = 'paused')::integer, s.lag_events,
       s.lag_seconds, s.in_flight, s.queued, s.delivered, s.failed,
       coalesce(s.sent_again, 0)
FROM whisperer.status s ORDER BY s.worker)")};

const std::vector<Family> worker_families{
    {"whisperer_worker_up", "gauge", "Whether the worker runs.", {{"", "", 1}}},
    {"whisperer_worker_paused", "gauge", "Whether delivery is paused.", {{"", "", 2}}},
    {"whisperer_worker_lag_events",
     "gauge",
     "Events that are recorded and not yet done.",
     {{"", "", 3}}},
    {"whisperer_worker_lag_seconds", "gauge", "Age of the oldest of them.", {{"", "", 4}}},
    {"whisperer_worker_in_flight", "gauge", "Requests under way.", {{"", "", 5}}},
    {"whisperer_worker_queued",
     "gauge",
     "Deliveries in the worker's memory that wait.",
     {{"", "", 6}}},
    {"whisperer_worker_deliveries_total",
     "counter",
     "Deliveries since the worker began, by outcome.",
     {{"", "outcome=\"delivered\"", 7}, {"", "outcome=\"failed\"", 8}}},
    {"whisperer_worker_sent_again_total",
     "counter",
     "Requests that went out a second time because their connection had been left.",
     {{"", "", 9}}},
};

const Statement hooks[] = {Statement(R"(
SELECT s.hook_id, s.delivered_total, s.failed_total, s.failed_attempts_total, s.pending,
       s.success_rate, extract(epoch FROM s.response_time_p50),
       extract(epoch FROM s.response_time_p95),
       extract(epoch FROM s.response_time_total),
       (s.circuit = 'closed')::integer, (s.circuit = 'half-open')::integer,
       (s.circuit = 'open')::integer,
       (s.state = 'active')::integer, (s.state = 'paused')::integer, (s.state = 'disabled')::integer
FROM whisperer.hook_stats s ORDER BY s.hook_id)")};

const std::vector<Family> hook_families{
    {"whisperer_hook_deliveries_total",
     "counter",
     "Deliveries that have ended, by outcome.",
     {{"", "outcome=\"delivered\"", 1}, {"", "outcome=\"failed\"", 2}}},
    {"whisperer_hook_failed_attempts_total", "counter", "Attempts that failed.", {{"", "", 3}}},
    {"whisperer_hook_pending", "gauge", "Deliveries that wait for an attempt.", {{"", "", 4}}},
    {"whisperer_hook_success_ratio",
     "gauge",
     "Share of the last hour's deliveries that succeeded.",
     {{"", "", 5}}},
    {"whisperer_hook_response_time_seconds",
     "summary",
     "Time to a successful answer; quantiles of the last hour.",
     {{"", "quantile=\"0.5\"", 6},
      {"", "quantile=\"0.95\"", 7},
      {"_sum", "", 8},
      {"_count", "", 1}}},
    {"whisperer_hook_circuit_state",
     "gauge",
     "1 for the state that the hook's circuit is in.",
     {{"", "state=\"closed\"", 9}, {"", "state=\"half-open\"", 10}, {"", "state=\"open\"", 11}}},
    {"whisperer_hook_state",
     "gauge",
     "1 for the state that the hook is in.",
     {{"", "state=\"active\"", 12}, {"", "state=\"paused\"", 13}, {"", "state=\"disabled\"", 14}}},
};

const Statement nodes[] = {Statement(R"(
SELECT n.name, (n.state IN ('connected', 'here'))::integer, n.hooks, n.bytes_behind,
       n.seconds_behind, n.safe_wal_size
FROM whisperer.nodes n ORDER BY n.name)")};

const std::vector<Family> node_families{
    {"whisperer_node_up", "gauge", "Whether the delivery node is connected.", {{"", "", 1}}},
    {"whisperer_node_hooks", "gauge", "Hooks that it delivers.", {{"", "", 2}}},
    {"whisperer_node_behind_bytes", "gauge", "WAL that is kept for it.", {{"", "", 3}}},
    {"whisperer_node_behind_seconds",
     "gauge",
     "How long it is behind, or away (from PostgreSQL 17 on).",
     {{"", "", 4}}},
    {"whisperer_node_slot_safe_bytes",
     "gauge",
     "WAL that may be written before its slot is lost.",
     {{"", "", 5}}},
};

std::string described(const std::string& name, const std::string& type, const std::string& help) {
    return "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
}

// The first column names the row; a null is no sample.
void append(const std::vector<Family>& families, const char* label, const Rows& rows,
            std::string& text) {
    for (const Family& family : families) {
        text += described(family.name, family.type, family.help);
        for (std::size_t row = 0; row < rows.count(); row++)
            for (const Series& series : family.series) {
                if (rows.is_null(row, series.column))
                    continue;
                text.append(family.name).append(series.suffix).append("{").append(label);
                text.append("=\"").append(rows.text(row, 0)).append("\"");
                text.append(*series.labels == '\0' ? "" : ",").append(series.labels);
                text.append("} ").append(rows.text(row, series.column)).append("\n");
            }
    }
}

void append_gauge(const std::string& name, const std::string& help, std::size_t value,
                  std::string& text) {
    text += described(name, "gauge", help) + name + " " + std::to_string(value) + "\n";
}

}  // namespace

std::string metrics_text(const Call& call, const Statistics& statistics, std::size_t connections) {
    std::string text =
        described("whisperer_gateway_info", "gauge", "1, with the version of the gateway.") +
        "whisperer_gateway_info{version=\"" WHISPERER_VERSION "\"} 1\n";
    append(worker_families, "worker", call.run(workers), text);
    append(hook_families, "hook_id", call.run(hooks), text);
    append(node_families, "node", call.run(nodes), text);
    append_gauge("whisperer_gateway_connections", "Connections of clients.", connections, text);
    append_gauge("whisperer_gateway_pool_connections", "Connections to the database.",
                 call.pool.open(), text);
    append_gauge("whisperer_gateway_pool_in_use", "Of those, how many work.", call.pool.in_use(),
                 text);
    append_gauge("whisperer_gateway_pool_size", "How many there may be.", call.pool.size(), text);
    text += described("whisperer_gateway_log_lines_dropped_total", "counter",
                      "Lines of the log that nobody took.") +
            "whisperer_gateway_log_lines_dropped_total " + std::to_string(log_lines_dropped()) +
            "\n";
    return text + statistics.text();
}

}  // namespace whisperer::gateway
