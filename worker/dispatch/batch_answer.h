// What an answer to a batch says of its members.
//
// One answer counts for all, but one with status 200 or 207 may name those that failed:
// {"failed":["<id>",...]}.  It is not guessed at: if there is such a key and it names something
// else, all have failed, for one of them must have.  So have they if an object cannot be read as
// far as such a key.  Called by the dispatcher.
#pragma once
#include <string>
#include <vector>

#include "worker/rules/batch.h"
#include "worker/wire/wire.h"

namespace whisperer::engine {

// members: in the order of their ids.  Of each: why it failed although the answer is a 2xx; empty:
// it did not.
std::vector<std::string> failures_named_in(const WireResult& result, const Members& members);

// Of statuses by which a receiver refuses what one event says; whoever was in a batch with it is
// tried alone.
bool may_be_about_one(int http_status);

}  // namespace whisperer::engine
