// Secrets at rest: AES-256-GCM under a key that is not in the database.
//
//     sealed:1:<key id>:<base64 of nonce, ciphertext and tag>
//
// The key id is the first 16 hex digits of the SHA-256 of the key.  A value is bound to its place
// (hook and column): moved to another row or column it does not open.  Pure functions; used by
// backends, which seal and open for people, and by the worker, which opens.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace whisperer::engine {

inline constexpr std::string_view sealed_prefix = "sealed:";
inline constexpr std::size_t sealing_key_bytes = 32;
inline constexpr std::size_t nonce_bytes = 12;
inline constexpr std::size_t tag_bytes = 16;

// No other stored value starts so: check_secret refuses it, and JSON cannot.
bool is_sealed(std::string_view stored);

// How long a sealed value is; longer than the value.
std::size_t sealed_bytes(std::size_t plain_bytes);

// One key; its bytes are wiped when it goes.
class SealingKey {
  public:
    explicit SealingKey(std::string_view bytes);
    SealingKey(const SealingKey&) = default;
    SealingKey& operator=(const SealingKey&) = default;
    ~SealingKey();

    const std::string& id() const { return id_; }
    // Ciphertext and tag.
    std::string encrypt(std::string_view nonce, std::string_view bound,
                        std::string_view plain) const;
    // False: key, nonce, bound or a bit of the rest is another than it was.
    bool decrypt(std::string_view nonce, std::string_view bound, std::string_view encrypted,
                 std::string& plain) const;

  private:
    std::array<unsigned char, sealing_key_bytes> bytes_;
    std::string id_;
};

struct SecretPlace {
    std::int64_t hook_id;
    std::string_view column;
};

// The keys of a key file: the first seals, all open.
class KeyRing {
  public:
    // One key a line, as 64 hex digits; empty lines and those that begin with # say nothing.  The
    // word plain in place of the first key: nothing is sealed any more.  Throws Invalid, naming the
    // line.
    explicit KeyRing(std::string_view file);

    // Whether seal would store it in the same way.
    bool is_current(std::string_view stored) const;
    std::string seal(const SecretPlace& place, std::string_view plain) const;
    // Throws Invalid: no such key, or it was sealed for another place, or changed.
    std::string open(const SecretPlace& place, std::string_view stored) const;

  private:
    std::vector<SealingKey> keys_;
    bool seals_ = true;  // with the first, which is there then
};

}  // namespace whisperer::engine
