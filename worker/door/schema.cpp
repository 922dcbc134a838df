// The door to schemas: an event type's is read once, and asked for each of its events.
#include <memory>
#include <string>

#include "worker/base/json_schema.h"
#include "worker/base/span.h"
#include "worker/door/boundary.h"
#include "worker/engine.h"

using namespace whisperer::engine;

struct WhispererSchema {
    std::unique_ptr<const JsonSchema> schema;
};

static_assert(schema_fault_bytes_max == WHISPERER_FAULT_BYTES);

WhispererCode whisperer_schema_create(WhispererSpan json, int64_t step_max,
                                      WhispererSchema** schema, WhispererError* error) noexcept {
    *schema = nullptr;
    return guarded(
        error, [&] { *schema = new WhispererSchema{JsonSchema::parse(view_of(json), step_max)}; });
}

void whisperer_schema_destroy(WhispererSchema* schema) noexcept {
    delete schema;
}

int whisperer_schema_fits(const WhispererSchema* schema, WhispererSpan data, int64_t step_max,
                          char* fault, size_t* fault_bytes) noexcept {
    *fault_bytes = 0;
    int answer = -1;
    const auto code = guarded(nullptr, [&] {
        try {
            const std::string found = schema->schema->fault_of(view_of(data), step_max);
            *fault_bytes = found.copy(fault, WHISPERER_FAULT_BYTES);
            answer = found.empty() ? 1 : 0;
        } catch (const JsonGaveUp&) {
            answer = -1;
        }
    });
    return code == WhispererOk ? answer : -2;
}
