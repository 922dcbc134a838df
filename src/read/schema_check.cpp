// See schema_check.h.
#include "src/read/schema_check.h"

#include "src/base/encoding.h"
#include "src/base/worker.h"
#include "src/hooks/hook_types.h"
#include "src/settings.h"

namespace whisperer::pg {

DeliveryError schema_refusal(Worker* worker, const char* event_type, WhispererSpan data) {
    // Pings and operator events are not people's, and their names cannot be registered.
    if (strncmp(event_type, "whisperer-", 10) == 0)
        return {};
    const TypeEntry* type = type_of(worker->hooks, event_type);
    if (!type->has_schema)
        return {};
    char fault[WHISPERER_FAULT_BYTES];
    size_t bytes = 0;
    const char* reason = "schema: this version cannot read it";
    if (type->schema) {
        int answer = whisperer_schema_fits(type->schema, data, filter_steps_max, fault, &bytes);
        if (answer == 1)
            return {};
        if (answer < -1)
            ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY),
                    errmsg("whisperer: out of memory while an event was compared with a schema"),
                    errhint("Raise whisperer.worker_memory."));
        reason = answer == 0
                     ? psprintf("schema: %s", text_to_cstring(server_from_utf8({fault, bytes})))
                     : "schema: could not be checked within its limits";
    }
    worker->invalid_events++;
    return type->sends_invalid ? DeliveryError{} : DeliveryError{reason, WhispererErrorSchema};
}

}  // namespace whisperer::pg
