// Who sent it: HMAC-SHA256 signatures of a delivery, two forms of them.
//
// webhook-signature follows Standard Webhooks (id.timestamp.body); X-Whisperer-Signature is over
// the body alone.  The key schedule is computed once per hook, not once per request.  Made by Hook.
#pragma once
#include <openssl/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace whisperer::engine {

inline constexpr std::size_t secret_bytes_max = 1024;

// Throws Invalid: a secret that starts with whsec_ needs base64 behind it; any other text of 1 to
// 1,024 bytes without control characters will do.  Empty is no secret: the caller's case.
void check_secret(std::string_view secret);

// One key, ready to sign any number of messages.  Movable, not copyable.
class HmacKey {
  public:
    explicit HmacKey(std::string_view key);
    // 32 bytes.  The parts are signed as if joined.
    std::string sign(std::initializer_list<std::string_view> parts) const;

  private:
    struct Free {
        void operator()(EVP_MAC_CTX* context) const;
    };
    std::unique_ptr<EVP_MAC_CTX, Free> context_;
};

// The keys of one hook.  While secrets rotate (previous is not empty) both sign webhook-signature,
// and the previous one alone signs X-Whisperer-Signature, which has room for one.
class Signer {
  public:
    // Throws Invalid.  An empty secret: signs nothing.
    Signer(std::string_view secret, std::string_view previous);

    bool signs() const { return !webhook_keys_.empty(); }
    // "v1,<base64>", space-separated while secrets rotate.
    std::string webhook_signature(std::string_view id, std::string_view timestamp,
                                  std::string_view body) const;
    // "sha256=<hex>"
    std::string body_signature(std::string_view body) const;

  private:
    std::vector<HmacKey> webhook_keys_;
    std::vector<HmacKey> body_key_;  // none or one
};

}  // namespace whisperer::engine
