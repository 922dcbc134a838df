// Ids of requests; see random_id.h.
#include "random_id.h"

#include <openssl/rand.h>

#include <stdexcept>

namespace whisperer::gateway {

std::string random_id() {
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        throw std::runtime_error("no random bytes");
    std::string id;
    for (const unsigned char byte : bytes) {
        id += "0123456789abcdef"[byte >> 4];
        id += "0123456789abcdef"[byte & 15];
    }
    return id;
}

}  // namespace whisperer::gateway
