// PostgreSQL through libpq; see database.h.
#include "database.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "text.h"

namespace whisperer::gateway {

namespace {

// Beyond statement_timeout: then it is the network, or the server does not answer any more.
constexpr std::chrono::seconds answer_time{20};

const char* const session_settings =
    "SET search_path = pg_catalog, pg_temp; SET statement_timeout = '15s'; SET lock_timeout = "
    "'10s'; "
    "SET idle_in_transaction_session_timeout = '30s'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; "
    "SET IntervalStyle = 'postgres'; SET default_transaction_isolation = 'read committed'; "
    "SET client_min_messages = 'error'; SET jit = off";

const Statement take_role(
    "SELECT set_config('role', $1, true), set_config('plan_cache_mode', $2, true)");
const Statement take_role_to_read(take_role.text() +
                                  ", set_config('transaction_read_only', 'on', true)");

bool wants_plan_for_values(const Work& work) {
    return std::any_of(work.statements.begin(), work.statements.end(), [](const Statement& one) {
        return one.plan() == Statement::Plan::ForValues;
    });
}

std::string field(const PGresult* result, int code) {
    const char* const text = PQresultErrorField(result, code);
    return text == nullptr ? "" : text;
}

std::string message_of(const PGconn* connection) {
    std::string message = connection == nullptr ? "out of memory" : PQerrorMessage(connection);
    while (!message.empty() && message.back() == '\n')
        message.pop_back();
    return message;
}

}  // namespace

Statement::Statement(std::string text, Plan plan) : text_(std::move(text)), plan_(plan) {
    static std::atomic<int> made = 0;
    name_ = "gateway_" + std::to_string(++made);
    for (std::size_t i = 0; i + 1 < text_.size(); i++)
        if (text_[i] == '$' && is_digit(static_cast<unsigned char>(text_[i + 1])))
            parameters_ = std::max(parameters_, std::stoi(text_.substr(i + 1, 2)));
}

Rows::Rows(pg_result* result) : result_(result, PQclear) {}

std::size_t Rows::count() const {
    return static_cast<std::size_t>(PQntuples(result_.get()));
}

bool Rows::is_end() const {
    return PQresultStatus(result_.get()) == PGRES_PIPELINE_SYNC;
}

bool Rows::is_null(std::size_t row, int column) const {
    return PQgetisnull(result_.get(), static_cast<int>(row), column) == 1;
}

std::string_view Rows::text(std::size_t row, int column) const {
    const int at = static_cast<int>(row);
    return {PQgetvalue(result_.get(), at, column),
            static_cast<std::size_t>(PQgetlength(result_.get(), at, column))};
}

Database::Database(const std::string& conninfo) : connection_(nullptr, PQfinish) {
    // Those before dbname may be said otherwise in conninfo, those after it not.
    const char* const keywords[] = {
        "connect_timeout",  "keepalives_idle", "keepalives_interval", "tcp_user_timeout",
        "application_name", "dbname",          "client_encoding",     nullptr};
    const char* const values[] = {
        "3", "10", "5", "20000", "whisperer-gateway", conninfo.c_str(), "UTF8", nullptr};
    connection_.reset(PQconnectdbParams(keywords, values, 1));
    if (PQstatus(connection_.get()) != CONNECTION_OK)
        throw DatabaseLost(message_of(connection_.get()));
    const Rows done(PQexec(connection_.get(), session_settings));
    if (PQstatus(connection_.get()) != CONNECTION_OK ||
        PQtransactionStatus(connection_.get()) != PQTRANS_IDLE ||
        *PQerrorMessage(connection_.get()) != '\0')
        throw DatabaseLost("settings: " + message_of(connection_.get()));
    if (PQenterPipelineMode(connection_.get()) != 1)
        throw DatabaseLost("pipeline mode: " + message_of(connection_.get()));
}

Rows Database::run(const Work& work) {
    is_over_ = true;  // until all of the answer is there
    std::vector<Sent> sent;
    if (!work.role.empty()) {
        const Value with[] = {
            work.role, wants_plan_for_values(work) ? "force_custom_plan" : "force_generic_plan"};
        send(work.is_read_only ? take_role_to_read : take_role, with, true, sent);
    }
    for (const Statement& statement : work.statements)
        send(statement, work.values, false, sent);
    if (PQpipelineSync(connection_.get()) != 1)
        throw DatabaseLost(message_of(connection_.get()));
    return receive(sent);
}

void Database::send(const Statement& statement, std::span<const Value> values, bool is_of_role,
                    std::vector<Sent>& sent) {
    const int count = statement.parameters();
    if (values.size() < static_cast<std::size_t>(count))
        throw std::logic_error("too few values for " + statement.name());
    std::vector<const char*> texts;
    for (int i = 0; i < count; i++) {
        const Value& value = values[static_cast<std::size_t>(i)];
        texts.push_back(value ? value->c_str() : nullptr);
    }
    if (!prepared_.contains(&statement)) {
        if (PQsendPrepare(connection_.get(), statement.name().c_str(), statement.text().c_str(), 0,
                          nullptr) != 1)
            throw DatabaseLost(message_of(connection_.get()));
        sent.push_back({&statement, is_of_role});
    }
    if (PQsendQueryPrepared(connection_.get(), statement.name().c_str(), count, texts.data(),
                            nullptr, nullptr, 0) != 1)
        throw DatabaseLost(message_of(connection_.get()));
    sent.push_back({nullptr, is_of_role});
}

// For each thing that was sent a result and a NULL, and then what the Sync answers.
Rows Database::receive(const std::vector<Sent>& sent) {
    const auto deadline = std::chrono::steady_clock::now() + answer_time;
    std::optional<DatabaseError> error;
    Rows last(nullptr);
    for (const Sent& one : sent) {
        Rows rows(nullptr);
        while (pg_result* const result = next_result(deadline)) {
            rows = Rows(result);
            const ExecStatusType status = PQresultStatus(result);
            if (status == PGRES_PIPELINE_SYNC || status == PGRES_BAD_RESPONSE)
                throw DatabaseLost("the server answered out of turn");
            if (status == PGRES_FATAL_ERROR && !error)
                error = DatabaseError{field(result, PG_DIAG_SQLSTATE),
                                      field(result, PG_DIAG_MESSAGE_PRIMARY),
                                      field(result, PG_DIAG_MESSAGE_HINT),
                                      field(result, PG_DIAG_COLUMN_NAME), one.is_of_role};
        }
        // A statement stays prepared, whatever becomes of the transaction.
        if (one.prepared != nullptr && !error)
            prepared_.insert(one.prepared);
        last = rows;
    }
    const Rows sync(next_result(deadline));
    if (PQstatus(connection_.get()) != CONNECTION_OK || !sync.is_end())
        throw DatabaseLost(error ? error->message : message_of(connection_.get()));
    is_over_ = false;
    if (error)
        throw *error;
    return last;
}

pg_result* Database::next_result(std::chrono::steady_clock::time_point deadline) {
    while (PQisBusy(connection_.get()) == 1) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        pollfd ready{PQsocket(connection_.get()), POLLIN, 0};
        if (left.count() <= 0 || poll(&ready, 1, static_cast<int>(left.count())) == 0)
            throw DatabaseLost("the server did not answer within 20 s");
        if (PQconsumeInput(connection_.get()) != 1)
            throw DatabaseLost(message_of(connection_.get()));
    }
    return PQgetResult(connection_.get());
}

bool Database::is_usable() {
    if (is_over_ || PQstatus(connection_.get()) != CONNECTION_OK ||
        PQtransactionStatus(connection_.get()) != PQTRANS_IDLE)
        return false;
    // Between two pieces of work the server says nothing, unless it says good-bye.
    pollfd ready{PQsocket(connection_.get()), POLLIN, 0};
    if (poll(&ready, 1, 0) == 0)
        return true;
    return PQconsumeInput(connection_.get()) == 1 && (ready.revents & (POLLERR | POLLHUP)) == 0 &&
           PQstatus(connection_.get()) == CONNECTION_OK;
}

}  // namespace whisperer::gateway
