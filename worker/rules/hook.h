// A hook as the engine holds it: where to, what to say, how to sign, when to try again.
//
// Immutable and shared: an attempt ends by the definition it began with, even if put_hook replaced
// it meanwhile.  Made by the door's put_hook, held by its lane and by requests in flight.
#pragma once
#include <memory>
#include <string>

#include "worker/engine.h"
#include "worker/rules/auth.h"
#include "worker/rules/batch.h"
#include "worker/rules/headers.h"
#include "worker/rules/retry.h"
#include "worker/rules/signature.h"
#include "worker/rules/url.h"

namespace whisperer::engine {

enum class Priority {
    Low = WhispererPriorityLow,
    Normal = WhispererPriorityNormal,
    High = WhispererPriorityHigh
};

class Hook {
  public:
    // Throws Invalid: hooks may come from plain DML or from older versions.
    Hook(const WhispererHook& door, std::string_view user_agent, bool require_https);

    std::int64_t id() const { return id_; }
    std::int64_t owner() const { return owner_; }
    const std::shared_ptr<const Target>& target() const { return target_; }
    const Auth& auth() const { return auth_; }
    const std::shared_ptr<const HeaderLines>& header_lines() const { return header_lines_; }
    // For requests that go to divert_to: nothing in them is a secret of the hook's.
    const std::shared_ptr<const HeaderLines>& diverted_header_lines() const {
        return diverted_header_lines_;
    }
    const Signer& signer() const { return signer_; }
    std::int32_t metadata() const { return metadata_; }  // bits of WhispererMetadata
    const RetryPlan& retry_plan() const { return retry_plan_; }
    double rate_limit() const { return rate_limit_; }  // requests per second; 0: none
    // Its own, or the default that is given.
    microseconds timeout(microseconds otherwise) const {
        return timeout_.count() > 0 ? timeout_ : otherwise;
    }
    int max_in_flight(int otherwise) const {
        return max_in_flight_ > 0 ? max_in_flight_ : otherwise;
    }
    bool has_own_max_in_flight() const { return max_in_flight_ > 0; }
    bool wants_gzip() const { return wants_gzip_; }  // of bodies for which is_gzipped
    Priority priority() const { return priority_; }
    const BatchRule* batch() const { return batch_.get(); }  // null: each event has a request
    // Whether it was made from exactly this, so that a reload of all hooks costs little.
    bool is_made_from(const WhispererHook& door, std::string_view user_agent) const;

  private:
    std::int64_t id_;
    std::int64_t owner_;
    std::string source_;
    std::shared_ptr<const Target> target_;
    Auth auth_;
    std::shared_ptr<const HeaderLines> header_lines_;
    std::shared_ptr<const HeaderLines> diverted_header_lines_;
    Signer signer_;
    std::int32_t metadata_;
    RetryPlan retry_plan_;
    double rate_limit_;
    microseconds timeout_;  // 0: the settings'
    int max_in_flight_;     // 0: the settings'
    bool wants_gzip_;
    Priority priority_;
    std::unique_ptr<const BatchRule> batch_;
};

}  // namespace whisperer::engine
