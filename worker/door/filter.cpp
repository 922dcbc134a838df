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

WhispererFilter* whisperer_filter_create(WhispererSpan json, int64_t step_max) noexcept {
    WhispererFilter* created = nullptr;
    guarded(nullptr, [&] {
        if (auto filter = JsonFilter::parse(view_of(json), step_max))
            created = new WhispererFilter{std::move(*filter)};
    });
    return created;
}

void whisperer_filter_destroy(WhispererFilter* filter) noexcept {
    delete filter;
}

WhispererDocument* whisperer_document_create(WhispererSpan data, int64_t step_max) noexcept {
    WhispererDocument* created = nullptr;
    guarded(nullptr,
            [&] { created = new WhispererDocument{JsonDocument(view_of(data), step_max)}; });
    return created;
}

void whisperer_document_destroy(WhispererDocument* document) noexcept {
    delete document;
}

int whisperer_document_contains(const WhispererDocument* document,
                                const WhispererFilter* filter) noexcept {
    int result = -1;
    if (document != nullptr && filter != nullptr)
        guarded(nullptr, [&] { result = document->document.contains(filter->filter); });
    return result;
}

int whisperer_json_contains(WhispererSpan data, WhispererSpan filter, int64_t step_max) noexcept {
    int result = -1;
    guarded(nullptr, [&] { result = json_contains(view_of(data), view_of(filter), step_max); });
    return result;
}
