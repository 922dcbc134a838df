// Walks over JSON text without building anything: positions, not values.
//
// Accepts exactly what PostgreSQL's json type does, which is more than most parsers take: numbers
// of any size, lone surrogates and \u0000.  Iterative, so that nesting costs no stack; every token
// and every 64 bytes of one cost a step.  Used for filters.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace whisperer::engine {

enum class JsonKind { Object, Array, String, Number, True, False, Null };

// Thrown within a filter's reading and questions only: not JSON, or out of steps.
struct JsonGaveUp {};

class JsonScanner {
  public:
    // steps is shared by all scanners of one question.
    JsonScanner(std::string_view text, std::int64_t& steps) : text_(text), steps_(&steps) {}

    std::size_t position() const { return at_; }
    void go_to(std::size_t position) {
        at_ = position;
        entered_ = false;  // also if what was entered was left before its first element
    }

    JsonKind peek();
    // The text of a string (quotes stripped, escapes not decoded), number or literal.
    std::string_view take_scalar();
    // Steps over one value of any kind.
    void skip_value();
    // Enters an array or object; then next_element or next_member until it says false.
    void enter();
    bool next_element();
    bool next_member(std::string_view& raw_key);
    void expect_end();

    // Steps over all of it and checks it; nothing else here checks what it does not look at.
    static void validate(std::string_view text, std::int64_t& steps);

  private:
    char look();
    void expect(char c);
    std::string_view take_string();
    std::string_view take_number();
    std::string_view take_literal(std::string_view literal);
    void spend(std::size_t bytes);

    std::string_view text_;
    std::int64_t* steps_;
    std::size_t at_ = 0;
    bool entered_ = false;  // just behind { or [
};

// Escapes to UTF-8 bytes.  A lone surrogate becomes the three bytes it would have.
std::string decode_json_string(std::string_view raw);

// A number as written, without what does not matter: digits without zeros at either end, times
// 10^exponent; 1.0, 1 and 10e-1 are equal.  No size overflows anything.
struct JsonNumber {
    JsonNumber() = default;
    explicit JsonNumber(std::string_view text);
    bool operator==(const JsonNumber&) const = default;

    bool negative = false;
    std::string digits;  // empty: zero
    std::int64_t exponent = 0;

  private:
    void read_exponent(std::string_view text);
};

}  // namespace whisperer::engine
