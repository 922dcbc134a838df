// Whether something that many targets need (name servers, the proxy) fails for all of them: then
// the fault is on this side of it, and no endpoint has failed.
//
// One target that is not reached says nothing: its name may not exist, it may be down behind the
// proxy.  So it takes two, one of which was reached before.  Owned by the dispatcher, which tells
// it of every try; memory is bounded.
#pragma once
#include <set>
#include <string>

namespace whisperer::engine {

inline constexpr std::size_t known_targets_max = 4096;

class CommonHealth {
  public:
    void reached(const std::string& target);
    // True: nobody is reached any more.
    bool failed(const std::string& target);

  private:
    std::set<std::string> known_;    // were reached, at some time
    std::set<std::string> failing_;  // since one was reached last; two are enough
    bool known_is_failing_ = false;
};

}  // namespace whisperer::engine
