// The rule of common_health.h.
#include "worker/dispatch/common_health.h"

namespace whisperer::engine {

void CommonHealth::reached(const std::string& target) {
    failing_.clear();
    known_is_failing_ = false;
    if (known_.size() < known_targets_max)
        known_.insert(target);
}

bool CommonHealth::failed(const std::string& target) {
    if (failing_.size() < 2)
        failing_.insert(target);
    known_is_failing_ = known_is_failing_ || known_.contains(target);
    return failing_.size() == 2 && known_is_failing_;
}

}  // namespace whisperer::engine
