// Reads and checks the JSON of a hook's batch, and makes batches.
#include "worker/rules/batch.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <stdexcept>

#include "worker/base/clean_text.h"
#include "worker/base/encoding.h"
#include "worker/base/invalid.h"
#include "worker/base/json_scanner.h"

namespace whisperer::engine {
namespace {

constexpr std::size_t id_bytes = 16;

[[noreturn]] void refuse(std::string_view key, const std::string& what) {
    throw Invalid("batch." + std::string(key) + " " + what);
}

// Of a key; the text of a string is decoded, that of an object or array empty.
struct Value {
    JsonKind kind;
    std::string text;
};

Value take_value(JsonScanner& scanner) {
    const JsonKind kind = scanner.peek();
    if (kind == JsonKind::Object || kind == JsonKind::Array) {
        scanner.skip_value();
        return {kind, {}};
    }
    const std::string_view raw = scanner.take_scalar();
    return {kind, kind == JsonKind::String ? decode_json_string(raw) : std::string(raw)};
}

std::size_t whole_number(const Value& value, const char* key, std::size_t min, std::size_t max) {
    const bool is_whole = value.kind == JsonKind::Number && value.text.size() < 10 &&
                          std::all_of(value.text.begin(), value.text.end(),
                                      [](char c) { return c >= '0' && c <= '9'; });
    const std::size_t number = is_whole ? std::stoul(value.text) : 0;
    if (!is_whole || number < min || number > max)
        refuse(key,
               "must be a whole number from " + std::to_string(min) + " to " + std::to_string(max));
    return number;
}

// "200 ms", "0.5 s": digits, perhaps a fraction, and a unit.
std::optional<milliseconds> read_wait(std::string_view text) {
    std::size_t at = 0;
    const auto digits = [&] {
        std::string taken;
        while (at < text.size() && text[at] >= '0' && text[at] <= '9')
            taken += text[at++];
        return taken;
    };
    const std::string whole = digits();
    std::string fraction;
    if (at < text.size() && text[at] == '.') {
        ++at;
        fraction = digits();
        if (fraction.empty())
            return std::nullopt;
    }
    if (at < text.size() && text[at] == ' ')
        ++at;
    const std::string_view unit = text.substr(at);
    if (whole.empty() || whole.size() > 6 || fraction.size() > 6 || (unit != "ms" && unit != "s"))
        return std::nullopt;
    const double number = std::stod(whole + "." + (fraction.empty() ? "0" : fraction));
    return std::chrono::ceil<milliseconds>(
        std::chrono::duration<double, std::milli>(unit == "s" ? number * 1000 : number));
}

milliseconds wait_of(const Value& value) {
    const auto wait = value.kind == JsonKind::String ? read_wait(value.text) : std::nullopt;
    if (!wait || *wait > batch_wait_max)
        refuse("wait", "must be a time such as \"200 ms\" or \"1 s\", of at most 10 s");
    return *wait;
}

BatchForm form_of(const Value& value) {
    if (value.kind == JsonKind::String && value.text == "array")
        return BatchForm::Array;
    if (value.kind == JsonKind::String && value.text == "ndjson")
        return BatchForm::Ndjson;
    refuse("form", "must be \"array\" or \"ndjson\"");
}

void read_key(BatchRule& rule, const std::string& key, const Value& value) {
    if (key == "size")
        rule.size = whole_number(value, "size", 1, batch_size_max);
    else if (key == "bytes")
        rule.bytes = whole_number(value, "bytes", batch_bytes_min, batch_bytes_max);
    else if (key == "wait")
        rule.wait = wait_of(value);
    else if (key == "form")
        rule.form = form_of(value);
    else
        throw Invalid("batch has an unknown key \"" + to_clean_line(key, 64) + '"',
                      "Known are size, wait, bytes and form.");
}

const char* content_type(BatchForm form, FormatKind kind) {
    if (form == BatchForm::Ndjson)
        return "application/x-ndjson";
    return kind == FormatKind::CloudEvents ? "application/cloudevents-batch+json; charset=utf-8"
                                           : "application/json";
}

}  // namespace

std::unique_ptr<const BatchRule> BatchRule::parse(std::string_view json) {
    if (json.empty() || json == "null")
        return nullptr;
    auto rule = std::make_unique<BatchRule>();
    std::int64_t steps = std::numeric_limits<std::int64_t>::max();
    try {
        JsonScanner::validate(json, steps);
        JsonScanner scanner(json, steps);
        if (scanner.peek() != JsonKind::Object)
            throw JsonGaveUp{};
        scanner.enter();
        std::string_view key;
        while (scanner.next_member(key))
            read_key(*rule, decode_json_string(key), take_value(scanner));
    } catch (const JsonGaveUp&) {
        throw Invalid("batch is not a JSON object",
                      "For example {\"size\": 100, \"wait\": \"200 ms\"}.");
    }
    return rule;
}

bool can_be_batched(FormatKind kind) {
    return kind != FormatKind::CloudEventsBinary && kind != FormatKind::Form;
}

void check_batch_beside(const Format& format, std::int32_t metadata) {
    if (!can_be_batched(format.kind))
        throw Invalid("events of format cloudevents-binary or form cannot be batched",
                      "Formats whisperer, standard, cloudevents and data can.");
    if (metadata != 0)
        throw Invalid("metadata_headers cannot be said of a batch, which has several events",
                      "Leave metadata_headers null: formats standard and cloudevents say the time "
                      "in the body.");
}

std::string batch_body(BatchForm form, const std::vector<std::string_view>& bodies) {
    std::size_t size = 2;
    for (std::string_view body : bodies)
        size += body.size() + 1;
    std::string made;
    made.reserve(size);
    if (form == BatchForm::Array) {
        for (std::string_view body : bodies) {
            made += made.empty() ? '[' : ',';
            made += body;
        }
        made += ']';
        return made;
    }
    for (std::string_view body : bodies) {
        const std::size_t begin = made.size();
        made += body;
        // Within JSON a line break is space between two values: in a string it would be escaped.
        std::replace_if(
            made.begin() + static_cast<std::ptrdiff_t>(begin), made.end(),
            [](char c) { return c == '\n' || c == '\r'; }, ' ');
        made += '\n';
    }
    return made;
}

// Two events may have the same body: in format data nothing else is said of them.
std::string batch_id(const std::vector<std::string_view>& member_ids, std::string_view body) {
    struct Free {
        void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
    };
    const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    bool is_made =
        context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
    for (std::string_view id : member_ids)
        is_made = is_made && EVP_DigestUpdate(context.get(), id.data(), id.size()) == 1;
    if (!is_made || EVP_DigestUpdate(context.get(), body.data(), body.size()) != 1 ||
        EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) != 1)
        throw std::runtime_error("OpenSSL cannot make the id of a batch");
    return to_hex({reinterpret_cast<const char*>(digest.data()), id_bytes});
}

HeaderLines batch_header_lines(BatchForm form, FormatKind kind,
                               const std::vector<std::string_view>& types) {
    HeaderLines lines{std::string("Content-Type: ") + content_type(form, kind),
                      "X-Whisperer-Batch: " + std::to_string(types.size())};
    if (std::all_of(types.begin(), types.end(),
                    [&](std::string_view type) { return type == types.front(); }))
        lines.push_back(encoded_line("X-Whisperer-Event", types.front()));
    return lines;
}

namespace {

std::unique_ptr<const EventMeta> common_meta(const Members& members) {
    if (std::any_of(members.begin(), members.end(),
                    [](const auto& member) { return member->meta() == nullptr; }))
        return nullptr;
    auto common = std::make_unique<EventMeta>(*members.front()->meta());
    for (const auto& member : members)
        common->keep_common(*member->meta());
    return common;
}

}  // namespace

Batch::Batch(const BatchRule& rule, const Members& members, std::int64_t* held_bytes)
    : held_bytes_(held_bytes), gzipped_(held_bytes) {
    std::vector<std::string_view> ids, types, bodies;
    for (const auto& member : members) {
        ids.emplace_back(member->id());
        types.emplace_back(member->type());
        bodies.emplace_back(member->body());
    }
    body_ = batch_body(rule.form, bodies);
    id_ = batch_id(ids, body_);
    header_lines_ = std::make_shared<const HeaderLines>(
        batch_header_lines(rule.form, members.front()->kind(), types));
    meta_ = common_meta(members);
    *held_bytes_ += static_cast<std::int64_t>(body_.size());
}

Batch::~Batch() {
    *held_bytes_ -= static_cast<std::int64_t>(body_.size());
}

}  // namespace whisperer::engine
