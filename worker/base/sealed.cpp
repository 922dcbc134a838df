// Sealing and opening with OpenSSL's EVP; see sealed.h.
#include "worker/base/sealed.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>

#include "worker/base/encoding.h"
#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

constexpr std::string_view version_prefix = "sealed:1:";
constexpr std::size_t key_id_digits = 16;
constexpr std::size_t keys_max = 64;
constexpr std::string_view plain_word = "plain";

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* bytes_of(std::string& text) {
    return reinterpret_cast<unsigned char*>(text.data());
}

struct FreeCipher {
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

std::string key_id(std::string_view key) {
    std::string digest(32, '\0');
    if (EVP_Digest(key.data(), key.size(), bytes_of(digest), nullptr, EVP_sha256(), nullptr) != 1)
        throw std::runtime_error("OpenSSL cannot compute SHA-256");
    return to_hex(digest).substr(0, key_id_digits);
}

// What a value is bound to beside its key.  The column's name has no colon.
std::string bound_to(const SecretPlace& place) {
    return "whisperer.secret:" + std::to_string(place.hook_id) + ':' + std::string(place.column);
}

std::string_view trimmed(std::string_view line) {
    constexpr std::string_view blanks = " \t\r";
    const std::size_t begin = line.find_first_not_of(blanks);
    if (begin == std::string_view::npos)
        return {};
    return line.substr(begin, line.find_last_not_of(blanks) - begin + 1);
}

std::string key_of_line(std::string_view line, std::size_t number) {
    auto key = from_hex(line);
    if (!key || key->size() != sealing_key_bytes)
        throw Invalid("line " + std::to_string(number) + " of the key file is not a key",
                      "A key is 64 hex digits on a line of its own, as 'openssl rand -hex 32' "
                      "prints them.");
    return *key;
}

}  // namespace

bool is_sealed(std::string_view stored) {
    return stored.starts_with(sealed_prefix);
}

std::size_t sealed_bytes(std::size_t plain_bytes) {
    const std::size_t box_bytes = nonce_bytes + plain_bytes + tag_bytes;
    return version_prefix.size() + key_id_digits + 1 + (box_bytes + 2) / 3 * 4;
}

SealingKey::SealingKey(std::string_view bytes) : bytes_{}, id_(key_id(bytes)) {
    std::copy_n(bytes.begin(), std::min(bytes.size(), bytes_.size()), bytes_.begin());
}

SealingKey::~SealingKey() {
    OPENSSL_cleanse(bytes_.data(), bytes_.size());
}

std::string SealingKey::encrypt(std::string_view nonce, std::string_view bound,
                                std::string_view plain) const {
    const Cipher cipher(EVP_CIPHER_CTX_new());
    std::string encrypted(plain.size() + tag_bytes, '\0');
    unsigned char* out = bytes_of(encrypted);
    int size = 0;
    // GCM gives all of the text at once, so final has nothing to add.
    if (cipher == nullptr ||
        EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, bytes_.data(),
                           bytes_of(nonce)) != 1 ||
        EVP_EncryptUpdate(cipher.get(), nullptr, &size, bytes_of(bound),
                          static_cast<int>(bound.size())) != 1 ||
        EVP_EncryptUpdate(cipher.get(), out, &size, bytes_of(plain),
                          static_cast<int>(plain.size())) != 1 ||
        EVP_EncryptFinal_ex(cipher.get(), out + plain.size(), &size) != 1 ||
        EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag_bytes),
                            out + plain.size()) != 1)
        throw std::runtime_error("OpenSSL cannot encrypt");
    return encrypted;
}

bool SealingKey::decrypt(std::string_view nonce, std::string_view bound, std::string_view encrypted,
                         std::string& plain) const {
    if (encrypted.size() < tag_bytes)
        return false;
    const std::string_view text = encrypted.substr(0, encrypted.size() - tag_bytes);
    std::string tag(encrypted.substr(text.size()));
    plain.assign(text.size(), '\0');
    const Cipher cipher(EVP_CIPHER_CTX_new());
    int size = 0;
    if (cipher == nullptr ||
        EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, bytes_.data(),
                           bytes_of(nonce)) != 1 ||
        EVP_DecryptUpdate(cipher.get(), nullptr, &size, bytes_of(bound),
                          static_cast<int>(bound.size())) != 1 ||
        EVP_DecryptUpdate(cipher.get(), bytes_of(plain), &size, bytes_of(text),
                          static_cast<int>(text.size())) != 1 ||
        EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag_bytes),
                            tag.data()) != 1)
        throw std::runtime_error("OpenSSL cannot decrypt");
    // Only now is it known whether what was decrypted is what was encrypted.
    if (EVP_DecryptFinal_ex(cipher.get(), bytes_of(plain) + text.size(), &size) == 1)
        return true;
    OPENSSL_cleanse(plain.data(), plain.size());
    plain.clear();
    return false;
}

KeyRing::KeyRing(std::string_view file) {
    for (std::size_t number = 1; !file.empty(); ++number) {
        const std::size_t end = std::min(file.find('\n'), file.size());
        const std::string_view line = trimmed(file.substr(0, end));
        file.remove_prefix(std::min(end + 1, file.size()));
        if (line.empty() || line.front() == '#')
            continue;
        if (line == plain_word && keys_.empty()) {
            seals_ = false;
            continue;
        }
        if (keys_.size() == keys_max)
            throw Invalid("the key file has more than 64 keys",
                          "Remove those under which nothing is sealed any more.");
        std::string key = key_of_line(line, number);
        keys_.emplace_back(key);
        OPENSSL_cleanse(key.data(), key.size());
    }
    if (keys_.empty() && seals_)
        throw Invalid("the key file has no key",
                      "Add a line with 64 hex digits, as 'openssl rand -hex 32' prints them.");
}

bool KeyRing::is_current(std::string_view stored) const {
    if (!seals_)
        return !is_sealed(stored);
    return stored.starts_with(std::string(version_prefix) + keys_.front().id() + ':');
}

std::string KeyRing::seal(const SecretPlace& place, std::string_view plain) const {
    if (!seals_)
        return std::string(plain);
    std::string box(nonce_bytes, '\0');
    if (RAND_bytes(bytes_of(box), static_cast<int>(box.size())) != 1)
        throw std::runtime_error("OpenSSL has no random bytes");
    box += keys_.front().encrypt(box, bound_to(place), plain);
    return std::string(version_prefix) + keys_.front().id() + ':' + to_base64(box);
}

std::string KeyRing::open(const SecretPlace& place, std::string_view stored) const {
    const std::size_t id_end = version_prefix.size() + key_id_digits;
    std::string_view id;
    std::optional<std::string> box;
    if (stored.starts_with(version_prefix) && stored.size() > id_end && stored[id_end] == ':') {
        id = stored.substr(version_prefix.size(), key_id_digits);
        box = from_base64(stored.substr(id_end + 1));
    }
    if (!box || box->size() < nonce_bytes + tag_bytes || !from_hex(id))
        throw Invalid("the sealed value is damaged");
    const auto key = std::find_if(keys_.begin(), keys_.end(),
                                  [&](const SealingKey& one) { return one.id() == id; });
    if (key == keys_.end())
        throw Invalid("the key file has no key with the id " + std::string(id));
    std::string plain;
    const std::string_view nonce = std::string_view(*box).substr(0, nonce_bytes);
    if (!key->decrypt(nonce, bound_to(place), std::string_view(*box).substr(nonce_bytes), plain))
        throw Invalid("the sealed value was made for another hook or column, or was changed");
    return plain;
}

}  // namespace whisperer::engine
