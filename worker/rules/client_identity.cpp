// Asks OpenSSL what libcurl would find out only when it connects.
#include "worker/rules/client_identity.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <memory>
#include <new>

#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

struct FreeBio {
    void operator()(BIO* bio) const { BIO_free(bio); }
};
struct FreeCertificate {
    void operator()(X509* certificate) const { X509_free(certificate); }
};
struct FreeKey {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

// What failed here must not be taken for a failure of the host's own connections.
struct ErrorsForgotten {
    ErrorsForgotten() = default;
    ~ErrorsForgotten() { ERR_clear_error(); }
    ErrorsForgotten(const ErrorsForgotten&) = delete;
    ErrorsForgotten& operator=(const ErrorsForgotten&) = delete;
};

std::unique_ptr<BIO, FreeBio> reader_of(std::string_view pem) {
    std::unique_ptr<BIO, FreeBio> reader(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    if (reader == nullptr)
        throw std::bad_alloc();
    return reader;
}

// Without it OpenSSL would ask at the terminal.
int refuse_passphrase(char*, int, int, void* was_asked) {
    *static_cast<bool*>(was_asked) = true;
    return -1;
}

void check_characters(std::string_view pem, const char* name) {
    const bool is_plain = std::all_of(pem.begin(), pem.end(), [](char c) {
        return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\r' || c == '\t';
    });
    if (!is_plain)
        throw Invalid(std::string("config.auth key \"") + name +
                          "\" contains a control character or one that is not ASCII",
                      "Give it in PEM, with its BEGIN and END lines.");
}

// A handshake takes the worker's only thread for as long as the key takes to sign: 4096 bits some
// milliseconds, and eight times as long for each doubling.
constexpr int rsa_bits_max = 4096;
constexpr int rsa_exponent_bits_max = 64;

// The parts of a key may be far larger than the modulus that says how large it is.
bool is_usual_rsa(const EVP_PKEY* key) {
    struct Part {
        const char* name;
        int bits_max;
    };
    const int bits = EVP_PKEY_get_bits(key);
    for (const Part& part :
         {Part{OSSL_PKEY_PARAM_RSA_N, rsa_bits_max},
          Part{OSSL_PKEY_PARAM_RSA_E, rsa_exponent_bits_max}, Part{OSSL_PKEY_PARAM_RSA_D, bits},
          Part{OSSL_PKEY_PARAM_RSA_FACTOR1, bits}, Part{OSSL_PKEY_PARAM_RSA_FACTOR2, bits},
          Part{OSSL_PKEY_PARAM_RSA_EXPONENT1, bits}, Part{OSSL_PKEY_PARAM_RSA_EXPONENT2, bits},
          Part{OSSL_PKEY_PARAM_RSA_COEFFICIENT1, bits}}) {
        BIGNUM* number = nullptr;
        // A key without its factors has none of the last five.
        const bool is_there = EVP_PKEY_get_bn_param(key, part.name, &number) == 1;
        const bool fits = !is_there || BN_num_bits(number) <= part.bits_max;
        BN_clear_free(number);
        if (!fits)
            return false;
    }
    return bits <= rsa_bits_max;
}

bool is_usual_curve(const EVP_PKEY* key) {
    char name[64] = "";
    std::size_t size = 0;
    EVP_PKEY_get_group_name(key, name, sizeof name, &size);
    const std::string_view curve(name);
    return curve == "prime256v1" || curve == "secp384r1" || curve == "secp521r1";
}

void check_key_size(const EVP_PKEY* key) {
    const bool is_usual =
        EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS") ? is_usual_rsa(key)
        : EVP_PKEY_is_a(key, "EC")                                 ? is_usual_curve(key)
                                   : EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448");
    if (!is_usual)
        throw Invalid("config.auth key \"client_key\" is of a kind or size that is not taken",
                      "Take RSA of up to 4096 bits, P-256, P-384, P-521, Ed25519 or Ed448.");
}

}  // namespace

ClientIdentity check_client_identity(std::string_view certificate, std::string_view key) {
    check_characters(certificate, "client_certificate");
    check_characters(key, "client_key");
    const ErrorsForgotten forgotten;
    bool was_asked = false;
    const auto certificate_reader = reader_of(certificate);
    const std::unique_ptr<X509, FreeCertificate> leaf(
        PEM_read_bio_X509(certificate_reader.get(), nullptr, &refuse_passphrase, &was_asked));
    if (leaf == nullptr)
        throw Invalid("config.auth key \"client_certificate\" is not a certificate in PEM",
                      "It begins with -----BEGIN CERTIFICATE-----.");
    const auto key_reader = reader_of(key);
    const std::unique_ptr<EVP_PKEY, FreeKey> private_key(
        PEM_read_bio_PrivateKey(key_reader.get(), nullptr, &refuse_passphrase, &was_asked));
    if (private_key == nullptr && was_asked)
        throw Invalid("config.auth key \"client_key\" has a passphrase",
                      "Remove it (openssl pkey -in key.pem): nobody is there to enter it.");
    if (private_key == nullptr)
        throw Invalid("config.auth key \"client_key\" is not a private key in PEM",
                      "It begins with -----BEGIN PRIVATE KEY-----.");
    check_key_size(private_key.get());
    if (X509_check_private_key(leaf.get(), private_key.get()) != 1)
        throw Invalid("config.auth key \"client_key\" does not belong to client_certificate",
                      "Put the certificate itself first, those of its authorities behind it.");
    return {std::string(certificate), std::string(key)};
}

}  // namespace whisperer::engine
