// One connection to PostgreSQL, and what is run on it.
//
// A piece of work is sent and answered in one round trip (pipeline mode), in one transaction: first
// the role, by set_config(..., is_local => true), then its statements.  So the role ends with the
// transaction, whatever happens, and no other request can find it.  Statements are fixed texts;
// values are parameters, always as text.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

struct pg_conn;
struct pg_result;

namespace whisperer::gateway {

// A fixed text, prepared once per connection.  It outlives all connections.
class Statement {
  public:
    enum class Plan {
        Kept,       // made once per connection and role: planning costs more than most statements
        ForValues,  // made for the values: filters that are not given fall away
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

using Value = std::optional<std::string>;  // nothing: NULL.  Holds no NUL byte.

struct Work {
    std::string role = {};  // empty: as who logged in
    bool is_read_only = false;
    bool is_repeatable = false;  // doing it twice is as doing it once
    // Each takes the first of the values, as many as it has parameters.
    std::span<const Statement> statements;
    std::span<const Value> values = {};
};

// The rows of the last statement.
class Rows {
  public:
    explicit Rows(pg_result* result);
    std::size_t count() const;
    bool is_end() const;  // no rows at all, but the end of a piece of work
    bool is_null(std::size_t row, int column) const;
    std::string_view text(std::size_t row, int column) const;  // valid as long as this; NULL: empty

  private:
    std::shared_ptr<pg_result> result_;
};

// PostgreSQL refused.  The connection is good for the next work.
struct DatabaseError {
    std::string sqlstate;
    std::string message;
    std::string hint;
    std::string column;       // that is wrong; empty: none alone
    bool is_of_role = false;  // the role could not be taken
};

// There is no PostgreSQL, or it is no longer there; what() is for the log.
struct DatabaseLost : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Database {
  public:
    // Connects; throws DatabaseLost.
    explicit Database(const std::string& conninfo);

    // Throws DatabaseError, or DatabaseLost: then it is not known what of it was done, and this
    // connection is over.
    Rows run(const Work& work);

    // False if the server has hung up, or work left anything behind: then it must not be used.
    bool is_usable();

  private:
    struct Sent {
        const Statement* prepared;  // nothing: executed
        bool is_of_role;
    };

    void send(const Statement& statement, std::span<const Value> values, bool is_of_role,
              std::vector<Sent>& sent);
    Rows receive(const std::vector<Sent>& sent);
    pg_result* next_result(std::chrono::steady_clock::time_point deadline);

    std::unique_ptr<pg_conn, void (*)(pg_conn*)> connection_;
    std::set<const Statement*> prepared_;
    bool is_over_ = false;
};

}  // namespace whisperer::gateway
