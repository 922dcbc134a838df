// Reads config.auth, strictly, and the answers of token endpoints.
#include "worker/rules/auth.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "worker/base/encoding.h"
#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

constexpr std::string_view token_place = "{token}";
constexpr std::string_view their_token_place = "{}";  // dj-whisperer's
constexpr const char* form_type = "application/x-www-form-urlencoded";

// application/x-www-form-urlencoded, as RFC 6749 wants its parameters and client credentials.
std::string form_encoded(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string encoded;
    for (char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '.' || c == '_' || c == '*') {
            encoded += c;
        } else if (c == ' ') {
            encoded += '+';
        } else {
            encoded += '%';
            encoded += digits[byte >> 4];
            encoded += digits[byte & 15];
        }
    }
    return encoded;
}

std::string key_text(std::string_view key) {
    std::string text = "\"";
    for (char c : key.substr(0, 64))
        text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    return text + '"';
}

std::string replaced(std::string_view text, std::string_view place, std::string_view with) {
    std::string value;
    for (std::size_t at; (at = text.find(place)) != std::string_view::npos;) {
        value += text.substr(0, at);
        value += with;
        text.remove_prefix(at + place.size());
    }
    value += text;
    return value;
}

std::string with_token(std::string_view format, std::string_view token) {
    return replaced(format, token_place, token);
}

// The value at a path of keys with dots between; null: there is none.
const nlohmann::json* value_at(const nlohmann::json& json, std::string_view path) {
    const nlohmann::json* value = &json;
    while (true) {
        const std::size_t dot = path.find('.');
        const auto found = value->find(std::string(path.substr(0, dot)));
        if (!value->is_object() || found == value->end())
            return nullptr;
        value = &*found;
        if (dot == std::string_view::npos)
            return value;
        path.remove_prefix(dot + 1);
    }
}

// Seconds as a number, or as the text of one, which some servers send.
std::optional<seconds> lifetime_of(const nlohmann::json& answer) {
    const nlohmann::json* value = value_at(answer, "expires_in");
    double lifetime_s = -1;
    if (value != nullptr && value->is_number()) {
        lifetime_s = value->get<double>();
    } else if (value != nullptr && value->is_string()) {
        const auto& text = value->get_ref<const std::string&>();
        const auto [end, error] =
            std::from_chars(text.data(), text.data() + text.size(), lifetime_s);
        if (error != std::errc() || end != text.data() + text.size())
            lifetime_s = -1;
    }
    if (!(lifetime_s >= 0))
        return std::nullopt;
    const auto max_s = static_cast<double>(token_lifetime_max.count());
    return seconds(static_cast<std::int64_t>(std::min(lifetime_s, max_s)));
}

}  // namespace

class AuthReader {
  public:
    AuthReader(const nlohmann::json& config, std::string_view user_agent, bool require_https)
        : config_(config), user_agent_(user_agent), require_https_(require_https) {}

    void read(Auth& auth) {
        if (!config_.is_object())
            throw Invalid("config.auth is not a JSON object");
        const std::string type = read_type();
        if (is_of_dj_whisperer_ && type != "basic" && type != "token")
            refuse("auth_type", "is not one of basic, token", "\"type\" may be more.");
        if (type == "basic")
            read_basic(auth);
        else if (type == "bearer")
            read_bearer(auth);
        else if (type == "token")
            read_token(auth);
        else if (type == "oauth2")
            read_oauth2(auth);
        else if (!type.empty())
            refuse("type", "is not one of basic, bearer, token, oauth2");
        read_identity(auth);
        check_keys();
    }

  private:
    [[noreturn]] static void refuse(std::string_view key, const std::string& what,
                                    const std::string& hint = {}) {
        throw Invalid("config.auth key " + key_text(key) + " " + what, hint);
    }

    // Notes that the key is known.  Null: it is not there.
    const std::string* find_text(std::string_view key) {
        known_.push_back(key);
        const auto found = config_.find(std::string(key));
        if (found == config_.end() || found->is_null())
            return nullptr;
        if (!found->is_string())
            refuse(key, "is not a string");
        return &found->get_ref<const std::string&>();
    }

    std::string text(std::string_view key, const char* otherwise = nullptr) {
        const std::string* value = find_text(key);
        if (value == nullptr && otherwise == nullptr)
            throw Invalid("config.auth lacks the key " + key_text(key));
        const std::string_view result = value != nullptr ? *value : std::string_view(otherwise);
        if (result.size() > auth_text_bytes_max)
            refuse(key, "is longer than 8192 bytes");
        if (!is_field_value(result) || result.find('\t') != std::string_view::npos)
            refuse(key, "contains a control character");
        return std::string(result);
    }

    std::string filled_text(std::string_view key, const char* otherwise = nullptr) {
        std::string result = text(key, otherwise);
        if (result.empty())
            refuse(key, "is empty");
        return result;
    }

    std::string read_type() {
        const std::string* type = find_text("type");
        if (const std::string* theirs = find_text("auth_type"); theirs != nullptr) {
            if (type != nullptr)
                refuse("auth_type", "stands beside \"type\"");
            is_of_dj_whisperer_ = true;
            return *theirs;
        }
        if (type != nullptr && !type->empty())
            return *type;
        if (type != nullptr || !config_.contains("client_certificate") ||
            config_.at("client_certificate").is_null())
            throw Invalid("config.auth lacks the key \"type\"",
                          "It is basic, bearer, token or oauth2; only a client_certificate may "
                          "stand alone.");
        return {};
    }

    void read_basic(Auth& auth) {
        const std::string username = text("username");
        if (username.find(':') != std::string::npos)
            refuse("username", "contains a colon", "HTTP's basic scheme cannot send one.");
        auth.constant_line_ = basic_line(username, text("password"));
    }

    void read_bearer(Auth& auth) {
        auth.constant_line_ = "Authorization: Bearer " + filled_text("token");
    }

    void read_token(Auth& auth) {
        set_target(auth, "url");
        const std::string username = text("username");
        const std::string password = text("password");
        const std::string username_field = filled_text("username_field", "username");
        const std::string password_field = filled_text("password_field", "password");
        if (username_field == password_field)
            refuse("password_field", "is the same as username_field");
        // It has posted a form, and has other defaults.
        auth.token_body_ =
            is_of_dj_whisperer_
                ? form_encoded(username_field) + "=" + form_encoded(username) + "&" +
                      form_encoded(password_field) + "=" + form_encoded(password)
                : nlohmann::json{{username_field, username}, {password_field, password}}.dump();
        auth.token_key_ = filled_text("token_key", is_of_dj_whisperer_ ? "key" : "token");
        if (("." + auth.token_key_ + ".").find("..") != std::string::npos)
            refuse("token_key", "is not a path of keys with dots between");
        auth.header_format_ = text("header_format", "Token {token}");
        if (is_of_dj_whisperer_)
            auth.header_format_ = replaced(auth.header_format_, their_token_place, token_place);
        if (auth.header_format_.find(token_place) == std::string::npos)
            refuse("header_format", "does not contain {token}");
        add_token_headers(auth, is_of_dj_whisperer_ ? form_type : "application/json");
    }

    void read_oauth2(Auth& auth) {
        set_target(auth, "token_url");
        const std::string client_id = filled_text("client_id");
        const std::string client_secret = text("client_secret");
        auth.token_headers_.push_back(
            basic_line(form_encoded(client_id), form_encoded(client_secret)));
        auth.token_body_ = "grant_type=client_credentials";
        for (const char* key : {"scope", "audience"})
            if (const std::string value = text(key, ""); !value.empty())
                auth.token_body_ += std::string("&") + key + "=" + form_encoded(value);
        auth.token_key_ = "access_token";
        auth.header_format_ = "Bearer {token}";
        auth.honours_expires_in_ = true;
        add_token_headers(auth, form_type);
    }

    void read_identity(Auth& auth) {
        const std::string* certificate = find_text("client_certificate");
        const std::string* key = find_text("client_key");
        if (certificate == nullptr && key == nullptr)
            return;
        if (certificate == nullptr || key == nullptr)
            throw Invalid(certificate == nullptr
                              ? "config.auth lacks the key \"client_certificate\""
                              : "config.auth lacks the key \"client_key\"",
                          "A certificate and its key are given together, in PEM.");
        auth.identity_ =
            std::make_shared<const ClientIdentity>(check_client_identity(*certificate, *key));
    }

    // Last, because only then all known keys are noted.
    void check_keys() const {
        for (const auto& [key, value] : config_.items()) {
            if (std::find(known_.begin(), known_.end(), key) != known_.end())
                continue;
            std::string hint = "Known here are";
            for (std::string_view name : known_)
                hint += (name == known_.front() ? " " : ", ") + std::string(name);
            throw Invalid("config.auth has an unknown key " + key_text(key), hint + ".");
        }
    }

    static std::string basic_line(const std::string& username, const std::string& password) {
        return "Authorization: Basic " + to_base64(username + ":" + password);
    }

    void set_target(Auth& auth, std::string_view key) {
        const std::string url = text(key);
        try {
            auth.token_target_ = std::make_shared<const Target>(parse_url(url, require_https_));
        } catch (const Invalid& invalid) {
            refuse(key, std::string("is no good: ") + invalid.what(), invalid.hint());
        }
    }

    void add_token_headers(Auth& auth, const char* content_type) const {
        auth.token_headers_.push_back(std::string("Content-Type: ") + content_type);
        auth.token_headers_.emplace_back("Accept: application/json");
        auth.token_headers_.emplace_back("Expect:");
        auth.token_headers_.push_back("User-Agent: " + std::string(user_agent_));
    }

    const nlohmann::json& config_;
    std::string_view user_agent_;
    bool require_https_;
    std::vector<std::string_view> known_;
    bool is_of_dj_whisperer_ = false;  // auth_type instead of type
};

Auth Auth::parse(std::string_view json, std::string_view user_agent, bool require_https) {
    Auth auth;
    if (json.empty())
        return auth;
    if (json.size() > auth_bytes_max)
        throw Invalid("config.auth is longer than 65536 bytes");
    const auto config = nlohmann::json::parse(json.begin(), json.end(), nullptr, false);
    if (config.is_discarded())
        throw Invalid("config.auth is not JSON");
    if (config.is_null())
        return auth;
    AuthReader(config, user_agent, require_https).read(auth);
    auth.source_ = json;
    return auth;
}

void Auth::check_beside(const HeaderLines& additional_headers) const {
    if ((!constant_line_.empty() || fetches_token()) &&
        sets_header(additional_headers, "authorization"))
        throw Invalid("header \"Authorization\" is set by additional_headers and by config.auth",
                      "Remove it from additional_headers, or auth from config.");
}

FetchedToken Auth::read_token(std::string_view answer) const {
    const auto json = nlohmann::json::parse(answer.begin(), answer.end(), nullptr, false);
    FetchedToken token;
    if (json.is_discarded()) {
        token.error = "the answer is not JSON";
        return token;
    }
    const nlohmann::json* value = value_at(json, token_key_);
    if (value == nullptr || !value->is_string() || value->get_ref<const std::string&>().empty()) {
        token.error = "the answer has no text " + key_text(token_key_);
        return token;
    }
    const auto& text = value->get_ref<const std::string&>();
    if (text.size() > auth_text_bytes_max)
        token.error = key_text(token_key_) + " in the answer is longer than 8192 bytes";
    else if (!is_field_value(text))
        token.error = key_text(token_key_) + " in the answer contains a control character";
    else
        token.line = "Authorization: " + with_token(header_format_, text);
    if (honours_expires_in_)
        token.lifetime = lifetime_of(json);
    return token;
}

}  // namespace whisperer::engine
