// /metrics: what PostgreSQL knows of workers and hooks, and what the gateway knows of itself, in
// the text format of Prometheus.
#pragma once
#include <string>

#include "route.h"
#include "statistics.h"

namespace whisperer::gateway {

std::string metrics_text(const Call& call, const Statistics& statistics, std::size_t connections);

}  // namespace whisperer::gateway
