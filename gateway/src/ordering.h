// ?ordering=field, or -field for the other way round, as Django REST framework has it: a list in
// the order that its client asks for.  Rows that are equal in the field follow their id.  So that a
// page begins where the one before has ended, whatever comes meanwhile, a cursor says what its row
// was placed by: as text in hex, behind the id and a dot.
#pragma once
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "route.h"

namespace whisperer::gateway {

class Ordering {
  public:
    struct Field {
        std::string_view name;
        std::string key;  // SQL: what places a row, as text; empty: its id alone
    };
    // What of the statement says where a row is.
    struct Places {
        std::string_view row;              // its alias; the rows have a column "key"
        std::vector<std::string_view> id;  // columns
        std::string_view cursor;           // parameters, as many
        std::string_view cursor_key;       // parameter
    };

    // text: has <key>, which gives that column, <after> and <order>.  usual: when nothing is asked
    // for.
    Ordering(const std::string& text, Statement::Plan plan, const Places& places,
             std::initializer_list<Field> fields, const std::string& usual);

    // As those of a Parameter.
    const std::string& choices() const { return choices_; }

    // Whether it is one of the choices, and by the id alone.
    bool is_by_id(const std::string& ordering) const;

    // Throws Problem if the cursor is of another order.
    const Statement& statement(const Value& ordering, const Value& cursor, const Value& key) const;

  private:
    struct One {
        bool has_key;
        Statement statement;
    };
    std::string choices_ = " ";
    std::string usual_;
    std::map<std::string, One> all_;
};

// Whether it is the other way round.
inline bool is_descending(std::string_view ordering) {
    return ordering.starts_with('-');
}

// SQL: the column that a list goes on by; id: an expression for what a cursor begins with.
std::string cursor_of(std::string_view id, std::string_view row);

// SQL: keys.  As texts they are in the same order as what they are of.
std::string time_key(std::string_view column);
std::string number_key(std::string_view column);  // not negative; NULL is before all

}  // namespace whisperer::gateway
