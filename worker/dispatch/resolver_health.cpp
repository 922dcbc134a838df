// The rule of resolver_health.h.
#include "worker/dispatch/resolver_health.h"

namespace whisperer::engine {

void ResolverHealth::found(const std::string& name) {
    failing_.clear();
    known_is_failing_ = false;
    if (known_.size() < known_names_max)
        known_.insert(name);
}

bool ResolverHealth::failed(const std::string& name) {
    if (failing_.size() < 2)
        failing_.insert(name);
    known_is_failing_ = known_is_failing_ || known_.contains(name);
    return failing_.size() == 2 && known_is_failing_;
}

}  // namespace whisperer::engine
