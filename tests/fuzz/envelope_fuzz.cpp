// The body that is sent: JSON when its data is, whatever the event type's characters are, and
// exactly as long as it says.  The input is 16 bytes of id, the type, a byte 0xFF, and the data.
#include "worker/rules/envelope.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "tests/fuzz/property.h"
#include "worker/base/encoding.h"
#include "worker/base/json_scanner.h"
#include "worker/rules/format.h"

using namespace whisperer::engine;

namespace {

bool is_json(std::string_view text) {
    std::int64_t steps = 10'000'000;
    try {
        JsonScanner::validate(text, steps);
        return true;
    } catch (const JsonGaveUp&) {
        return false;
    }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    if (size < 16)
        return 0;
    std::uint8_t id[16];
    std::memcpy(id, bytes, sizeof id);
    const std::string_view rest = text_of(bytes + 16, size - 16);
    const std::size_t middle = std::min(rest.find('\xFF'), rest.size());
    const std::string_view type = rest.substr(0, middle);
    const std::string_view data = rest.substr(std::min(middle + 1, rest.size()));

    WhispererEvent door{};
    std::memcpy(door.id, id, sizeof id);
    door.type = {type.data(), type.size()};
    door.data = {data.data(), data.size()};
    const std::size_t body_bytes = write_body(Format(), door, nullptr, 0);
    std::string body(body_bytes + 1, '\x01');
    HOLDS(write_body(Format(), door, body.data(), body_bytes - 1) == body_bytes);
    HOLDS(body == std::string(body_bytes + 1, '\x01'));
    HOLDS(write_body(Format(), door, body.data(), body_bytes) == body_bytes);
    HOLDS(body.back() == '\x01');
    body.pop_back();
    HOLDS(is_json(body) == is_json(data) || !is_json(data));
    if (is_json(data) && nlohmann::json::accept(body)) {
        const auto parsed = nlohmann::json::parse(body);
        HOLDS(parsed.size() == 2 && parsed["event"]["type"] == std::string(type));
        HOLDS(parsed["event"]["uuid"] == to_hex(text_of(id, sizeof id)));
    }

    std::int64_t held_bytes = 0;
    try {
        const Event event(door, &held_bytes);
        HOLDS(event.body() == body && !event.has_own_body() && event.id().size() == 32);
        HOLDS(held_bytes == static_cast<std::int64_t>(body_bytes) && !has_control(event.type()));
        door.body = {"x", 1};
        const Event own(door, &held_bytes);
        HOLDS(own.body() == "x" && own.has_own_body());
    } catch (const Invalid& invalid) {
        check_message(invalid);
    }
    HOLDS(held_bytes == 0);
    return 0;
}
