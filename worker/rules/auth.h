// How a hook shows its target who it is: config.auth, checked and ready to be sent.
//
// Immutable, a part of Hook; whisperer_check_auth runs the same rules in a backend.  What is
// constant is a header line at once; for a token that must be fetched it has the request and reads
// the answer.  Invariant: nothing that is sent holds a control byte, and no error text holds
// anything but names of keys.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/base/clock.h"
#include "worker/rules/client_identity.h"
#include "worker/rules/headers.h"
#include "worker/rules/url.h"

namespace whisperer::engine {

inline constexpr std::size_t auth_bytes_max = 64 * 1024;
inline constexpr std::size_t auth_text_bytes_max = 8192;  // of one value, and of a token
inline constexpr seconds token_lifetime_max = std::chrono::hours(24 * 365);

struct FetchedToken {
    std::string line;  // "Authorization: ..."; empty: there is none, and error says why
    std::optional<seconds> lifetime;
    std::string error;
};

class Auth {
  public:
    Auth() = default;  // none
    // Empty or JSON null: none.  Throws Invalid, naming the key.
    static Auth parse(std::string_view json, std::string_view user_agent, bool require_https);

    // "Authorization: ..."; empty: it is fetched, or there is none.
    const std::string& constant_line() const { return constant_line_; }
    bool fetches_token() const { return token_target_ != nullptr; }
    // The request for a token; only if fetches_token.
    const std::shared_ptr<const Target>& token_target() const { return token_target_; }
    const HeaderLines& token_headers() const { return token_headers_; }
    const std::string& token_body() const { return token_body_; }
    FetchedToken read_token(std::string_view answer) const;
    // Null: none.
    const std::shared_ptr<const ClientIdentity>& identity() const { return identity_; }

    // Throws Invalid if they set Authorization, too.
    void check_beside(const HeaderLines& additional_headers) const;
    // Whether both were made of the same text.
    bool operator==(const Auth& other) const { return source_ == other.source_; }

  private:
    friend class AuthReader;
    std::string source_;
    std::string constant_line_;
    std::shared_ptr<const Target> token_target_;
    HeaderLines token_headers_;
    std::string token_body_;
    std::string token_key_;
    std::string header_format_;
    bool honours_expires_in_ = false;
    std::shared_ptr<const ClientIdentity> identity_;
};

}  // namespace whisperer::engine
