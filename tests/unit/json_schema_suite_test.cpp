// The official JSON Schema test suite, as far as its schemas are not refused.
//
// WHISPERER_JSON_SCHEMA_SUITE is its folder tests/draft2020-12.  Without it Debian's package
// json-schema-test-suite is asked, which has draft 7: what both drafts have means the same but in
// one file, in which keywords beside a $ref say nothing.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "worker/base/json_scanner.h"
#include "worker/engine.h"

namespace whisperer::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t plenty = 1'000'000;
std::int64_t steps = std::numeric_limits<std::int64_t>::max();

// Values as they are written: no number is changed.
std::vector<std::string> elements_of(const std::string& json) {
    std::vector<std::string> found;
    JsonScanner scanner(json, steps);
    (void)scanner.peek();
    scanner.enter();
    while (scanner.next_element()) {
        (void)scanner.peek();
        const std::size_t begin = scanner.position();
        scanner.skip_value();
        found.push_back(json.substr(begin, scanner.position() - begin));
    }
    return found;
}

std::map<std::string, std::string> members_of(const std::string& json) {
    std::map<std::string, std::string> found;
    JsonScanner scanner(json, steps);
    (void)scanner.peek();
    scanner.enter();
    std::string_view key;
    while (scanner.next_member(key)) {
        (void)scanner.peek();
        const std::size_t begin = scanner.position();
        scanner.skip_value();
        found[std::string(key)] = json.substr(begin, scanner.position() - begin);
    }
    return found;
}

std::string text_of(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

WhispererSpan span(const std::string& text) {
    return {text.data(), text.size()};
}

struct Counts {
    int tests = 0;
    int passed = 0;
    int schemas = 0;
    std::map<std::string, int> refused;  // by the reason
};

void run_group(const std::string& file, const std::string& json, Counts& counts) {
    auto group = members_of(json);
    WhispererSchema* schema = nullptr;
    WhispererError error = {};
    if (whisperer_schema_create(span(group["schema"]), plenty, &schema, &error) != WhispererOk) {
        std::string reason = error.message;
        reason = reason.substr(0, reason.find(" at "));
        ++counts.refused[file + ": " + reason];
        return;
    }
    ++counts.schemas;
    for (const std::string& test : elements_of(group["tests"])) {
        auto members = members_of(test);
        char fault[WHISPERER_FAULT_BYTES];
        std::size_t bytes = 0;
        const int answer =
            whisperer_schema_fits(schema, span(members["data"]), plenty, fault, &bytes);
        const bool passed = answer == (members["valid"] == "true" ? 1 : 0);
        EXPECT_TRUE(passed) << file << ": " << group["description"] << ": "
                            << members["description"] << ": " << answer << ' '
                            << std::string(fault, bytes);
        ++counts.tests;
        counts.passed += passed ? 1 : 0;
    }
    whisperer_schema_destroy(schema);
}

TEST(JsonSchemaSuite, WhatIsNotRefusedIsAnswered) {
    const char* named = std::getenv("WHISPERER_JSON_SCHEMA_SUITE");
    const fs::path folder =
        named != nullptr ? named : "/usr/share/json-schema-test-suite/tests/draft7";
    if (!fs::is_directory(folder))
        GTEST_SKIP() << "there is no JSON Schema test suite in " << folder;
    Counts counts;
    for (const auto& entry : fs::directory_iterator(folder)) {
        const std::string name = entry.path().filename().string();
        if (entry.path().extension() != ".json" || (named == nullptr && name == "ref.json"))
            continue;
        for (const std::string& group : elements_of(text_of(entry.path())))
            run_group(name, group, counts);
    }
    std::printf("JSON Schema test suite: %d of %d tests of %d schemas passed\n", counts.passed,
                counts.tests, counts.schemas);
    for (const auto& [reason, count] : counts.refused)
        std::printf("  refused %d of %s\n", count, reason.c_str());
    EXPECT_GT(counts.tests, 290);
}

}  // namespace
}  // namespace whisperer::engine
