// What waits to be sent, in bytes: in all, and for one client.  Used by the connections' thread.
#pragma once
#include <cstddef>
#include <map>
#include <string>

namespace whisperer::gateway {

class Sending {
  public:
    // False: too much waits already.  What is small is always taken, and what must be.
    bool add(const std::string& client, std::size_t bytes, bool is_must);
    void remove(const std::string& client, std::size_t bytes);
    std::size_t bytes() const { return bytes_; }

  private:
    std::size_t bytes_ = 0;
    std::map<std::string, std::size_t> by_client_;
};

}  // namespace whisperer::gateway
