// Bodies of requests; see parameters.h.  They are looked at here and pass on to PostgreSQL as the
// text that came: nothing is lost or written anew between.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "json_text.h"
#include "parameters.h"
#include "problem.h"
#include "text.h"
#include "time_text.h"

namespace whisperer::gateway {

namespace {

constexpr std::size_t faults_max = 20;  // that are told of
constexpr double seconds_max = 1e9;     // which is more than any of them may be

struct ReadOnly {
    std::string_view name;
    std::string_view instead;
};
constexpr ReadOnly read_only_members[] = {
    {"id", "is read-only"},
    {"state", "is read-only; see pause/, resume/ and DELETE"},
    {"state_reason", "is read-only"},
    {"is_paused", "is read-only; see pause/ and resume/"},
    {"owner", "is read-only"},
    {"created_at", "is read-only"},
    {"modified_at", "is read-only"},
    {"created_date", "is read-only"},
    {"modified_date", "is read-only"},
};

// What is wrong with a member, or nothing.
std::string fault_of(const JsonMember& value, const Member& member) {
    if (value.type == JsonType::Null)
        return member.is_required ? "must not be null" : "";
    switch (member.type) {
        case Type::Text:
            if (value.type != JsonType::String)
                return "must be a string";
            return value.text.find('\0') == std::string::npos ? "" : "must not hold a NUL";
        case Type::Object:
            return value.type == JsonType::Object ? "" : "must be an object";
        case Type::Number:
            return value.type == JsonType::Number ? "" : "must be a number";
        case Type::Integer:
            return value.is_whole && std::abs(value.number) <= INT32_MAX
                       ? ""
                       : "must be an integer of 32 bits";
        case Type::Seconds:
            return value.type == JsonType::Number && std::abs(value.number) <= seconds_max
                       ? ""
                       : "must be a number of seconds";
        case Type::Boolean:
            return value.type == JsonType::Boolean ? "" : "must be true or false";
        case Type::Time:
            return value.type == JsonType::String && time_of(value.text)
                       ? ""
                       : "must be a time in ISO 8601, as in \"2024-05-01T12:00:00Z\"";
        case Type::Anything:
            break;
    }
    return "";
}

std::string fault_of_unknown(const std::string& name, const BodyRules& rules) {
    const auto known = std::find_if(std::begin(read_only_members), std::end(read_only_members),
                                    [&](const ReadOnly& one) { return one.name == name; });
    // Only hooks have these; elsewhere they are as unknown as anything.
    const bool is_hook = std::any_of(rules.members.begin(), rules.members.end(),
                                     [](const Member& one) { return one.name == "target_url"; });
    if (!is_hook || known == std::end(read_only_members))
        return "is not a member of this body";
    return rules.ignores_read_only ? "" : std::string(known->instead);
}

void require_json(const Request& request) {
    const std::string_view type = request.content_type;
    if (to_lower(trimmed(type.substr(0, type.find(';')))) != "application/json")
        throw Problem{415, "unsupported_media_type", "the body must be JSON",
                      "Send Content-Type: application/json."};
}

}  // namespace

std::string read_body(const Request& request, const BodyRules& rules) {
    if (request.body.empty() && rules.may_be_absent)
        return "{}";
    if (request.body.empty())
        throw Problem{400, "bad_json", "a JSON body is needed"};
    require_json(request);
    const JsonObject object = read_json_object(request.body);
    if (object.error)
        throw Problem{400, "bad_json", *object.error};
    Problem problem{400, "invalid", "the body has members that are not valid"};
    const auto note = [&problem](const std::string& name, const std::string& fault) {
        if (!fault.empty() && problem.errors.size() < faults_max)
            problem.errors[name].push_back(fault);
    };
    for (const auto& [name, value] : object.members) {
        const auto member =
            std::find_if(rules.members.begin(), rules.members.end(),
                         [&name = name](const Member& one) { return one.name == name; });
        note(name, member == rules.members.end() ? fault_of_unknown(name, rules)
                                                 : fault_of(value, *member));
    }
    for (const Member& member : rules.members)
        if (member.is_required && !object.members.contains(member.name))
            note(member.name, "is required");
    if (!problem.errors.empty())
        throw problem;
    return request.body;
}

}  // namespace whisperer::gateway
