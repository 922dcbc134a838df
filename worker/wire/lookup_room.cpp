// The rules of lookup_room.h.
#include "worker/wire/lookup_room.h"

namespace whisperer::engine {

bool LookupRoom::may_start(const std::string& name, microseconds now) const {
    forget_old(now);
    const auto found = names_.find(name);
    const Name known = found == names_.end() ? Name{} : found->second;
    const int counted = waiting_ + static_cast<int>(given_up_.size());
    switch (known.kind) {
        case Kind::Good:
            return waiting_ < lookups_max && counted < lookup_places;
        case Kind::Unknown:
            return waiting_ < lookups_max_of_unknown && counted < lookup_places_of_unknown;
        case Kind::Silent:
            break;
    }
    return waiting_ < lookups_max_of_unknown && counted < lookup_places_of_unknown &&
           counted_of_silent_ < lookup_places_of_silent &&
           known.waiting + known.given_up < lookup_places_of_one_silent;
}

void LookupRoom::started(const std::string& name) {
    Name& known = names_[name];
    ++known.waiting;
    ++waiting_;
    counted_of_silent_ += known.kind == Kind::Silent ? 1 : 0;
}

void LookupRoom::found(const std::string& name) {
    end(name, Kind::Good);
}

void LookupRoom::not_found(const std::string& name) {
    end(name, Kind::Unknown);
    drop_if_idle(name);
}

void LookupRoom::not_asked(const std::string& name) {
    const Kind kind = names_[name].kind;
    end(name, kind);
    if (kind == Kind::Unknown)
        drop_if_idle(name);
}

void LookupRoom::given_up(const std::string& name, microseconds now) {
    end(name, Kind::Silent);
    ++names_[name].given_up;
    ++counted_of_silent_;
    given_up_.push_back({now + given_up_for, name});
}

void LookupRoom::end(const std::string& name, Kind kind) {
    Name& known = names_[name];
    counted_of_silent_ -= known.kind == Kind::Silent ? 1 : 0;
    --known.waiting;
    --waiting_;
    change(known, kind);
    // What is found may be forgotten: it is then a name like another.
    for (auto one = names_.begin(); names_.size() > lookup_names_max && one != names_.end();)
        one = one->second.waiting + one->second.given_up == 0 && one->first != name
                  ? names_.erase(one)
                  : std::next(one);
}

// All that counts of a name counts as what the name is.
void LookupRoom::change(Name& name, Kind kind) const {
    const int counted = name.waiting + name.given_up;
    counted_of_silent_ += kind == Kind::Silent ? counted : 0;
    counted_of_silent_ -= name.kind == Kind::Silent ? counted : 0;
    name.kind = kind;
}

void LookupRoom::forget_old(microseconds now) const {
    while (!given_up_.empty() && given_up_.front().until <= now) {
        const std::string name = std::move(given_up_.front().name);
        given_up_.pop_front();
        Name& known = names_[name];
        --known.given_up;
        counted_of_silent_ -= known.kind == Kind::Silent ? 1 : 0;
    }
}

void LookupRoom::drop_if_idle(const std::string& name) const {
    const auto found = names_.find(name);
    if (found != names_.end() && found->second.waiting + found->second.given_up == 0)
        names_.erase(found);
}

}  // namespace whisperer::engine
