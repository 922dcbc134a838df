// The pure functions of the door: what people write is checked by the rules that the engine obeys.
// They run in any backend, so nothing here initialises libcurl or keeps anything.
#include "address_guard.h"
#include "boundary.h"
#include "engine.h"
#include "envelope.h"
#include "headers.h"
#include "json_contains.h"
#include "retry.h"
#include "settings.h"
#include "signature.h"
#include "url.h"

using namespace whisperer::engine;

WhispererCode whisperer_check_url(WhispererSpan url, int require_https,
                                  WhispererError* error) noexcept {
    return guarded(error, [&] { parse_url(view_of(url), require_https != 0); });
}

WhispererCode whisperer_check_secret(WhispererSpan secret, WhispererError* error) noexcept {
    return guarded(error, [&] { check_secret(view_of(secret)); });
}

WhispererCode whisperer_check_headers(WhispererSpan headers_json, WhispererError* error) noexcept {
    return guarded(error, [&] { parse_additional_headers(view_of(headers_json)); });
}

WhispererCode whisperer_check_retry_config(WhispererSpan config_json,
                                           WhispererError* error) noexcept {
    return guarded(error, [&] { RetryPlan::parse(view_of(config_json)); });
}

WhispererCode whisperer_check_networks(WhispererSpan networks, WhispererError* error) noexcept {
    return guarded(error, [&] { parse_networks(view_of(networks)); });
}

size_t whisperer_envelope(const WhispererEvent* event, char* body, size_t capacity) noexcept {
    return write_envelope(event->id, view_of(event->type), view_of(event->data), body, capacity);
}

int whisperer_json_contains(WhispererSpan data, WhispererSpan filter, int64_t step_max) noexcept {
    int result = -1;
    guarded(nullptr, [&] { result = json_contains(view_of(data), view_of(filter), step_max); });
    return result;
}
