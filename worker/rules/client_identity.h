// The certificate and key by which a hook identifies itself in TLS.
//
// Immutable, shared by a hook and its requests; the transport hands libcurl pointers into it.
#pragma once
#include <string>
#include <string_view>

namespace whisperer::engine {

struct ClientIdentity {
    std::string certificate;  // PEM, its chain behind it
    std::string key;          // PEM
};

// Throws Invalid unless they are PEM, the key needs no passphrase and is of a usual kind and size,
// and the two belong together.
ClientIdentity check_client_identity(std::string_view certificate, std::string_view key);

}  // namespace whisperer::engine
