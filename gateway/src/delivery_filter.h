// Which deliveries are meant.  What lists them and what tries them again have the same filters,
// made here, so that what was seen, what is counted and what is done cannot differ.
#pragma once
#include <string>
#include <vector>

#include "route.h"

namespace whisperer::gateway {

// The filters of the query, in the order that statements know: $1 to $12.
std::vector<Parameter> delivery_filters();
constexpr std::size_t hook_filter = 1;
constexpr std::size_t event_type_filter = 2;
constexpr std::size_t delivery_filter_count = 12;

// Filters by what the events say need the events; the others are faster without.
bool is_by_event(const Call& call);

// SQL: FROM and WHERE of the deliveries d that the filters let through; <key> becomes their column
// "key".
const std::string& matching_deliveries(bool by_event);

// SQL: where an event o of a delivery d is, by the key of a partition; it may be that the caller
// sees the delivery and not, or no longer, the event.
extern const char* const of_event;

// SQL: how a delivery d is called over HTTP.
extern const char* const delivery_id;

// Makes of an event type's name a list of those that are meant.
void find_event_types(const Call& call, Value& event_type);

}  // namespace whisperer::gateway
