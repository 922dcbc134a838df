// What PostgreSQL refused, as a Problem: by SQLSTATE, with the field's name where the message tells
// it.  Messages that the extension wrote for people pass; hints that speak SQL, and whatever is not
// the client's doing, do not.
#pragma once
#include "database.h"
#include "problem.h"
#include "route.h"

namespace whisperer::gateway {

Problem problem_of(const DatabaseError& error, const Route& route, const std::string& request_id);

}  // namespace whisperer::gateway
