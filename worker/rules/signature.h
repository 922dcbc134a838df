// Who sent it: signatures of a delivery, in headers of which a hook may choose.
//
// webhook-signature follows Standard Webhooks (id.timestamp.body): v1 is HMAC-SHA256, v1a ed25519;
// the kind of a hook's secret decides which.  X-Whisperer-Signature is an HMAC over the body alone,
// and a hook may have a header of its own (signing.h).  What a key costs to set up is paid once per
// hook, not once per request.  Made by Hook.
#pragma once
#include <openssl/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "worker/rules/headers.h"
#include "worker/rules/signing.h"

namespace whisperer::engine {

inline constexpr std::size_t secret_bytes_max = 1024;
inline constexpr std::size_t ed25519_seed_bytes = 32;

// Throws Invalid: a secret that starts with whsec_ needs base64 behind it, one that starts with
// whsk_ the base64 of an ed25519 seed and the public key that belongs to it, and none may look like
// a sealed one; any other text of 1 to 1,024 bytes without control characters will do.  Empty is no
// secret: the caller's case.
void check_secret(std::string_view secret);

// The whsk_ secret of a seed of 32 random bytes.
std::string make_signing_key(std::string_view seed);

// One key, ready to sign any number of messages, one after the other.  Movable, not copyable.
class HmacKey {
  public:
    explicit HmacKey(std::string_view key, std::string digest = "SHA256");
    // As long as the digest: 32 bytes of SHA256.  The parts are signed as if joined.
    std::string sign(std::initializer_list<std::string_view> parts) const;

  private:
    struct Free {
        void operator()(EVP_MAC_CTX* context) const;
    };
    using Context = std::unique_ptr<EVP_MAC_CTX, Free>;

    Context context_;
    bool begins_anew_ = false;  // with each message; else each gets a copy, which takes longer
};

// The same for ed25519, whose signatures anybody can verify and only the seed can make.
class Ed25519Key {
  public:
    explicit Ed25519Key(std::string_view seed);
    std::string public_key() const;  // 32 bytes
    // 64 bytes.  The parts are signed as if joined.
    std::string sign(std::initializer_list<std::string_view> parts) const;

  private:
    struct Free {
        void operator()(EVP_PKEY* key) const;
    };
    std::unique_ptr<EVP_PKEY, Free> key_;
};

using WebhookKey = std::variant<HmacKey, Ed25519Key>;

// Which signatures a hook's requests have.
struct SignatureChoice {
    bool webhook = true;  // webhook-signature
    bool body = true;     // X-Whisperer-Signature
    Signing own;
};

// The keys of one hook.  While secrets rotate (previous is not empty) both sign webhook-signature.
// X-Whisperer-Signature has room for one, and only a secret that is not whsk_ can sign it: the
// previous one before the present one.  So it is with a signature of the hook's own that has no
// overlap; else it has all of them, the present one's first.
class Signer {
  public:
    // Throws Invalid.  An empty secret: signs nothing.
    Signer(std::string_view secret, std::string_view previous, SignatureChoice choice = {});

    bool signs() const { return !webhook_keys_.empty(); }
    bool signs_body() const { return !body_key_.empty(); }
    // Space-separated while secrets rotate.
    std::string webhook_signature(std::string_view id, std::string_view timestamp,
                                  std::string_view body) const;
    // "sha256=<hex>"; only if signs_body.
    std::string body_signature(std::string_view body) const;
    // All that the hook has, one line each.
    void add_lines(HeaderLines& lines, std::string_view id, std::string_view timestamp,
                   std::string_view body) const;

  private:
    void append_webhook_signature(std::string& line, std::string_view id,
                                  std::string_view timestamp, std::string_view body) const;
    void append_body_signature(std::string& line, std::string_view body) const;
    void add_own_line(HeaderLines& lines, std::string_view id, std::string_view timestamp,
                      std::string_view body) const;

    SignatureChoice choice_;
    std::vector<WebhookKey> webhook_keys_;
    std::vector<HmacKey> body_key_;  // none or one
    std::vector<HmacKey> own_keys_;  // the present secret's first
};

}  // namespace whisperer::engine
