// The pure functions of the door: what people write is checked by the rules that the engine obeys.
// They run in any backend, so nothing here initialises libcurl or keeps anything.
#include <algorithm>
#include <stdexcept>

#include "worker/base/encoding.h"
#include "worker/base/invalid.h"
#include "worker/base/sealed.h"
#include "worker/base/sink.h"
#include "worker/base/span.h"
#include "worker/dispatch/batch_answer.h"
#include "worker/door/boundary.h"
#include "worker/engine.h"
#include "worker/rules/address_guard.h"
#include "worker/rules/auth.h"
#include "worker/rules/batch.h"
#include "worker/rules/event_meta.h"
#include "worker/rules/format.h"
#include "worker/rules/gzipped.h"
#include "worker/rules/headers.h"
#include "worker/rules/retry.h"
#include "worker/rules/signature.h"
#include "worker/rules/url.h"

using namespace whisperer::engine;

namespace {

// As a JSON object of strings.
std::size_t put_headers(Sink sink, const HeaderLines& lines) {
    for (const std::string& line : lines) {
        const std::string_view text = line;
        const std::size_t colon = text.find_first_of(":;");
        sink.put(&line == &lines.front() ? "{\"" : "\",\"");
        sink.put_json_text(text.substr(0, colon));
        sink.put("\":\"");
        sink.put_json_text(text.substr(std::min(colon + 2, text.size())));
    }
    sink.put("\"}");
    return sink.size();
}

}  // namespace

WhispererCode whisperer_check_url(WhispererSpan url, int require_https,
                                  WhispererError* error) noexcept {
    return guarded(error, [&] { parse_url(view_of(url), require_https != 0); });
}

WhispererCode whisperer_check_reach(WhispererSpan url, WhispererSpan allowed_networks,
                                    WhispererSpan denied_networks, WhispererError* error) noexcept {
    return guarded(error, [&] {
        const Target target = parse_url(view_of(url), false);
        const std::vector<std::string> addresses = fixed_addresses(target.host);
        const AddressGuard guard(view_of(allowed_networks), view_of(denied_networks));
        if (addresses.empty() ||
            std::any_of(addresses.begin(), addresses.end(), [&](const std::string& address) {
                return guard.allows(*Address::parse(address), target.port);
            }))
            return;
        const std::string network = network_of(addresses.front(), target.port);
        throw Invalid(
            refused_text(addresses.front(), target.port),
            allowed_networks.size == 0
                ? "If it is to be reached: ALTER SYSTEM SET whisperer.allowed_networks = '" +
                      network + "'; SELECT pg_reload_conf();"
                : "If it is to be reached, add " + network +
                      " to whisperer.allowed_networks and reload the settings.");
    });
}

static_assert(url_bytes_max == WHISPERER_URL_BYTES_MAX);

WhispererCode whisperer_sent_url(WhispererSpan url, char* sent, size_t* sent_bytes,
                                 WhispererError* error) noexcept {
    return guarded(error, [&] {
        const std::string text = parse_url(view_of(url), false).url;
        *sent_bytes = text.copy(sent, text.size());
    });
}

WhispererCode whisperer_check_secret(WhispererSpan secret, WhispererError* error) noexcept {
    return guarded(error, [&] { check_secret(view_of(secret)); });
}

WhispererCode whisperer_make_signing_key(const uint8_t* seed, char* key,
                                         WhispererError* error) noexcept {
    return guarded(error, [&] {
        const std::string made =
            make_signing_key({reinterpret_cast<const char*>(seed), ed25519_seed_bytes});
        if (made.size() != WHISPERER_SIGNING_KEY_BYTES)
            throw std::logic_error("a signing key has another length");
        made.copy(key, made.size());
    });
}

WhispererCode whisperer_check_headers(WhispererSpan headers_json, WhispererError* error) noexcept {
    return guarded(error, [&] { parse_additional_headers(view_of(headers_json)); });
}

WhispererCode whisperer_check_context(WhispererSpan context_json, WhispererError* error) noexcept {
    return guarded(error, [&] { check_context(view_of(context_json)); });
}

WhispererCode whisperer_check_auth(WhispererSpan auth_json, WhispererSpan headers_json,
                                   int require_https, WhispererError* error) noexcept {
    return guarded(error, [&] {
        Auth::parse(view_of(auth_json), "", require_https != 0)
            .check_beside(parse_additional_headers(view_of(headers_json)));
    });
}

WhispererCode whisperer_check_retry_config(WhispererSpan config_json,
                                           WhispererError* error) noexcept {
    return guarded(error, [&] { RetryPlan::parse(view_of(config_json)); });
}

WhispererCode whisperer_check_networks(WhispererSpan networks, WhispererError* error) noexcept {
    return guarded(error, [&] { parse_networks(view_of(networks)); });
}

WhispererCode whisperer_check_format(WhispererSpan format, WhispererError* error) noexcept {
    return guarded(error, [&] { check_format_name(view_of(format)); });
}

WhispererCode whisperer_check_payload_key(WhispererSpan key, WhispererSpan format,
                                          WhispererError* error) noexcept {
    return guarded(error, [&] { check_payload_key(view_of(key), view_of(format)); });
}

WhispererCode whisperer_check_signing(WhispererSpan signing_json, WhispererError* error) noexcept {
    return guarded(error, [&] { Signing::parse(view_of(signing_json)); });
}

WhispererCode whisperer_check_batch(WhispererSpan batch_json, WhispererSpan format,
                                    int32_t metadata, WhispererError* error) noexcept {
    return guarded(error, [&] {
        if (BatchRule::parse(view_of(batch_json)) != nullptr)
            check_batch_beside(Format::parse(view_of(format)), metadata);
    });
}

WhispererCode whisperer_batch_of_one(WhispererSpan batch_json, const WhispererEvent* event,
                                     char* body, size_t* body_bytes, char* headers,
                                     size_t* headers_bytes, WhispererError* error) noexcept {
    return guarded(error, [&] {
        *body_bytes = 0;
        const auto rule = BatchRule::parse(view_of(batch_json));
        const FormatKind kind = Format::parse(view_of(event->format)).kind;
        if (rule == nullptr || !can_be_batched(kind))
            return;
        const std::string made = batch_body(rule->form, {view_of(event->body)});
        const std::string id = to_hex({reinterpret_cast<const char*>(event->id), sizeof event->id});
        HeaderLines lines = batch_header_lines(rule->form, kind, {view_of(event->type)});
        lines.push_back("webhook-id: " + batch_id({id}, made));
        if (put_headers(Sink(nullptr), lines) > WHISPERER_BATCH_HEADERS_BYTES)
            throw Invalid("event type is too long");
        *headers_bytes = put_headers(Sink(headers), lines);
        *body_bytes = made.copy(body, made.size());
    });
}

int whisperer_is_gzipped(size_t body_bytes) noexcept {
    return is_gzipped(body_bytes) ? 1 : 0;
}

int whisperer_may_be_about_one(int32_t http_status) noexcept {
    return may_be_about_one(http_status) ? 1 : 0;
}

WhispererCode whisperer_check_headers_beside(WhispererSpan headers_json, WhispererSpan format,
                                             WhispererSpan signing_json,
                                             WhispererError* error) noexcept {
    return guarded(error, [&] {
        const HeaderLines lines = parse_additional_headers(view_of(headers_json));
        check_beside_format(Format::parse(view_of(format)), lines);
        Signing::parse(view_of(signing_json)).check_beside(lines);
    });
}

WhispererCode whisperer_body(const WhispererEvent* event, char* body, size_t capacity,
                             size_t* bytes, WhispererError* error) noexcept {
    return guarded(error, [&] {
        const EventMeta meta = EventMeta::parse(view_of(event->meta));
        *bytes = write_body(Format::parse(view_of(event->format)), as_told(*event, meta), body,
                            capacity);
    });
}

WhispererCode whisperer_format_headers(const WhispererEvent* event, int32_t metadata, char* json,
                                       size_t capacity, size_t* bytes,
                                       WhispererError* error) noexcept {
    return guarded(error, [&] {
        const EventMeta meta = EventMeta::parse(view_of(event->meta));
        HeaderLines lines =
            format_header_lines(Format::parse(view_of(event->format)), as_told(*event, meta));
        metadata_of(*event).add_to(lines, metadata);
        add_apart(meta.lines(true), {&lines}, lines);
        *bytes = put_headers(Sink(nullptr), lines);
        if (*bytes <= capacity)
            put_headers(Sink(json), lines);
    });
}

WhispererCode whisperer_event_times(WhispererSpan meta, WhispererEventTimes* times,
                                    WhispererError* error) noexcept {
    return guarded(error, [&] {
        const EventMeta parsed = EventMeta::parse(view_of(meta));
        *times = {parsed.deliver_at_us, parsed.expires_at_us};
    });
}

WhispererCode whisperer_event_key(WhispererSpan meta, WhispererEventKey* key,
                                  WhispererError* error) noexcept {
    return guarded(error, [&] {
        const EventMeta parsed = EventMeta::parse(view_of(meta));
        key->key[parsed.idempotency_key.copy(key->key, sizeof key->key - 1)] = '\0';
        key->until_us = parsed.key_until_us;
    });
}

WhispererCode whisperer_check_idempotency_key(WhispererSpan key, WhispererError* error) noexcept {
    return guarded(error, [&] { check_idempotency_key(view_of(key)); });
}

WhispererCode whisperer_check_keys(WhispererSpan keys, WhispererError* error) noexcept {
    return guarded(error, [&] { KeyRing ring(view_of(keys)); });
}

int whisperer_is_sealed(WhispererSpan stored) noexcept {
    return is_sealed(view_of(stored)) ? 1 : 0;
}

int whisperer_is_sealed_now(WhispererSpan keys, WhispererSpan stored) noexcept {
    int result = 0;
    guarded(nullptr, [&] { result = KeyRing(view_of(keys)).is_current(view_of(stored)) ? 1 : 0; });
    return result;
}

size_t whisperer_sealed_bytes_max(size_t plain_bytes) noexcept {
    return sealed_bytes(plain_bytes);
}

WhispererCode whisperer_seal(WhispererSpan keys, const WhispererSecretPlace* place,
                             WhispererSpan plain, char* sealed, size_t* sealed_bytes,
                             WhispererError* error) noexcept {
    return guarded(error, [&] {
        const std::string text =
            KeyRing(view_of(keys)).seal({place->hook_id, view_of(place->column)}, view_of(plain));
        *sealed_bytes = text.copy(sealed, text.size());
    });
}

WhispererCode whisperer_open_sealed(WhispererSpan keys, const WhispererSecretPlace* place,
                                    WhispererSpan stored, char* plain, size_t* plain_bytes,
                                    WhispererError* error) noexcept {
    return guarded(error, [&] {
        const std::string text =
            KeyRing(view_of(keys)).open({place->hook_id, view_of(place->column)}, view_of(stored));
        *plain_bytes = text.copy(plain, text.size());
    });
}
