// Options; see options.h.
#include "options.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <vector>

namespace whisperer::gateway {

namespace {

const char* const help =
    "usage: whisperer-gateway [OPTION ...]\n"
    "The HTTP API and console of whisperer.\n\n"
    "  --database CONNINFO      what libpq connects with; default: its environment (PGHOST, ...)\n"
    "  --listen ADDRESS:PORT    default 127.0.0.1:8080; port 0: any that is free\n"
    "  --pool N                 connections to the database; default 8\n"
    "  --threads N              requests at once; default 64\n"
    "  --trusted-proxies CIDR,...   whose X-Forwarded-For is believed; default: nobody's\n"
    "  --help, --version\n\n"
    "Each is also read from the environment, as WHISPERER_GATEWAY_DATABASE and so on.\n";

[[noreturn]] void refuse(const std::string& what) {
    throw Instead{"whisperer-gateway: " + what + "\nTry whisperer-gateway --help.\n", 2};
}

std::size_t number(const std::string& name, const std::string& text, std::size_t least,
                   std::size_t most) {
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number < least || number > most)
        refuse(name + " must be from " + std::to_string(least) + " to " + std::to_string(most));
    return number;
}

void set_listen(Options& options, const std::string& text) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos)
        refuse("--listen must be an address and a port, as in 127.0.0.1:8080 or [::1]:8080");
    options.address = text.substr(0, colon);
    if (options.address.starts_with('[') && options.address.ends_with(']'))
        options.address = options.address.substr(1, options.address.size() - 2);
    if (!Address::parse(options.address))
        refuse("--listen needs an IP address, not a name");
    options.port = static_cast<std::uint16_t>(
        number("the port of --listen", text.substr(colon + 1), 0, 65535));
}

void set_proxies(Options& options, const std::string& text) {
    try {
        options.trusted_proxies = Networks::parse(text);
    } catch (const std::invalid_argument& error) {
        refuse(std::string("--trusted-proxies: ") + error.what());
    }
}

struct Known {
    std::string name;
    std::function<void(Options&, const std::string&)> set;
};

const std::vector<Known>& known() {
    static const std::vector<Known> all{
        {"database", [](Options& options, const std::string& text) { options.database = text; }},
        {"listen", set_listen},
        {"pool", [](Options& options,
                    const std::string& text) { options.pool = number("--pool", text, 1, 1000); }},
        {"threads",
         [](Options& options, const std::string& text) {
             options.threads = number("--threads", text, 1, 1000);
         }},
        {"trusted-proxies", set_proxies},
    };
    return all;
}

void read_environment(Options& options) {
    for (const Known& one : known()) {
        std::string name = "WHISPERER_GATEWAY_" + one.name;
        std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
            return c == '-' ? '_' : static_cast<char>(std::toupper(c));
        });
        if (const char* const text = std::getenv(name.c_str()))
            one.set(options, text);
    }
}

}  // namespace

Options read_options(int count, char** arguments) {
    Options options;
    read_environment(options);
    for (int i = 1; i < count; i++) {
        const std::string argument = arguments[i];
        if (argument == "--help")
            throw Instead{help, 0};
        if (argument == "--version")
            throw Instead{"whisperer-gateway " WHISPERER_VERSION "\n", 0};
        const std::size_t equals = std::min(argument.find('='), argument.size());
        const std::string name = argument.substr(0, equals);
        const auto found = std::find_if(known().begin(), known().end(),
                                        [&](const Known& one) { return "--" + one.name == name; });
        if (found == known().end())
            refuse("there is no option " + name);
        if (equals < argument.size())
            found->set(options, argument.substr(equals + 1));
        else if (i + 1 < count)
            found->set(options, arguments[++i]);
        else
            refuse(name + " needs a value");
    }
    return options;
}

}  // namespace whisperer::gateway
