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

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// A pooler in front of the server takes everybody in, and lets them wait: here, and before each
// transaction that it lends a session for.
constexpr std::chrono::seconds settings_time{3};
// The rows of a page, as they are held.
constexpr std::size_t list_bytes_max = 1024 * 1024;

// The server, too, finds out that the network between us is gone, and then ends the session.
const char* const session_settings =
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; "
    "SET tcp_user_timeout = '20s'; SET client_connection_check_interval = '5s'; "
    "SET search_path = pg_catalog, pg_temp; SET statement_timeout = '15s'; SET lock_timeout = "
    "'10s'; "
    "SET idle_in_transaction_session_timeout = '30s'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; "
    "SET IntervalStyle = 'postgres'; SET default_transaction_isolation = 'read committed'; "
    "SET client_min_messages = 'error'; SET jit = off";

// Behind a pooler that lends a session for a transaction, what is set would be others' to find: so
// it is set in each transaction, for that one.
const Statement transaction_settings(
    "SELECT set_config('search_path', 'pg_catalog, pg_temp', true), "
    "set_config('statement_timeout', '15s', true), set_config('lock_timeout', '10s', true), "
    "set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO', true), "
    "set_config('IntervalStyle', 'postgres', true), "
    "set_config('client_min_messages', 'error', true), set_config('jit', 'off', true)");

const Statement take_role(
    "SELECT set_config('role', $1, true), set_config('plan_cache_mode', $2, true), "
    "set_config('enable_sort', $3, true)");
const Statement take_role_to_read(take_role.text() +
                                  ", set_config('transaction_read_only', 'on', true)");

bool wants_plan(const Work& work, Statement::Plan plan) {
    return std::any_of(work.statements.begin(), work.statements.end(),
                       [plan](const Statement& one) { return one.plan() == plan; });
}

std::string field(const PGresult* result, int code) {
    const char* const text = PQresultErrorField(result, code);
    return text == nullptr ? "" : text;
}

DatabaseError error_of(const PGresult* result, bool is_of_role) {
    return {field(result, PG_DIAG_SQLSTATE),        field(result, PG_DIAG_MESSAGE_PRIMARY),
            field(result, PG_DIAG_MESSAGE_HINT),    field(result, PG_DIAG_COLUMN_NAME),
            field(result, PG_DIAG_CONSTRAINT_NAME), is_of_role};
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
    return single_.empty() ? static_cast<std::size_t>(PQntuples(result_.get())) : single_.size();
}

std::pair<const pg_result*, int> Rows::at(std::size_t row) const {
    return single_.empty() ? std::pair(result_.get(), static_cast<int>(row))
                           : std::pair(single_[row].get(), 0);
}

void Rows::append(Rows row) {
    single_bytes_ += PQresultMemorySize(row.get());
    is_cut_ = is_cut_ || (!single_.empty() && single_bytes_ > list_bytes_max);
    if (!is_cut_)
        single_.push_back(std::move(row.result_));
}

bool Rows::is_end() const {
    return PQresultStatus(result_.get()) == PGRES_PIPELINE_SYNC;
}

bool Rows::is_error() const {
    return PQresultStatus(result_.get()) == PGRES_FATAL_ERROR;
}

bool Rows::is_single() const {
    return PQresultStatus(result_.get()) == PGRES_SINGLE_TUPLE;
}

bool Rows::is_null(std::size_t row, int column) const {
    const auto [result, number] = at(row);
    return PQgetisnull(result, number, column) == 1;
}

std::string_view Rows::text(std::size_t row, int column) const {
    const auto [result, number] = at(row);
    return {PQgetvalue(result, number, column),
            static_cast<std::size_t>(PQgetlength(result, number, column))};
}

namespace {

using Opened = std::unique_ptr<PGconn, void (*)(PGconn*)>;

// sessions: of target_session_attrs.
Opened open_to(const std::string& conninfo, const char* sessions) {
    // Those before dbname may be said otherwise in conninfo, those after it not.
    const char* const keywords[] = {"connect_timeout",  "keepalives_idle",  "keepalives_interval",
                                    "tcp_user_timeout", "application_name", "target_session_attrs",
                                    "dbname",           "client_encoding",  nullptr};
    const char* const values[] = {
        "3", "10", "5", "20000", "whisperer-gateway", sessions, conninfo.c_str(), "UTF8", nullptr};
    return {PQconnectdbParams(keywords, values, 1), PQfinish};
}

bool is_on(PGconn* connection, const char* parameter) {
    const char* const value = PQparameterStatus(connection, parameter);
    return value != nullptr && std::strcmp(value, "on") == 0;
}

}  // namespace

std::string place_of(const std::string& conninfo) {
    const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> options(
        PQconninfoParse(conninfo.c_str(), nullptr), PQconninfoFree);
    const auto value_of = [&options](std::string_view keyword) -> std::string {
        for (const PQconninfoOption* one = options.get(); one != nullptr && one->keyword; one++)
            if (one->keyword == keyword && one->val != nullptr)
                return one->val;
        return {};
    };
    std::string place;
    for (const char* const keyword : {"host", "hostaddr", "port", "dbname"})
        if (const std::string value = value_of(keyword); !value.empty())
            place += (place.empty() ? "" : " ") + std::string(keyword) + "=" + value;
    return place;
}

Database::Database(const std::string& conninfo) : connection_(open_to(conninfo, "any")) {
    if (PQstatus(connection_.get()) != CONNECTION_OK)
        throw DatabaseLost(message_of(connection_.get()));
    // Of several hosts, or addresses of a host, the first that answered may be a standby.
    if (is_read_only()) {
        Opened other = open_to(conninfo, "read-write");
        if (PQstatus(other.get()) == CONNECTION_OK)
            connection_ = std::move(other);
    }
    cancel_.reset(PQgetCancel(connection_.get()), PQfreeCancel);
    if (PQsetnonblocking(connection_.get(), 1) != 0)
        throw DatabaseLost("settings: " + message_of(connection_.get()));
    // A pooler makes up a number for itself.
    const Rows pid = ask("SELECT pg_backend_pid()");
    is_pooled_ = pid.text(0, 0) != std::to_string(PQbackendPID(connection_.get()));
    if (!is_pooled_)
        ask(session_settings);
    if (PQenterPipelineMode(connection_.get()) != 1)
        throw DatabaseLost("pipeline mode: " + message_of(connection_.get()));
}

// At the start; the last result, which is no error.
Rows Database::ask(const char* text) {
    const Time deadline = Clock::now() + settings_time;
    if (PQsendQuery(connection_.get(), text) != 1)
        throw DatabaseLost("settings: " + message_of(connection_.get()));
    wait_until_sent(deadline);
    Rows last(nullptr);
    for (Rows rows(next_result(deadline)); !rows.is_nothing(); rows = Rows(next_result(deadline))) {
        if (rows.is_error())
            throw DatabaseLost("settings: " + message_of(connection_.get()));
        last = rows;
    }
    return last;
}

bool Database::is_read_only() const {
    return is_on(connection_.get(), "in_hot_standby") ||
           is_on(connection_.get(), "default_transaction_read_only");
}

Rows Database::run(const Work& work) {
    is_over_ = true;  // until all of the answer is there
    is_sent_ = false;
    is_list_ = work.is_list;
    sent_.clear();
    received_ = 0;
    error_.reset();
    if (is_pooled_) {
        send(transaction_settings, {}, false);
        // Answered by itself: that shows that a session is lent.
        if (PQsendFlushRequest(connection_.get()) != 1)
            throw DatabaseLost(message_of(connection_.get()));
    }
    if (!work.role.empty()) {
        const Value with[] = {work.role,
                              wants_plan(work, Statement::Plan::ForValues) ? "force_custom_plan"
                                                                           : "force_generic_plan",
                              wants_plan(work, Statement::Plan::KeptInOrder) ? "off" : "on"};
        send(work.is_read_only ? take_role_to_read : take_role, with, true);
    }
    for (const Statement& statement : work.statements)
        send(statement, work.values, false);
    if (PQpipelineSync(connection_.get()) != 1)
        throw DatabaseLost(message_of(connection_.get()));
    is_sent_ = true;
    if (is_pooled_)
        wait_until_lent();
    Rows rows = receive(Clock::now() + work.answer_time);
    if (error_)
        throw *error_;
    return rows;
}

// What the pooler has not passed on it drops when we hang up; the server is at nothing.
void Database::wait_until_lent() {
    const Time deadline = Clock::now() + settings_time;
    try {
        // Without a session, what is large is not even taken.
        for (int left = PQflush(connection_.get()); PQisBusy(connection_.get()) == 1;
             left = PQflush(connection_.get()))
            wait_for_server(deadline, left > 0 ? POLLOUT : 0);
    } catch (const DatabaseLost& lost) {
        if (!lost.is_late)
            throw;
        is_sent_ = false;
        throw DatabaseLost("the pooler lends no session", true);
    }
}

void Database::send(const Statement& statement, std::span<const Value> values, bool is_of_role) {
    const int count = statement.parameters();
    if (values.size() < static_cast<std::size_t>(count))
        throw std::logic_error("too few values for " + statement.name());
    std::vector<const char*> texts;
    for (int i = 0; i < count; i++) {
        const Value& value = values[static_cast<std::size_t>(i)];
        texts.push_back(value ? value->c_str() : nullptr);
    }
    if (is_pooled_) {
        if (PQsendQueryParams(connection_.get(), statement.text().c_str(), count, nullptr,
                              texts.data(), nullptr, nullptr, 0) != 1)
            throw DatabaseLost(message_of(connection_.get()));
        sent_.push_back({nullptr, is_of_role});
        return;
    }
    if (!prepared_.contains(&statement)) {
        if (PQsendPrepare(connection_.get(), statement.name().c_str(), statement.text().c_str(), 0,
                          nullptr) != 1)
            throw DatabaseLost(message_of(connection_.get()));
        sent_.push_back({&statement, is_of_role});
    }
    if (PQsendQueryPrepared(connection_.get(), statement.name().c_str(), count, texts.data(),
                            nullptr, nullptr, 0) != 1)
        throw DatabaseLost(message_of(connection_.get()));
    sent_.push_back({nullptr, is_of_role});
}

// For each thing that was sent a result and a NULL, and then what the Sync answers.  After a
// deadline that was missed it may be called again, and goes on where it was.
Rows Database::receive(Time deadline) {
    wait_until_sent(deadline);
    Rows last(nullptr);
    for (; received_ < sent_.size(); received_++) {
        const Sent& one = sent_[received_];
        const bool is_list = is_list_ && received_ + 1 == sent_.size();
        Rows page(nullptr);
        if (is_list)
            PQsetSingleRowMode(connection_.get());
        for (Rows rows(next_result(deadline)); !rows.is_nothing();
             rows = Rows(next_result(deadline))) {
            if (!rows.is_single())
                last = rows;
            if (rows.is_end())
                throw DatabaseLost("the server answered out of turn");
            if (rows.is_error() && !error_)
                error_ = error_of(rows.get(), one.is_of_role);
            if (rows.is_single())
                page.append(std::move(rows));
        }
        if (page.count() > 0)
            last = std::move(page);
        // A statement stays prepared, whatever becomes of the transaction.
        if (one.prepared != nullptr && !error_)
            prepared_.insert(one.prepared);
    }
    receive_end(deadline);
    is_over_ = false;
    return last;
}

// The Sync commits.  What is checked only then, or fails then, is an error like any other.
void Database::receive_end(Time deadline) {
    // An error, the NULL that follows it, and the end.
    for (int i = 0; i < 3; i++) {
        const Rows end(next_result(deadline));
        if (PQstatus(connection_.get()) != CONNECTION_OK) {
            has_ended_ = error_ && error_->sqlstate.starts_with("57P");
            throw DatabaseLost(error_ ? error_->message : message_of(connection_.get()));
        }
        if (end.is_end())
            return;
        if (end.is_error() && !error_)
            error_ = error_of(end.get(), false);
    }
    throw DatabaseLost("the server answered out of turn");
}

void Database::wait_for_server(Time deadline, short more) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
    pollfd ready{PQsocket(connection_.get()), static_cast<short>(POLLIN | more), 0};
    if (left.count() <= 0 || poll(&ready, 1, static_cast<int>(left.count())) == 0)
        throw DatabaseLost("the server did not answer in time", true);
    if (PQconsumeInput(connection_.get()) != 1)
        throw DatabaseLost(message_of(connection_.get()));
}

// It may send before it has read everything: so both directions are waited for.
void Database::wait_until_sent(Time deadline) {
    for (int left = PQflush(connection_.get()); left != 0; left = PQflush(connection_.get())) {
        if (left < 0)
            throw DatabaseLost(message_of(connection_.get()));
        wait_for_server(deadline, POLLOUT);
    }
}

pg_result* Database::next_result(Time deadline) {
    while (PQisBusy(connection_.get()) == 1)
        wait_for_server(deadline, 0);
    return PQgetResult(connection_.get());
}

Database::Cancel Database::cancel() const {
    return [cancel = cancel_] {
        char ignored[256];
        PQcancel(cancel.get(), ignored, sizeof ignored);
    };
}

Database::Parting Database::part(milliseconds time) {
    if (!is_sent_)  // then the server is at nothing
        return Parting::Gone;
    try {
        receive(Clock::now() + time);
    } catch (const DatabaseLost& lost) {
        return lost.is_late ? Parting::Working : Parting::Gone;
    }
    return is_usable() ? Parting::Usable : Parting::Gone;
}

bool Database::is_usable() {
    if (is_over_ || PQstatus(connection_.get()) != CONNECTION_OK ||
        PQtransactionStatus(connection_.get()) != PQTRANS_IDLE)
        return false;
    // Between two pieces of work the server says nothing, unless it says good-bye; the connection's
    // end may come a moment after that.
    pollfd ready{PQsocket(connection_.get()), POLLIN, 0};
    return poll(&ready, 1, 0) == 0;
}

}  // namespace whisperer::gateway
