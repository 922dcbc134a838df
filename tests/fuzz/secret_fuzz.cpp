// Secrets: one that is accepted signs, in the forms that receivers expect, and its Standard
// Webhooks form signs the same.
#include "tests/fuzz/property.h"
#include "worker/base/encoding.h"
#include "worker/rules/signature.h"

using namespace whisperer::engine;

namespace {

void check_signer(const std::string& secret) {
    const Signer signer(secret, "");
    HOLDS(signer.signs());
    const std::string webhook = signer.webhook_signature("id", "1", "body");
    HOLDS(webhook.starts_with("v1,") && webhook.size() == 3 + 44);
    HOLDS(from_base64(webhook.substr(3))->size() == 32);
    const std::string body = signer.body_signature("body");
    HOLDS(body.starts_with("sha256=") && body.size() == 7 + 64);
    const Signer rotating("another", secret);
    HOLDS(rotating.webhook_signature("id", "1", "body").ends_with(' ' + webhook));
    HOLDS(rotating.body_signature("body") == body);
    const std::string portable = "whsec_" + to_base64(secret);
    if (!secret.starts_with("whsec_") && portable.size() <= secret_bytes_max)
        HOLDS(Signer(portable, "").webhook_signature("id", "1", "body") == webhook);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string secret(text_of(data, size));
    HOLDS(from_base64(to_base64(secret)) == secret);
    if (const auto decoded = from_base64(secret))
        HOLDS(to_base64(*decoded) == secret);
    HOLDS(to_hex(secret).size() == 2 * secret.size());
    try {
        check_secret(secret);
        HOLDS(!secret.empty() && secret.size() <= secret_bytes_max && !has_control(secret));
        check_signer(secret);
    } catch (const Invalid& invalid) {
        check_message(invalid);
    }
    return 0;
}
