// Reading times; see time_text.h.
#include "time_text.h"

#include <chrono>

#include "text.h"

namespace whisperer::gateway {

namespace {

class TimeReader {
  public:
    explicit TimeReader(std::string_view text) : rest_(text) {}

    std::optional<std::string> read() {
        const int year = number(4);
        const int month = take('-') ? number(2) : -1;
        const int day = take('-') ? number(2) : -1;
        const std::chrono::year_month_day date{std::chrono::year(year),
                                               std::chrono::month(static_cast<unsigned>(month)),
                                               std::chrono::day(static_cast<unsigned>(day))};
        if (is_bad_ || year < 1 || !date.ok())
            return std::nullopt;
        if (rest_.empty()) {
            done_ += "T00:00:00Z";
        } else {
            if (!take('T') && !take('t') && !take(' '))
                return std::nullopt;
            read_clock();
            if (!rest_.empty())
                read_zone();
        }
        if (is_bad_ || !rest_.empty())
            return std::nullopt;
        return done_.find_first_of("Z+") == std::string::npos && !has_minus_zone_ ? done_ + "Z"
                                                                                  : done_;
    }

  private:
    void read_clock() {
        const int hour = number(2);
        const int minute = take(':') ? number(2) : -1;
        const int second = take(':') ? number(2) : 0;
        is_bad_ |= hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60;
        if (is_bad_ || !take('.'))
            return;
        int digits = 0;
        while (!rest_.empty() && is_digit(static_cast<unsigned char>(rest_.front())) &&
               digits < 9) {
            number(1);
            digits++;
        }
        is_bad_ |= digits == 0;
    }

    void read_zone() {
        if (take('Z') || take('z'))
            return;
        // A plus sign that was not encoded in a URL arrives as a space.
        if (rest_.front() == ' ' || rest_.front() == '+') {
            rest_.remove_prefix(1);
            done_ += '+';
        } else if (take('-')) {
            has_minus_zone_ = true;
        } else {
            is_bad_ = true;
            return;
        }
        const int hours = number(2);
        if (take(':') || !rest_.empty())
            is_bad_ |= number(2) > 59;
        is_bad_ |= hours > 15;
    }

    // So many digits; -1 and bad if they are not there.
    int number(std::size_t digits) {
        if (rest_.size() < digits) {
            is_bad_ = true;
            return -1;
        }
        int value = 0;
        for (std::size_t i = 0; i < digits; i++) {
            const auto c = static_cast<unsigned char>(rest_[i]);
            if (!is_digit(c)) {
                is_bad_ = true;
                return -1;
            }
            value = value * 10 + (c - '0');
        }
        done_ += rest_.substr(0, digits);
        rest_.remove_prefix(digits);
        return value;
    }

    bool take(char c) {
        if (rest_.empty() || rest_.front() != c)
            return false;
        rest_.remove_prefix(1);
        done_ += c == 't' ? 'T' : c == 'z' ? 'Z' : c;
        return true;
    }

    std::string_view rest_;
    std::string done_;
    bool is_bad_ = false;
    bool has_minus_zone_ = false;
};

}  // namespace

std::optional<std::string> time_of(std::string_view text) {
    return TimeReader(text).read();
}

}  // namespace whisperer::gateway
