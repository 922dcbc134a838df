// SQL of deliveries that are attempted once more because people asked for it.
#pragma once

#include "src/base/error_code.h"

// Deliveries become pending again; the countdown begins anew.  Of one that had ended a transform,
// which may have been mended since, makes the body anew.  A success that another attempt will
// follow is kept first.  The error stays of one that did not fit its type's schema: due.cpp asks
// the schema again, or this would be the way around it, as would be to cancel it in between.
#define KEEP_SUCCESS                                                                    \
    "WITH kept AS (INSERT INTO whisperer.past_attempt (event_id, hook_id, number, "     \
    "requested_at, response_http_status, response_content, response_time, slot) "       \
    "SELECT event_id, hook_id, retry_count, request_datetimes[cardinality("             \
    "request_datetimes)], response_http_status, response_content, response_time, slot " \
    "FROM whisperer.delivery WHERE event_id = ANY ($1) AND hook_id = $2 "               \
    "AND state = 'delivered' AND retry_count <= 100 ON CONFLICT DO NOTHING) "
#define BECOMES_PENDING                                                             \
    "SET state = 'pending', next_attempt_at = CASE WHEN d.line IS NULL THEN now() " \
    "ELSE 'infinity' END, round_start = d.retry_count, "                            \
    "body = CASE d.state WHEN 'pending' THEN d.body END, "                          \
    "error = CASE d.error_code WHEN " CODE_SCHEMA_REFUSED                           \
    " THEN d.error END, error_code = CASE d.error_code WHEN " CODE_SCHEMA_REFUSED   \
    " THEN d.error_code END, modified_at = now() "
