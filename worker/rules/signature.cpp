// Signatures with OpenSSL.  A keyed HMAC context is made once and begins anew with each message;
// ed25519 has no state to keep beside its key.
#include "worker/rules/signature.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <stdexcept>

#include "worker/base/encoding.h"
#include "worker/base/invalid.h"
#include "worker/base/sealed.h"

namespace whisperer::engine {
namespace {

constexpr std::string_view hmac_prefix = "whsec_";
constexpr std::string_view ed25519_prefix = "whsk_";
constexpr std::size_t ed25519_signature_bytes = 64;

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* bytes_of(std::string& text) {
    return reinterpret_cast<unsigned char*>(text.data());
}

Ed25519Key ed25519_key(std::string_view secret) {
    const auto key = from_base64(secret.substr(ed25519_prefix.size()));
    if (!key || key->size() != 2 * ed25519_seed_bytes)
        throw Invalid("secret starts with whsk_ but the rest is not the base64 of 64 bytes",
                      "SELECT whisperer.make_signing_key() makes one; else choose a secret that "
                      "does not start with whsk_.");
    Ed25519Key made(std::string_view(*key).substr(0, ed25519_seed_bytes));
    if (made.public_key() != std::string_view(*key).substr(ed25519_seed_bytes))
        throw Invalid("the public half of the whsk_ secret does not belong to its private half",
                      "After whsk_ comes the base64 of the seed's 32 bytes and the public key's 32 "
                      "bytes; SELECT whisperer.make_signing_key() makes one.");
    return made;
}

HmacKey hmac_key(std::string_view secret) {
    if (!secret.starts_with(hmac_prefix))
        return HmacKey(secret);
    auto key = from_base64(secret.substr(hmac_prefix.size()));
    if (!key || key->empty())
        throw Invalid("secret starts with whsec_ but the rest is not base64",
                      "Give base64 after whsec_, or a secret that does not start with it.");
    return HmacKey(*key);
}

// With the key that the context has.  In OpenSSL, and in FIPS providers, before 3.0.3 it goes on
// with the message before, and says that all is well (openssl/openssl#17811).
bool begin_anew(EVP_MAC_CTX* context) {
    return EVP_MAC_init(context, nullptr, 0, nullptr) == 1;
}

// Empty: OpenSSL cannot sign.
std::string signature_of(EVP_MAC_CTX* context, std::initializer_list<std::string_view> parts) {
    std::string digest(EVP_MAX_MD_SIZE, '\0');
    std::size_t size = 0;
    bool signed_all = context != nullptr;
    for (std::string_view part : parts)
        signed_all = signed_all && EVP_MAC_update(context, bytes_of(part), part.size()) == 1;
    if (!signed_all || EVP_MAC_final(context, bytes_of(digest), &size, digest.size()) != 1)
        size = 0;
    digest.resize(size);
    return digest;
}

WebhookKey webhook_key(std::string_view secret) {
    if (secret.starts_with(ed25519_prefix))
        return ed25519_key(secret);
    return hmac_key(secret);
}

}  // namespace

void check_secret(std::string_view secret) {
    if (secret.empty() || secret.size() > secret_bytes_max)
        throw Invalid("secret must have 1 to 1024 bytes");
    for (char c : secret)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            throw Invalid("secret must not contain control characters");
    if (is_sealed(secret))
        throw Invalid("secret must not start with " + std::string(sealed_prefix),
                      "Stored secrets start so that are encrypted; choose another.");
    webhook_key(secret);
}

std::string make_signing_key(std::string_view seed) {
    std::string key(seed);
    key += Ed25519Key(seed).public_key();
    return std::string(ed25519_prefix) + to_base64(key);
}

void HmacKey::Free::operator()(EVP_MAC_CTX* context) const {
    EVP_MAC_CTX_free(context);
}

HmacKey::HmacKey(std::string_view key, std::string digest) {
    EVP_MAC* mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    context_.reset(mac != nullptr ? EVP_MAC_CTX_new(mac) : nullptr);
    EVP_MAC_free(mac);  // the context holds a reference of its own
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
        OSSL_PARAM_construct_end()};
    if (context_ == nullptr || EVP_MAC_init(context_.get(), bytes_of(key), key.size(), params) != 1)
        throw std::runtime_error("OpenSSL cannot make an HMAC key");
    const Context copy(EVP_MAC_CTX_dup(context_.get()));
    const std::string signature = signature_of(copy.get(), {"message"});
    begins_anew_ = !signature.empty() && begin_anew(copy.get()) &&
                   signature_of(copy.get(), {"message"}) == signature;
}

std::string HmacKey::sign(std::initializer_list<std::string_view> parts) const {
    std::string signature;
    if (!begins_anew_)
        signature = signature_of(Context(EVP_MAC_CTX_dup(context_.get())).get(), parts);
    else if (begin_anew(context_.get()))
        signature = signature_of(context_.get(), parts);
    if (signature.empty())
        throw std::runtime_error("OpenSSL cannot sign");
    return signature;
}

void Ed25519Key::Free::operator()(EVP_PKEY* key) const {
    EVP_PKEY_free(key);
}

Ed25519Key::Ed25519Key(std::string_view seed)
    : key_(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, bytes_of(seed), seed.size())) {
    if (key_ == nullptr)
        throw std::runtime_error("OpenSSL cannot make an ed25519 key");
}

std::string Ed25519Key::public_key() const {
    std::string key(32, '\0');
    std::size_t size = key.size();
    if (EVP_PKEY_get_raw_public_key(key_.get(), bytes_of(key), &size) != 1 || size != key.size())
        throw std::runtime_error("OpenSSL cannot tell an ed25519 public key");
    return key;
}

std::string Ed25519Key::sign(std::initializer_list<std::string_view> parts) const {
    // The whole message is read twice, so it cannot be fed in parts.
    std::string message;
    for (std::string_view part : parts)
        message += part;
    struct FreeContext {
        void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
    };
    const std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
    std::string signature(ed25519_signature_bytes, '\0');
    std::size_t size = signature.size();
    if (context == nullptr ||
        EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) != 1 ||
        EVP_DigestSign(context.get(), bytes_of(signature), &size, bytes_of(message),
                       message.size()) != 1 ||
        size != signature.size())
        throw std::runtime_error("OpenSSL cannot sign");
    return signature;
}

Signer::Signer(std::string_view secret, std::string_view previous, SignatureChoice choice)
    : choice_(std::move(choice)) {
    if (secret.empty())
        return;
    for (std::string_view key : {secret, previous}) {
        if (key.empty())
            continue;
        check_secret(key);
        webhook_keys_.push_back(webhook_key(key));
        if (key.starts_with(ed25519_prefix))
            continue;
        body_key_.clear();
        body_key_.emplace_back(key);
        if (!choice_.own.is_set())
            continue;
        if (choice_.own.overlap.empty())
            own_keys_.clear();
        own_keys_.emplace_back(key, choice_.own.digest);
    }
}

void Signer::append_webhook_signature(std::string& line, std::string_view id,
                                      std::string_view timestamp, std::string_view body) const {
    for (const WebhookKey& key : webhook_keys_) {
        line += &key == &webhook_keys_.front() ? "" : " ";
        if (const auto* hmac = std::get_if<HmacKey>(&key)) {
            line += "v1,";
            append_base64(line, hmac->sign({id, ".", timestamp, ".", body}));
        } else {
            line += "v1a,";
            append_base64(line, std::get<Ed25519Key>(key).sign({id, ".", timestamp, ".", body}));
        }
    }
}

void Signer::append_body_signature(std::string& line, std::string_view body) const {
    line += "sha256=";
    append_hex(line, body_key_.front().sign({body}));
}

std::string Signer::webhook_signature(std::string_view id, std::string_view timestamp,
                                      std::string_view body) const {
    std::string list;
    append_webhook_signature(list, id, timestamp, body);
    return list;
}

std::string Signer::body_signature(std::string_view body) const {
    std::string signature;
    append_body_signature(signature, body);
    return signature;
}

void Signer::add_own_line(HeaderLines& lines, std::string_view id, std::string_view timestamp,
                          std::string_view body) const {
    const Signing& own = choice_.own;
    const std::string before = filled(own.before_body, {id, timestamp, {}});
    const std::string behind = filled(own.behind_body, {id, timestamp, {}});
    std::string line = own.header + ": ";
    for (const HmacKey& key : own_keys_)
        line += filled(&key == &own_keys_.front() ? own.value : own.overlap,
                       {id, timestamp, key.sign({before, body, behind})});
    lines.push_back(std::move(line));
    if (!own.time_header.empty())
        lines.push_back(own.time_header + ": " + std::string(timestamp));
}

void Signer::add_lines(HeaderLines& lines, std::string_view id, std::string_view timestamp,
                       std::string_view body) const {
    // Room for one signature.
    constexpr std::size_t line_bytes = 96;
    if (choice_.body && signs_body()) {
        std::string& line = lines.emplace_back();
        line.reserve(line_bytes);
        append_body_signature(line.append("X-Whisperer-Signature: "), body);
    }
    if (choice_.webhook && signs()) {
        std::string& line = lines.emplace_back();
        line.reserve(line_bytes);
        append_webhook_signature(line.append("webhook-signature: "), id, timestamp, body);
    }
    if (!own_keys_.empty())
        add_own_line(lines, id, timestamp, body);
}

}  // namespace whisperer::engine
