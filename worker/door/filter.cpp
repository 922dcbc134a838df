// The door to filters: a hook's is read when the hook is loaded, an event's data when the first
// filter asks.
#include <string>

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

template <typename Question>
int answered(Question question) noexcept {
    int result = -1;
    const auto code = guarded(nullptr, [&] { result = question(); });
    return code == WhispererOk ? result : no_memory;
}

}  // namespace

WhispererCode whisperer_filter_create(WhispererSpan json, int64_t step_max,
                                      WhispererFilter** filter, WhispererError* error) noexcept {
    *filter = nullptr;
    return guarded(error, [&] {
        if (auto read = JsonFilter::read_stored(view_of(json), step_max))
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

int whisperer_document_matches(const WhispererDocument* document,
                               const WhispererFilter* filter) noexcept {
    if (document == nullptr || filter == nullptr)
        return -1;
    return answered([&] { return document->document.matches(filter->filter); });
}

int whisperer_json_contains(WhispererSpan data, WhispererSpan filter, int64_t step_max) noexcept {
    return answered([&] { return json_contains(view_of(data), view_of(filter), step_max); });
}

int whisperer_json_matches(WhispererSpan data, WhispererSpan filter, int64_t step_max) noexcept {
    return answered([&] { return json_matches(view_of(data), view_of(filter), step_max); });
}

WhispererCode whisperer_check_filter(WhispererSpan json, int64_t step_max,
                                     WhispererError* error) noexcept {
    return guarded(error, [&] {
        if (!JsonFilter::parse(view_of(json), step_max, FilterLanguage::Operators))
            throw Invalid("filter is nested too deeply",
                          "At most " + std::to_string(filter_depth_max) + " levels below the top.");
    });
}
