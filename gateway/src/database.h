// One connection to PostgreSQL, and what is run on it.
//
// A piece of work is sent and answered in one round trip (pipeline mode), in one transaction: first
// the role, by set_config(..., is_local => true), then its statements.  So the role ends with the
// transaction, whatever happens, and no other request can find it.  Statements are fixed texts;
// values are parameters, always as text.  Behind a pooler nothing is kept in a session.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

struct pg_cancel;
struct pg_conn;
struct pg_result;

namespace whisperer::gateway {

// A fixed text, prepared once per connection.  It outlives all connections.
class Statement {
  public:
    enum class Plan {
        Kept,         // made once per connection and role: planning costs more than most statements
        KeptInOrder,  // so, too, and nothing is sorted: rows come in an index's order.  Kept since
                      // a partition was empty, a plan would go on to sort all that came into it
        ForValues,    // made for the values: filters that are not given fall away
    };

    explicit Statement(std::string text, Plan plan = Plan::Kept);
    const std::string& text() const { return text_; }
    const std::string& name() const { return name_; }
    Plan plan() const { return plan_; }
    int parameters() const { return parameters_; }  // $1 to this

  private:
    std::string text_;
    std::string name_;
    Plan plan_;
    int parameters_ = 0;
};

// For the whole of an answer.  Beyond statement_timeout, which does not count while a transaction
// is committed: one may wait for a synchronous standby.
constexpr std::chrono::seconds answer_time{20};
// Of one of several databases, which the others do not wait for.
constexpr std::chrono::seconds answer_time_beside{5};

using Value = std::optional<std::string>;  // nothing: NULL.  Holds no NUL byte.

struct Work {
    std::string role = {};  // empty: as who logged in
    bool is_read_only = false;
    bool is_repeatable = false;  // doing it twice is as doing it once
    bool is_patient = true;      // waits for a connection, if there is none
    bool is_list = false;        // what is more than a page may hold is left out
    bool wants_primary = false;  // a server that takes no writes is not what it is for
    std::chrono::seconds answer_time = gateway::answer_time;
    // Each takes the first of the values, as many as it has parameters.
    std::span<const Statement> statements;
    std::span<const Value> values = {};
};

// The rows of the last statement.
class Rows {
  public:
    explicit Rows(pg_result* result);
    std::size_t count() const;
    // Of a list: there were more, and these are as many as a page may hold.
    bool is_cut() const { return is_cut_; }
    // What else a result may be: of a piece of work the end, an error, nothing more of this
    // statement.
    bool is_end() const;
    bool is_error() const;
    bool is_single() const;  // one row that others follow
    bool is_nothing() const { return result_ == nullptr; }
    const pg_result* get() const { return result_.get(); }
    bool is_null(std::size_t row, int column) const;
    std::string_view text(std::size_t row, int column) const;  // valid as long as this; NULL: empty

    // A row that came by itself; the first is always taken, others while they fit.
    void append(Rows row);

  private:
    std::pair<const pg_result*, int> at(std::size_t row) const;

    std::shared_ptr<pg_result> result_;
    std::vector<std::shared_ptr<pg_result>> single_;  // in place of result_
    std::size_t single_bytes_ = 0;
    bool is_cut_ = false;
};

// PostgreSQL refused.  The connection is good for the next work.
struct DatabaseError {
    std::string sqlstate;
    std::string message;
    std::string hint;
    std::string column;       // that is wrong; empty: none alone
    std::string constraint;   // of a table, that refused; empty: none did
    bool is_of_role = false;  // the role could not be taken
};

// There is no PostgreSQL, or it is no longer there; what() is for the log.
struct DatabaseLost : std::runtime_error {
    explicit DatabaseLost(const std::string& why, bool late = false)
        : std::runtime_error(why), is_late(late) {}
    bool is_late;  // it is there, but did not answer in time
};

// Where a connection string leads, for people and without a secret; empty: it does not say.
std::string place_of(const std::string& conninfo);

class Database {
  public:
    // Connects, to a server that takes writes if the connection string leads to one; throws
    // DatabaseLost.
    explicit Database(const std::string& conninfo);

    // Throws DatabaseError, or DatabaseLost: then it is not known what of it was done, and the
    // server may be at it still.
    Rows run(const Work& work);

    // False if the server has hung up, or work left anything behind: then it must not be used.
    bool is_usable();
    // The server takes no writes: a standby, or default_transaction_read_only.
    bool is_read_only() const;

    // After DatabaseLost: what the server is at.  Gone: nothing, and it has hung up.
    enum class Parting { Working, Usable, Gone };
    bool has_ended() const { return has_ended_; }
    // It will not be used again.
    void retire() { is_over_ = true; }
    // Waits for so long at most.
    Parting part(std::chrono::milliseconds time);
    // What asks the server to end what it is at.  It may wait for the network for long, and may be
    // called while another thread is in run, or when this is gone.
    using Cancel = std::function<void()>;
    Cancel cancel() const;

  private:
    using Time = std::chrono::steady_clock::time_point;
    struct Sent {
        const Statement* prepared;  // nothing: executed
        bool is_of_role;
    };

    Rows ask(const char* text);
    void send(const Statement& statement, std::span<const Value> values, bool is_of_role);
    Rows receive(Time deadline);
    void receive_end(Time deadline);
    void wait_until_lent();
    void wait_until_sent(Time deadline);
    void wait_for_server(Time deadline, short more);  // more: of poll's events
    pg_result* next_result(Time deadline);

    std::unique_ptr<pg_conn, void (*)(pg_conn*)> connection_;
    std::shared_ptr<pg_cancel> cancel_;
    std::set<const Statement*> prepared_;
    // Of the work that is under way, or was last:
    std::vector<Sent> sent_;
    std::size_t received_ = 0;
    std::optional<DatabaseError> error_;
    bool is_list_ = false;
    bool is_pooled_ = false;  // statements are not kept, for the session is not ours
    bool is_sent_ = false;    // to its end
    bool is_over_ = false;
    bool has_ended_ = false;  // the server said that this session ends
};

}  // namespace whisperer::gateway
