// Which names may be looked up now: silent name servers must not take the places of names that are
// answered.
//
// libcurl looks names up in threads, from 8.20 on in a pool of them, two for a name.  A thread that
// nobody waits for any more stays busy until the resolver gives up, so a look-up that was given up
// counts for as long as that takes.  Invariant: what counts is always less than the pool has; a
// name that was found before has places that no other can take, and a name that was given up has
// few. Owned by the transport, told of every look-up by the requests; memory is bounded.
#pragma once
#include <deque>
#include <string>
#include <unordered_map>

#include "worker/base/clock.h"

namespace whisperer::engine {

// Look-ups that count at once, of all names; less: of names that were never found; of names that
// were given up when they were asked for last, all together; and of each of those.
inline constexpr int lookup_places = 120;
inline constexpr int lookup_places_of_unknown = 88;
inline constexpr int lookup_places_of_silent = 32;
inline constexpr int lookup_places_of_one_silent = 2;
// That somebody waits for, of all names, and of those that were never found.
inline constexpr int lookups_max = 64;
inline constexpr int lookups_max_of_unknown = 48;
// Two threads for each that counts, and some for what is counted too low.
inline constexpr long resolver_threads_max = 256;
// Three name servers, two questions, 5 s: how long glibc asks.
inline constexpr seconds given_up_for{30};
inline constexpr std::size_t lookup_names_max = 4096;

class LookupRoom {
  public:
    bool may_start(const std::string& name, microseconds now) const;
    void started(const std::string& name);
    void found(const std::string& name);
    // It was answered that there is no such name.
    void not_found(const std::string& name);
    // It needed no look-up.
    void not_asked(const std::string& name);
    // Nobody waits for it any more.
    void given_up(const std::string& name, microseconds now);
    int waiting() const { return waiting_; }

  private:
    enum class Kind {
        Unknown,  // never asked for, or there is none -> Good, Silent
        Good,     // was found last -> Silent when it is given up, Unknown when there is none
        Silent    // was given up last -> Good, Unknown
    };
    struct Name {
        Kind kind = Kind::Unknown;
        int waiting = 0;
        int given_up = 0;
    };
    struct GivenUp {
        microseconds until;
        std::string name;
    };

    void end(const std::string& name, Kind kind);
    void forget_old(microseconds now) const;
    void change(Name& name, Kind kind) const;
    void drop_if_idle(const std::string& name) const;

    int waiting_ = 0;
    // Counted when asked, so that no timer is needed.
    mutable std::unordered_map<std::string, Name> names_;
    mutable std::deque<GivenUp> given_up_;
    mutable int counted_of_silent_ = 0;
};

}  // namespace whisperer::engine
