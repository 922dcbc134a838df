// Whether names cannot be looked up for anybody: then the fault is this machine's, or its name
// server's, and no endpoint has failed.
//
// One name that is not found says nothing: it may not exist.  So it takes two, one of which was
// found before.  Owned by the dispatcher, which tells it of every look-up; memory is bounded.
#pragma once
#include <set>
#include <string>

namespace whisperer::engine {

inline constexpr std::size_t known_names_max = 4096;

class ResolverHealth {
  public:
    void found(const std::string& name);
    // True: nobody's name is found any more.
    bool failed(const std::string& name);

  private:
    std::set<std::string> known_;    // were found, at some time
    std::set<std::string> failing_;  // since a name was found last; two are enough
    bool known_is_failing_ = false;
};

}  // namespace whisperer::engine
