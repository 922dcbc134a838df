// Options; see options.h.
#include "options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <regex>
#include <span>
#include <sstream>

namespace whisperer::gateway {

namespace {

template <typename Number>
Number number(const std::string& option, std::string_view text, Number least, Number most) {
    Number number{};
    const auto [end, error] = std::from_chars(text.begin(), text.end(), number);
    if (error != std::errc{} || end != text.end() || number < least || number > most)
        throw CLI::ValidationError(
            option, "it must be from " + std::to_string(least) + " to " + std::to_string(most));
    return number;
}

void set_listen(Options& options, const std::string& text) {
    const std::size_t colon = std::min(text.rfind(':'), text.size());
    std::string address = text.substr(0, colon);
    if (address.starts_with('[') && address.ends_with(']'))
        address = address.substr(1, address.size() - 2);
    if (!Address::parse(address))
        throw CLI::ValidationError("--listen",
                                   "it must be an IP address and a port, as 127.0.0.1:8080 or "
                                   "[::1]:8080; 0.0.0.0:8080 or [::]:8080 is every address");
    const std::string_view port = std::string_view(text).substr(std::min(colon + 1, text.size()));
    options.port = number<std::uint16_t>("--listen: the port", port, 0, 65535);
    options.address = address;
}

void set_proxies(Options& options, const std::string& text) {
    try {
        options.trusted_proxies = Networks::parse(text);
    } catch (const std::invalid_argument& error) {
        throw CLI::ValidationError("--trusted-proxies", error.what());
    }
}

// They go into a header as they are, with spaces between: scheme, host and port, and nothing else.
void set_embed_origins(Options& options, const std::string& text) {
    static const std::regex origin(R"(https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?)");
    std::istringstream list(text);
    for (std::string one; std::getline(list, one, ',');) {
        if (!std::regex_match(one, origin))
            throw CLI::ValidationError("--embed-origins",
                                       "each must be a scheme, a host and no path, as "
                                       "https://shop.example or http://127.0.0.1:8000");
        options.embed_origins += (options.embed_origins.empty() ? "" : " ") + one;
    }
}

constexpr std::size_t databases_max = 16;

void set_databases(Options& options, const std::vector<std::string>& all) {
    if (all.size() > databases_max)
        throw CLI::ValidationError("--database", "there may be " + std::to_string(databases_max));
    options.databases = all;
}

bool is_given(std::span<char*> arguments, const std::string& option) {
    return std::any_of(arguments.begin(), arguments.end(),
                       [&option](const char* one) { return std::string(one).starts_with(option); });
}

// Of the environment: a variable for each, for a connection string may have any letter.
void add_databases(Options& options) {
    std::vector<std::string> all = options.databases;
    for (std::size_t number = 2;; number++) {
        const std::string variable = "WHISPERER_GATEWAY_DATABASE_" + std::to_string(number);
        const char* const value = std::getenv(variable.c_str());
        if (value == nullptr || *value == '\0')
            break;
        all.emplace_back(value);
    }
    set_databases(options, all);
}

// Values are looked at by what takes them over, not by validators (check): of a variable of the
// environment that does not pass those, newer versions of the library (2.4) take no notice.
void declare(CLI::App& app, Options& options) {
    const auto describe = [](CLI::Option* option, const std::string& type) {
        std::string variable = "WHISPERER_GATEWAY_" + option->get_name().substr(2);
        std::transform(variable.begin(), variable.end(), variable.begin(), [](unsigned char c) {
            return c == '-' ? '_' : static_cast<char>(std::toupper(c));
        });
        return option->type_name(type)->envname(variable);
    };
    const auto add = [&](const std::string& name, const std::string& type, const std::string& what,
                         auto take) {
        return describe(app.add_option_function<std::string>(name, take, what), type)->take_last();
    };
    app.set_help_flag("--help", "print this");
    app.set_version_flag("--version", "whisperer-gateway " WHISPERER_VERSION, "print the version");
    app.footer("An option of the command line wins over the environment (Env).");
    describe(app.add_option(
                 "--database", CLI::callback_t([&options](const CLI::results_t& all) {
                     set_databases(options, all);
                     return true;
                 }),
                 "what libpq connects with; default: its environment (PGHOST, ...). Once more: a "
                 "database that is shown beside the first, as a delivery node; in the environment "
                 "..._DATABASE_2, ..._3"),
             "CONNINFO")
        ->expected(1)
        ->allow_extra_args(false)
        ->take_all();
    add("--listen", "ADDRESS:PORT", "port 0: any that is free",
        [&options](const std::string& text) { set_listen(options, text); })
        ->default_str("127.0.0.1:8080");
    add("--pool", "N", "connections to the database", [&options](const std::string& text) {
        options.pool = number<std::size_t>("--pool", text, 1, 1000);
    })->default_str(std::to_string(options.pool));
    add("--threads", "N", "requests at once", [&options](const std::string& text) {
        options.threads = number<std::size_t>("--threads", text, 1, 1000);
    })->default_str(std::to_string(options.threads));
    add("--trusted-proxies", "CIDR,...", "whose X-Forwarded-For is believed; default: nobody's",
        [&options](const std::string& text) { set_proxies(options, text); });
    add("--embed-origins", "ORIGIN,...",
        "whose pages may show the console in a frame; default: nobody's",
        [&options](const std::string& text) { set_embed_origins(options, text); });
}

// What is no option may be half of a connection string that lacks its quotes: a password is not
// repeated.
std::string unknown(const CLI::App& app) {
    const std::string first = app.remaining().front();
    std::string text = "there is no option " + first.substr(0, first.find('='));
    if (!first.starts_with('-'))
        return text + "; a value with spaces needs quotes";
    text += "; there are";
    for (const CLI::Option* const option : app.get_options())
        text += " " + option->get_name();
    return text;
}

// A service may have the value from a file that nobody thinks of.
std::string origin(const CLI::App& app, std::span<char*> arguments, const std::string& complaint) {
    for (const CLI::Option* const option : app.get_options()) {
        const std::string& name = option->get_name();
        if (complaint.starts_with(name + ":") && !is_given(arguments, name))
            return " (from " + option->get_envname() + ")";
    }
    return "";
}

}  // namespace

Options read_options(int count, char** arguments) {
    Options options;
    CLI::App app{"The HTTP API and console of whisperer.", "whisperer-gateway"};
    const std::span all(arguments, static_cast<std::size_t>(count));
    declare(app, options);
    try {
        app.parse(count, arguments);
        if (!is_given(all, "--database"))
            add_databases(options);
        return options;
    } catch (const CLI::CallForHelp&) {
        throw Instead{app.help(), 0};
    } catch (const CLI::CallForVersion& version) {
        throw Instead{version.what() + std::string("\n"), 0};
    } catch (const CLI::ParseError& error) {
        std::string complaint = error.what();
        if (!app.remaining().empty())
            complaint = unknown(app);
        else
            complaint += origin(app, all, complaint);
        throw Instead{"whisperer-gateway: " + complaint + "\nTry whisperer-gateway --help.\n", 2};
    }
}

}  // namespace whisperer::gateway
