// Names that only the tests have: stands in for getaddrinfo in the whole test program, libcurl
// included.  A name that was not put is looked up as usual.
#pragma once
#include <atomic>
#include <string>
#include <vector>

namespace whisperer::engine {

class Names {
  public:
    ~Names();  // forgets them, and lets those go that wait
    // Its addresses, in this order.
    void put(const std::string& name, const std::vector<std::string>& addresses);
    // Whoever asks for it waits until this object has gone, and is then told that there is none.
    void put_silent(const std::string& name);
    // How often it was asked for.
    static int asked(const std::string& name);

    static std::atomic<int> look_ups;       // of any name
    static std::atomic<bool> signals_open;  // one of them ran where a signal could be taken
};

}  // namespace whisperer::engine
