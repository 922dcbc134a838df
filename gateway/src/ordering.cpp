// A statement for each order of a list; see ordering.h.
#include "ordering.h"

#include "problem.h"
#include "text.h"

namespace whisperer::gateway {

namespace {

// The columns of the id, each with what follows it.
std::string id_of(const Ordering::Places& places, std::string_view behind) {
    std::string id;
    for (const std::string_view column : places.id)
        id.append(id.empty() ? "" : ", ")
            .append(places.row)
            .append(".")
            .append(column)
            .append(behind);
    return id;
}

std::string order_by(const Ordering::Places& places, bool has_key, std::string_view direction) {
    return filled(
        has_key ? "<row>.key<direction>, <id>" : "<id>",
        {{"<row>", places.row}, {"<direction>", direction}, {"<id>", id_of(places, direction)}});
}

// By its id alone a row is found by an index, which needs the comparison to be of the id's columns.
// Whether there is a cursor its first value says: ROW(NULL, NULL) IS NULL would not fall away.
std::string after(const Ordering::Places& places, bool has_key, std::string_view comparison) {
    return filled(has_key
                      ? "(<first> IS NULL OR (<row>.key, <id>) <is> (<cursor_key>, <cursor>))"
                      : "(<cursor_key> IS NULL AND (<first> IS NULL OR (<id>) <is> (<cursor>)))",
                  {{"<row>", places.row},
                   {"<id>", id_of(places, "")},
                   {"<is>", comparison},
                   {"<first>", places.cursor.substr(0, places.cursor.find(','))},
                   {"<cursor>", places.cursor},
                   {"<cursor_key>", places.cursor_key}});
}

}  // namespace

Ordering::Ordering(const std::string& text, Statement::Plan plan, const Places& places,
                   std::initializer_list<Field> fields, const std::string& usual)
    : usual_(usual) {
    for (const Field& field : fields)
        for (const bool is_down : {false, true}) {
            const std::string name = (is_down ? "-" : "") + std::string(field.name);
            const bool has_key = !field.key.empty();
            choices_ += name + " ";
            all_.try_emplace(
                name,
                One{has_key,
                    Statement(
                        filled(text,
                               {{"<key>", has_key ? field.key : std::string("NULL::text")},
                                {"<after>", after(places, has_key, is_down ? "<" : ">")},
                                {"<order>", order_by(places, has_key, is_down ? " DESC" : "")}}),
                        plan)});
        }
}

bool Ordering::is_by_id(const std::string& ordering) const {
    const auto found = all_.find(ordering);
    return found != all_.end() && !found->second.has_key;
}

const Statement& Ordering::statement(const Value& ordering, const Value& cursor,
                                     const Value& key) const {
    const One& one = all_.at(ordering.value_or(usual_));
    if (cursor && key.has_value() != one.has_key)
        throw bad_field("cursor", "is of a list in another order");
    return one.statement;
}

std::string cursor_of(std::string_view id, std::string_view row) {
    return filled("<id> || coalesce('.' || encode(convert_to(<row>.key, 'UTF8'), 'hex'), '')",
                  {{"<id>", id}, {"<row>", row}});
}

std::string time_key(std::string_view column) {
    return filled("to_char(<column> AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS')",
                  {{"<column>", column}});
}

std::string number_key(std::string_view column) {
    return filled("coalesce(lpad(<column>::text, 19, '0'), '')", {{"<column>", column}});
}

}  // namespace whisperer::gateway
