// Builds a hook's definition once, so that a request has little left to compute.
#include "worker/rules/hook.h"

#include <cmath>

#include "worker/base/invalid.h"
#include "worker/base/span.h"
#include "worker/rules/format.h"
#include "worker/rules/settings.h"

namespace whisperer::engine {
namespace {

// All that a definition is made from, in one text; lengths in between keep the parts apart.
std::string source_of(const WhispererHook& door, std::string_view user_agent) {
    std::string source;
    const std::string_view rate_limit(reinterpret_cast<const char*>(&door.rate_limit),
                                      sizeof door.rate_limit);
    const std::string owner = std::to_string(door.owner);
    const std::string choices =
        std::to_string((door.no_webhook_signature != 0 ? 1 : 0) +
                       (door.no_body_signature != 0 ? 2 : 0) + 4 * door.metadata) +
        (door.gzip != 0 ? "z" : "");
    const std::string bounds = std::to_string(door.timeout_ms) + ' ' +
                               std::to_string(door.max_in_flight) + ' ' +
                               std::to_string(door.priority);
    for (std::string_view part :
         {view_of(door.target_url), view_of(door.secret_key), view_of(door.previous_secret_key),
          view_of(door.additional_headers), view_of(door.retry_config), view_of(door.auth),
          view_of(door.format), view_of(door.signing), std::string_view(choices), rate_limit,
          std::string_view(owner), std::string_view(bounds), user_agent, view_of(door.batch)}) {
        source += std::to_string(part.size());
        source += ':';
        source += part;
    }
    return source;
}

HeaderLines lines_with_auth(const WhispererHook& door, const Auth& auth,
                            std::string_view user_agent) {
    HeaderLines additional = parse_additional_headers(view_of(door.additional_headers));
    auth.check_beside(additional);
    check_beside_format(Format::parse(view_of(door.format)), additional);
    Signing::parse(view_of(door.signing)).check_beside(additional);
    HeaderLines lines =
        hook_header_lines(std::move(additional), std::to_string(door.id), user_agent);
    if (!auth.constant_line().empty())
        lines.push_back(auth.constant_line());
    return lines;
}

SignatureChoice choice_of(const WhispererHook& door) {
    return {door.no_webhook_signature == 0, door.no_body_signature == 0,
            Signing::parse(view_of(door.signing))};
}

double checked_rate_limit(double rate_limit) {
    if (!std::isfinite(rate_limit) || rate_limit < 0 || rate_limit > rate_limit_max)
        throw Invalid("rate_limit must be from 0 to 1000000 requests per second");
    return rate_limit;
}

std::int32_t checked_bound(std::int32_t value, const char* name) {
    if (value < 0)
        throw Invalid(std::string(name) + " must not be negative");
    return value;
}

Priority checked_priority(std::int32_t value) {
    if (value < WhispererPriorityLow || value > WhispererPriorityHigh)
        throw Invalid("priority is none that exists");
    return static_cast<Priority>(value);
}

}  // namespace

Hook::Hook(const WhispererHook& door, std::string_view user_agent, bool require_https)
    : id_(door.id),
      owner_(door.owner),
      source_(source_of(door, user_agent)),
      target_(std::make_shared<const Target>(parse_url(view_of(door.target_url), require_https))),
      auth_(Auth::parse(view_of(door.auth), user_agent, require_https)),
      header_lines_(std::make_shared<const HeaderLines>(lines_with_auth(door, auth_, user_agent))),
      diverted_header_lines_(std::make_shared<const HeaderLines>(
          hook_header_lines({}, std::to_string(door.id), user_agent))),
      signer_(view_of(door.secret_key), view_of(door.previous_secret_key), choice_of(door)),
      metadata_(door.metadata),
      retry_plan_(RetryPlan::parse(view_of(door.retry_config))),
      rate_limit_(checked_rate_limit(door.rate_limit)),
      timeout_(milliseconds(checked_bound(door.timeout_ms, "timeout"))),
      max_in_flight_(checked_bound(door.max_in_flight, "max_in_flight")),
      wants_gzip_(door.gzip != 0),
      priority_(checked_priority(door.priority)),
      batch_(BatchRule::parse(view_of(door.batch))) {
    if (batch_ != nullptr)
        check_batch_beside(Format::parse(view_of(door.format)), metadata_);
}

bool Hook::is_made_from(const WhispererHook& door, std::string_view user_agent) const {
    return door.id == id_ && source_ == source_of(door, user_agent);
}

}  // namespace whisperer::engine
