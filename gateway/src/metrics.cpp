// The metrics; see metrics.h.  A family is a row of a table: its name, and the column that it
// shows.
#include "metrics.h"

#include "lists.h"
#include "log.h"
#include "text.h"
#include "words.h"

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
       coalesce(s.sent_again, 0), coalesce(s.invalid, 0)
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
    {"whisperer_worker_invalid_events_total",
     "counter",
     "Events that did not fit the schema of their type, sent or not.",
     {{"", "", 10}}},
};

// which: of the hooks' figures.
std::string each_hook(std::string_view which) {
    return filled(R"(
SELECT s.hook_id, s.delivered_total, s.failed_total, s.failed_attempts_total, s.pending,
       s.success_rate, extract(epoch FROM s.response_time_p50),
       extract(epoch FROM s.response_time_p95),
       extract(epoch FROM s.response_time_total),
       (s.circuit = 'closed')::integer, (s.circuit = 'half-open')::integer,
       (s.circuit = 'open')::integer,
       (s.state = 'active')::integer, (s.state = 'paused')::integer,
       (s.state = 'disabled')::integer, s.event_type, coalesce(left(s.description, 100), '')
FROM whisperer.hook_stats s WHERE <which> ORDER BY s.hook_id)",
                  {{"<which>", which}});
}
const Statement hooks[] = {Statement(each_hook("true"))};
const Statement hooks_beside[] = {Statement(each_hook(is_told_beside))};
constexpr int hook_event_type = 15;
constexpr int hook_description = 16;

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

// Of all hooks together, for who has too many of them for a series each.  No totals: those of hooks
// end with them, so that a sum would fall; the workers have totals.
std::string all_hooks(std::string_view which) {
    return filled(R"(
SELECT '', coalesce(sum(s.pending), 0), coalesce(sum(s.delivered), 0), coalesce(sum(s.failed), 0),
       count(*) FILTER (WHERE s.state = 'active'), count(*) FILTER (WHERE s.state = 'paused'),
       count(*) FILTER (WHERE s.state = 'disabled'), count(*) FILTER (WHERE s.circuit = 'closed'),
       count(*) FILTER (WHERE s.circuit = 'half-open'), count(*) FILTER (WHERE s.circuit = 'open')
FROM whisperer.hook_stats s WHERE <which>)",
                  {{"<which>", which}});
}
const Statement sums[] = {Statement(all_hooks("true"))};
const Statement sums_beside[] = {Statement(all_hooks(is_told_beside))};

const std::vector<Family> sum_families{
    {"whisperer_hooks_pending", "gauge", "Deliveries that wait for an attempt.", {{"", "", 1}}},
    {"whisperer_hooks_last_hour_deliveries",
     "gauge",
     "Deliveries that ended within the last hour, by outcome.",
     {{"", "outcome=\"delivered\"", 2}, {"", "outcome=\"failed\"", 3}}},
    {"whisperer_hooks",
     "gauge",
     "How many hooks are in each state.",
     {{"", "state=\"active\"", 4}, {"", "state=\"paused\"", 5}, {"", "state=\"disabled\"", 6}}},
    {"whisperer_hooks_circuits",
     "gauge",
     "How many circuits are in each state.",
     {{"", "state=\"closed\"", 7}, {"", "state=\"half-open\"", 8}, {"", "state=\"open\"", 9}}},
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

// A value of a label: what somebody wrote.
std::string label_value(std::string_view value) {
    std::string text = "\"";
    for (const char c : value) {
        if (c == '\\' || c == '"')
            text += '\\';
        text += c == '\n' ? "\\n" : std::string(1, c);
    }
    return text + "\"";
}

// Each label with a comma between.
void add_label(const std::string& label, std::string& labels) {
    if (!label.empty())
        labels.append(labels.empty() ? "" : ",").append(label);
}

// Of one of several databases; of the only one: empty.
std::string database_label(const std::string& database) {
    return database.empty() ? "" : "database=" + label_value(database);
}

void append_sample(const std::string& name, const std::string& labels, std::string_view value,
                   std::string& text) {
    text.append(name).append(labels.empty() ? "" : "{" + labels + "}");
    text.append(" ").append(value).append("\n");
}

// The first column names the row, if there are several: then label is its name.  A null is no
// sample.
void append(const Family& family, const char* label, const Said& said, std::string& text) {
    for (std::size_t row = 0; said.rows && row < said.rows->count(); row++)
        for (const Series& series : family.series) {
            if (said.rows->is_null(row, series.column))
                continue;
            std::string labels = database_label(said.database);
            if (*label != '\0')
                add_label(label + ("=" + label_value(said.rows->text(row, 0))), labels);
            add_label(series.labels, labels);
            append_sample(std::string(family.name) + series.suffix, labels,
                          said.rows->text(row, series.column), text);
        }
}

void append(const std::vector<Family>& families, const char* label, const std::vector<Said>& all,
            std::string& text) {
    for (const Family& family : families) {
        text += described(family.name, family.type, family.help);
        for (const Said& said : all)
            append(family, label, said, text);
    }
}

void append_hook_info(const std::vector<Said>& all, std::string& text) {
    text += described("whisperer_hook_info", "gauge", "1, with what the hook is for.");
    for (const Said& said : all)
        for (std::size_t row = 0; said.rows && row < said.rows->count(); row++) {
            std::string labels = database_label(said.database);
            add_label("hook_id=" + label_value(said.rows->text(row, 0)), labels);
            add_label("event_type=" + label_value(said.rows->text(row, hook_event_type)), labels);
            add_label("description=" + label_value(said.rows->text(row, hook_description)), labels);
            append_sample("whisperer_hook_info", labels, "1", text);
        }
}

void append_hooks(const Call& call, std::string& text) {
    const bool each = call.values.at(0).value_or("true") == "true";
    const std::vector<Said> all = ask_each(call, [each](Call& one) {
        if (each)
            return one.run(one.is_beside ? hooks_beside : hooks, {});
        return one.run(one.is_beside ? sums_beside : sums, {});
    });
    append(each ? hook_families : sum_families, each ? "hook_id" : "", all, text);
    if (each)
        append_hook_info(all, text);
}

void append_gauge(const std::string& name, const std::string& help, std::size_t value,
                  std::string& text) {
    text += described(name, "gauge", help) + name + " " + std::to_string(value) + "\n";
}

// Of each database's connections.
void append_pools(const Call& call, const std::vector<Said>& all, std::string& text) {
    const struct {
        const char* name;
        const char* help;
        std::size_t (Pool::*count)() const;
    } families[] = {
        {"whisperer_gateway_pool_connections", "Connections to the database.", &Pool::open},
        {"whisperer_gateway_pool_in_use", "Of those, how many work.", &Pool::in_use},
        {"whisperer_gateway_pool_size", "How many there may be.", &Pool::size}};
    for (const auto& [name, help, count] : families) {
        text += described(name, "gauge", help);
        for (const Said& said : all)
            append_sample(name, database_label(said.database),
                          std::to_string((call.databases.pool(said.number).*count)()), text);
    }
}

void append_up(const std::vector<Said>& all, std::string& text) {
    text += described("whisperer_gateway_database_up", "gauge",
                      "Whether the database says how its hooks are doing.");
    for (const Said& said : all)
        append_sample("whisperer_gateway_database_up", database_label(said.database),
                      said.rows ? "1" : "0", text);
}

}  // namespace

std::string metrics_text(const Call& call, const Statistics& statistics, std::size_t connections) {
    std::string text =
        described("whisperer_gateway_info", "gauge", "1, with the version of the gateway.") +
        "whisperer_gateway_info{version=\"" WHISPERER_VERSION "\"} 1\n";
    const auto each = [&call](std::span<const Statement> statements) {
        return ask_each(call, [statements](Call& one) { return one.run(statements, {}); });
    };
    const std::vector<Said> all = each(workers);
    append(worker_families, "worker", all, text);
    append_hooks(call, text);
    append(node_families, "node", each(nodes), text);
    if (call.databases.are_several())
        append_up(all, text);
    append_gauge("whisperer_gateway_connections", "Connections of clients.", connections, text);
    append_pools(call, all, text);
    text += described("whisperer_gateway_log_lines_dropped_total", "counter",
                      "Lines of the log that nobody took.") +
            "whisperer_gateway_log_lines_dropped_total " + std::to_string(log_lines_dropped()) +
            "\n";
    return text + statistics.text();
}

}  // namespace whisperer::gateway
