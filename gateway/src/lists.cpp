// Pages of lists, of one database or several; see lists.h.
#include "lists.h"

#include <algorithm>

#include "encoding.h"
#include "json_text.h"

namespace whisperer::gateway {

namespace {

// What a page holds at most, as of one database (database.cpp).
constexpr std::size_t page_bytes_max = 1024 * 1024;

struct Page {
    std::vector<std::string> rows;
    std::string next;    // where the list goes on; empty: it does not
    std::string beside;  // more members of the object
};

Answer page_answer(const Call& call, const Page& page) {
    Answer answer;
    // Clients of dj-whisperer take a list to be an array.
    const bool is_bare = wants_dj_whisperer(call.request.accept);
    answer.body = is_bare ? "[" : "{\"results\": [";
    for (const std::string& row : page.rows)
        answer.body.append(&row == &page.rows.front() ? "" : ",\n").append(row);
    if (is_bare) {
        answer.body += "]";
        answer.content_type = "application/json; profile=dj-whisperer";
    } else {
        answer.body.append("], \"next\": ");
        answer.body.append(page.next.empty() ? "null" : "\"" + page.next + "\"");
        answer.body.append(page.beside).append("}");
    }
    if (!page.next.empty())
        answer.headers.emplace_back("Link", "<" + page.next + ">; rel=\"next\"");
    return answer;
}

int column_of(const Call& call) {
    return wants_dj_whisperer(call.request.accept) ? call.route.bare_column : 0;
}

// The limit is the last of the values, and one more than was asked for.
std::size_t most_rows(const Call& call) {
    return std::stoul(*call.values.back()) - 1;
}

// Numbers and ids of events: of the same length, or the shorter one is less.
int compare_ids(std::string_view one, std::string_view other) {
    if (one.size() != other.size())
        return one.size() < other.size() ? -1 : 1;
    return one.compare(other);
}

// Cursors, which say what their rows are placed by (ordering.h): a key, then the id, which is one
// number or text or two.  In hex, texts are in the same order as their bytes.
int compare_places(std::string_view one, std::string_view other) {
    const auto key = [](std::string_view cursor) {
        const std::size_t dot = cursor.find('.');
        return dot == std::string_view::npos ? std::string_view{} : cursor.substr(dot);
    };
    if (const int keys = key(one).compare(key(other)); keys != 0)
        return keys;
    one = one.substr(0, one.find('.'));
    other = other.substr(0, other.find('.'));
    const std::size_t dash = std::min(one.find('-'), one.size());
    const std::size_t other_dash = std::min(other.find('-'), other.size());
    const int first = compare_ids(one.substr(0, dash), other.substr(0, other_dash));
    return first != 0 ? first : compare_ids(one.substr(dash), other.substr(other_dash));
}

// One database's part in a page.
struct Part {
    const Said* said;
    std::size_t row = 0;

    bool has_row() const { return said->rows && row < said->rows->count(); }
    // The page may not go on without what follows the rows that came.
    bool is_cut_short() const { return said->rows && !has_row() && said->rows->is_cut(); }
    std::string_view place() const { return said->rows->text(row, 1); }
};

Part* next_part(std::vector<Part>& parts, bool is_down) {
    Part* next = nullptr;
    for (Part& part : parts) {
        if (part.is_cut_short())
            return nullptr;
        if (!part.has_row())
            continue;
        const int order = next == nullptr ? -1 : compare_places(part.place(), next->place());
        if (next == nullptr || (is_down ? order > 0 : order < 0))
            next = &part;
    }
    return next;
}

// places: where each database goes on, as the cursor has it.
Page merged(const Call& call, const std::vector<Said>& all, bool is_down,
            std::vector<std::string> places) {
    std::vector<Part> parts;
    for (const Said& said : all)
        parts.push_back({&said});
    Page page;
    std::size_t bytes = 0;
    while (page.rows.size() < most_rows(call) && bytes < page_bytes_max) {
        Part* const part = next_part(parts, is_down);
        if (part == nullptr)
            break;
        places[part->said->number] = part->place();
        page.rows.push_back(with_database(part->said->rows->text(part->row, column_of(call)),
                                          part->said->database));
        bytes += page.rows.back().size();
        part->row++;
    }
    if (std::any_of(parts.begin(), parts.end(),
                    [](const Part& part) { return part.has_row() || part.is_cut_short(); })) {
        std::string cursor;
        for (const std::string& place : places)
            cursor.append(&place == &places.front() ? "" : "~").append(place);
        page.next = next_page(call.request, cursor);
    }
    page.beside = unavailable_member(all);
    return page;
}

}  // namespace

Answer list_answer(const Call& call, const Rows& rows) {
    const std::size_t most = most_rows(call);
    const std::size_t shown = std::min(rows.count(), most);
    Page page;
    for (std::size_t row = 0; row < shown; row++)
        page.rows.emplace_back(rows.text(row, column_of(call)));
    if (rows.count() > most || rows.is_cut())
        page.next = next_page(call.request, rows.text(shown - 1, 1));
    return page_answer(call, page);
}

std::optional<std::size_t> database_of(const Request& request, Databases& databases) {
    const auto found = request.params.find("database");
    return found == request.params.end() ? std::nullopt
                                         : std::optional(databases.number_of(found->second));
}

std::vector<Said> ask_each(const Call& call, const Read& read) {
    Databases& databases = call.databases;
    if (!databases.are_several()) {
        Call one = call;
        return {{0, "", read(one), ""}};
    }
    const std::vector<std::string> names = databases.names();
    const std::optional<std::size_t> only = database_of(call.request, databases);
    std::vector<Said> all;
    for (std::size_t number = 0; number < databases.count(); number++) {
        if (only && number != *only)
            continue;
        Call one = call;
        one.database = number;
        one.is_beside = number > 0 && !only;
        Said said{number, names[number], {}, {}};
        if (number == 0)
            said.rows = read(one);
        else
            said.rows = databases.read(
                number, [&] { return read(one); }, said.fault);
        all.push_back(std::move(said));
    }
    return all;
}

bool may_have(const Call& call, const Value& hook) {
    static const Statement look[] = {
        Statement("SELECT whisperer_internal.is_hook_fed($1::bigint)")};
    return !call.is_beside || !hook || call.run(look, {{hook}}).text(0, 0) == "t";
}

Answer list_of_each(Call& call, const Order& order, const Read& read) {
    if (!call.databases.are_several())
        return list_answer(call, read(call));
    const std::vector<Place> places =
        read_places(call.request, call.route.parameters, call.databases.count());
    const std::vector<Said> all = ask_each(call, [&](Call& one) {
        const std::vector<Value>& values = places[one.database].values;
        std::copy(values.begin(), values.end(),
                  one.values.begin() + static_cast<std::ptrdiff_t>(order.cursor_at));
        return read(one);
    });
    std::vector<std::string> texts;
    for (const Place& place : places)
        texts.push_back(place.text);
    Answer answer = page_answer(call, merged(call, all, order.is_down, std::move(texts)));
    const auto missing =
        std::count_if(all.begin(), all.end(), [](const Said& said) { return !said.rows; });
    if (missing > 0)
        answer.headers.emplace_back("X-Unavailable-Databases", std::to_string(missing));
    return answer;
}

std::string with_database(std::string_view object, const std::string& database) {
    return "{\"database\" : " + json_string(database) + ", " + std::string(object.substr(1));
}

std::string unavailable_member(const std::vector<Said>& all) {
    std::string list;
    for (const Said& said : all)
        if (!said.rows)
            list.append(list.empty() ? "" : ", ")
                .append("{\"database\": " + json_string(said.database))
                .append(", \"message\": " + json_string(said.fault) + "}");
    return ", \"unavailable\": [" + list + "]";
}

}  // namespace whisperer::gateway
