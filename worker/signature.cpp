// Signatures with OpenSSL's EVP_MAC; a keyed context is made once and duplicated per message.
#include "signature.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>
#include <stdexcept>

#include "encoding.h"
#include "invalid.h"

namespace whisperer::engine {
namespace {

constexpr std::string_view webhook_prefix = "whsec_";

std::string webhook_key(std::string_view secret) {
    if (!secret.starts_with(webhook_prefix))
        return std::string(secret);
    auto key = from_base64(secret.substr(webhook_prefix.size()));
    if (!key || key->empty())
        throw Invalid("secret starts with whsec_ but the rest is not base64",
                      "Give base64 after whsec_, or a secret that does not start with it.");
    return *key;
}

}  // namespace

void check_secret(std::string_view secret) {
    if (secret.empty() || secret.size() > secret_bytes_max)
        throw Invalid("secret must have 1 to 1024 bytes");
    for (char c : secret)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            throw Invalid("secret must not contain control characters");
    webhook_key(secret);
}

void HmacKey::Free::operator()(EVP_MAC_CTX* context) const {
    EVP_MAC_CTX_free(context);
}

HmacKey::HmacKey(std::string_view key) {
    EVP_MAC* mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    context_.reset(mac != nullptr ? EVP_MAC_CTX_new(mac) : nullptr);
    EVP_MAC_free(mac);  // the context holds a reference of its own
    std::array<char, 7> digest{"SHA256"};
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
        OSSL_PARAM_construct_end()};
    if (context_ == nullptr ||
        EVP_MAC_init(context_.get(), reinterpret_cast<const unsigned char*>(key.data()), key.size(),
                     params) != 1)
        throw std::runtime_error("OpenSSL cannot make an HMAC-SHA256 key");
}

std::string HmacKey::sign(std::initializer_list<std::string_view> parts) const {
    const std::unique_ptr<EVP_MAC_CTX, Free> context(EVP_MAC_CTX_dup(context_.get()));
    std::string digest(32, '\0');
    std::size_t size = 0;
    bool signed_all = context != nullptr;
    for (std::string_view part : parts)
        signed_all =
            signed_all &&
            EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(part.data()),
                           part.size()) == 1;
    if (!signed_all ||
        EVP_MAC_final(context.get(), reinterpret_cast<unsigned char*>(digest.data()), &size,
                      digest.size()) != 1 ||
        size != digest.size())
        throw std::runtime_error("OpenSSL cannot sign");
    return digest;
}

Signer::Signer(std::string_view secret, std::string_view previous) {
    if (secret.empty())
        return;
    check_secret(secret);
    webhook_keys_.emplace_back(webhook_key(secret));
    if (!previous.empty()) {
        check_secret(previous);
        webhook_keys_.emplace_back(webhook_key(previous));
    }
    body_key_.emplace_back(previous.empty() ? secret : previous);
}

std::string Signer::webhook_signature(std::string_view id, std::string_view timestamp,
                                      std::string_view body) const {
    std::string list;
    for (const HmacKey& key : webhook_keys_) {
        list += list.empty() ? "v1," : " v1,";
        list += to_base64(key.sign({id, ".", timestamp, ".", body}));
    }
    return list;
}

std::string Signer::body_signature(std::string_view body) const {
    return "sha256=" + to_hex(body_key_.front().sign({body}));
}

}  // namespace whisperer::engine
