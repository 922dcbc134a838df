// The door to filters: a hook's is read when the hook is loaded, an event's data when the first
// filter asks.
#include <memory>

#include "worker/base/json_contains.h"
#include "worker/base/span.h"
#include "worker/door/boundary.h"
#include "worker/engine.h"

using namespace whisperer::engine;

struct WhispererFilter {
    JsonFilter filter;
};

struct WhispererDocument {
    JsonDocument document;
};

namespace {

constexpr int no_memory = -2;

}  // namespace

WhispererCode whisperer_filter_create(WhispererSpan json, int64_t step_max,
                                      WhispererFilter** filter, WhispererError* error) noexcept {
    *filter = nullptr;
    return guarded(error, [&] {
        if (auto read = JsonFilter::parse(view_of(json), step_max))
            *filter = new WhispererFilter{std::move(*read)};
    });
}

void whisperer_filter_destroy(WhispererFilter* filter) noexcept {
    delete filter;
}

WhispererCode whisperer_document_create(WhispererSpan data, int64_t step_max,
                                        WhispererDocument** document,
                                        WhispererError* error) noexcept {
    *document = nullptr;
    return guarded(
        error, [&] { *document = new WhispererDocument{JsonDocument(view_of(data), step_max)}; });
}

void whisperer_document_destroy(WhispererDocument* document) noexcept {
    delete document;
}

int whisperer_document_contains(const WhispererDocument* document,
                                const WhispererFilter* filter) noexcept {
    int result = -1;
    if (document == nullptr || filter == nullptr)
        return result;
    const auto code =
        guarded(nullptr, [&] { result = document->document.contains(filter->filter); });
    return code == WhispererOk ? result : no_memory;
}

int whisperer_json_contains(WhispererSpan data, WhispererSpan filter, int64_t step_max) noexcept {
    int result = -1;
    const auto code =
        guarded(nullptr, [&] { result = json_contains(view_of(data), view_of(filter), step_max); });
    return code == WhispererOk ? result : no_memory;
}
