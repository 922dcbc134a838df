// Bounds on what waits to be sent; see sending.h.
#include "sending.h"

namespace whisperer::gateway {

namespace {

constexpr std::size_t bytes_max = 64 * 1024 * 1024;
constexpr std::size_t of_client_max = bytes_max / 4;
constexpr std::size_t small_bytes_max = 16 * 1024;

}  // namespace

bool Sending::add(const std::string& client, std::size_t bytes, bool is_must) {
    std::size_t& of_client = by_client_[client];
    if (!is_must && bytes > small_bytes_max &&
        (bytes_ + bytes > bytes_max || of_client + bytes > of_client_max)) {
        if (of_client == 0)
            by_client_.erase(client);
        return false;
    }
    bytes_ += bytes;
    of_client += bytes;
    return true;
}

void Sending::remove(const std::string& client, std::size_t bytes) {
    if (bytes == 0)
        return;
    bytes_ -= bytes;
    const auto found = by_client_.find(client);
    if ((found->second -= bytes) == 0)
        by_client_.erase(found);
}

}  // namespace whisperer::gateway
