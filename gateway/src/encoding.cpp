// Reading Accept-Encoding and Accept; see encoding.h.
#include "encoding.h"

#include <algorithm>
#include <optional>

#include "text.h"

namespace whisperer::gateway {

namespace {

// Takes what is before the separator, without spaces around it.
std::string_view next_part(std::string_view& text, char separator) {
    const std::size_t end = std::min(text.find(separator), text.size());
    const std::string_view part = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    return part;
}

// In thousandths.  0 to 1, with at most three digits behind the point.
std::optional<int> weight_of(std::string_view text) {
    if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1'))
        return std::nullopt;
    int weight = (text[0] - '0') * 1000;
    if (text.size() > 1 && text[1] != '.')
        return std::nullopt;
    int unit = 100;
    for (std::size_t i = 2; i < text.size(); i++, unit /= 10) {
        if (!is_digit(static_cast<unsigned char>(text[i])))
            return std::nullopt;
        weight += (text[i] - '0') * unit;
    }
    return weight <= 1000 ? std::optional(weight) : std::nullopt;
}

struct Weights {
    std::optional<int> gzip, identity, others;
};

void read_coding(std::string_view text, Weights& weights) {
    const std::string name = to_lower(next_part(text, ';'));
    std::optional<int> weight = 1000;
    if (!text.empty()) {
        const std::string parameter = to_lower(trimmed(text));
        weight =
            parameter.starts_with("q=") ? weight_of(parameter.substr(2)) : std::optional<int>();
    }
    if (!weight)
        return;
    if (name == "gzip" || name == "x-gzip")
        weights.gzip = weight;
    else if (name == "identity")
        weights.identity = weight;
    else if (name == "*")
        weights.others = weight;
}

}  // namespace

bool takes_gzip(std::string_view accept_encoding) {
    Weights weights;
    while (!accept_encoding.empty())
        read_coding(next_part(accept_encoding, ','), weights);
    const int gzip = weights.gzip.value_or(weights.others.value_or(0));
    return gzip > 0 && gzip >= weights.identity.value_or(0);
}

bool wants_dj_whisperer(std::string_view accept) {
    while (!accept.empty()) {
        std::string_view range = next_part(accept, ',');
        if (to_lower(next_part(range, ';')) != "application/json")
            continue;
        while (!range.empty()) {
            const std::string parameter = to_lower(next_part(range, ';'));
            if (parameter == "profile=dj-whisperer" || parameter == "profile=\"dj-whisperer\"")
                return true;
        }
    }
    return false;
}

}  // namespace whisperer::gateway
