// Schemas of event types: what is refused, what is asked, what is said of what does not fit, and
// how little it may cost.
#include <gtest/gtest.h>

#include <string>

#include "worker/engine.h"

namespace {

constexpr std::int64_t plenty = 1'000'000;

WhispererSpan span(std::string_view text) {
    return {text.data(), text.size()};
}

// Why the schema is refused; empty: it is not.
std::string refusal(std::string_view json, std::int64_t steps = plenty) {
    WhispererSchema* schema = nullptr;
    WhispererError error = {};
    const auto code = whisperer_schema_create(span(json), steps, &schema, &error);
    whisperer_schema_destroy(schema);
    EXPECT_EQ(code, schema == nullptr ? WhispererInvalid : WhispererOk);
    return error.message;
}

// "fits", "undecided", or what does not fit.
std::string asked(std::string_view json, std::string_view data, std::int64_t steps = plenty) {
    WhispererSchema* schema = nullptr;
    WhispererError error = {};
    EXPECT_EQ(whisperer_schema_create(span(json), plenty, &schema, &error), WhispererOk)
        << json << ": " << error.message;
    if (schema == nullptr)
        return "refused";
    char fault[WHISPERER_FAULT_BYTES];
    std::size_t bytes = 0;
    const int answer = whisperer_schema_fits(schema, span(data), steps, fault, &bytes);
    whisperer_schema_destroy(schema);
    EXPECT_EQ(answer == 0, bytes > 0);
    return answer == 1 ? "fits" : answer == -1 ? "undecided" : std::string(fault, bytes);
}

std::string repeated(std::string_view text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i)
        all += text;
    return all;
}

TEST(JsonSchema, NamesThePlaceAndTheKeyword) {
    constexpr auto schema = R"({"type": "object", "required": ["id", "lines"], "properties": {
        "id": {"type": "integer", "minimum": 1}, "at": {"not": {"type": "null"}},
        "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/line"}}},
        "additionalProperties": false,
        "$defs": {"line": {"properties": {"a/b": {"enum": [1, 2]}}, "maxProperties": 2}}})";
    EXPECT_EQ(asked(schema, R"({"id": 1, "lines": [{}]})"), "fits");
    EXPECT_EQ(asked(schema, "[]"), "type");
    EXPECT_EQ(asked(schema, R"({"id": 1})"), "required \"lines\"");
    EXPECT_EQ(asked(schema, R"({"id": "secret", "lines": [{}]})"), "/id: type");
    EXPECT_EQ(asked(schema, R"({"id": 0, "lines": [{}]})"), "/id: minimum");
    EXPECT_EQ(asked(schema, R"({"id": 1, "at": null, "lines": [{}]})"), "/at: not");
    EXPECT_EQ(asked(schema, R"({"id": 1, "lines": []})"), "/lines: minItems");
    EXPECT_EQ(asked(schema, R"({"id": 1, "lines": [{}, {"a/b": 3}]})"), "/lines/1/a/b: enum");
    EXPECT_EQ(asked(schema, R"({"id": 1, "lines": [{}], "x": 1})"), "/x: additionalProperties");
    EXPECT_EQ(asked(R"({"propertyNames": {"maxLength": 2}})", R"({"ab": 1, "abc": 1})"),
              "propertyNames \"abc\"");
    EXPECT_EQ(asked("false", "1"), "false");
}

TEST(JsonSchema, WhatIsSaidIsBoundedAndClean) {
    const std::string name = repeated("long", 40);
    std::string schema = R"({"type": "integer"})", data = "\"secret\"";
    for (int i = 0; i < 20; ++i) {
        schema = R"({"properties": {")" + name + R"(\n": )" + schema + "}}";
        data = "{\"" + name + "\\n\": " + data + "}";
    }
    const std::string fault = asked(schema, data);
    EXPECT_LE(fault.size(), std::size_t{WHISPERER_FAULT_BYTES});
    EXPECT_TRUE(fault.starts_with("...")) << fault;
    EXPECT_TRUE(fault.ends_with(": type")) << fault;
    EXPECT_EQ(fault.find('\n'), std::string::npos);
    EXPECT_EQ(fault.find("secret"), std::string::npos);
}

TEST(JsonSchema, RefusesWhatItWouldNotCheck) {
    for (const char* keyword :
         {"pattern", "patternProperties", "unevaluatedProperties", "unevaluatedItems", "$anchor",
          "$dynamicRef", "$dynamicAnchor", "$vocabulary", "contentSchema", "definitions",
          "dependencies", "additionalItems", "propertis", "nullable"}) {
        const std::string said =
            refusal(R"({"properties": {"a": {")" + std::string(keyword) + R"(": {}}}})");
        EXPECT_EQ(said, "schema has keyword \"" + std::string(keyword) +
                            "\" at /properties/a, which is not known here");
    }
    EXPECT_EQ(refusal(R"({"title": "t", "description": "d", "$comment": "c", "default": 1,
        "examples": [1], "format": "email", "$id": "https://example.com/x", "readOnly": true,
        "$schema": "https://json-schema.org/draft/2020-12/schema"})"),
              "");
    EXPECT_EQ(asked(R"({"format": "email"})", "\"x\""), "fits") << "an annotation";
}

TEST(JsonSchema, RefusesValuesThatKeywordsCannotHave) {
    const std::pair<const char*, const char*> bad[] = {
        {R"({"type": "text"})", "\"type\", which must be a type, or an array"},
        {R"({"type": ["string", "string"]})", "each once"},
        {R"({"type": []})", "\"type\""},
        {R"({"enum": 1})", "\"enum\", which must be an array"},
        {R"({"minLength": -1})", "whole number"},
        {R"({"minLength": 1.5})", "whole number"},
        {R"({"maxItems": "1"})", "whole number"},
        {R"({"minimum": "1"})", "a number"},
        {R"({"multipleOf": 0})", "a number above 0"},
        {R"({"multipleOf": -1})", "a number above 0"},
        {R"({"multipleOf": 1234567890123456789})", "at most 18 digits"},
        {R"({"required": ["a", "a"]})", "each once"},
        {R"({"required": "a"})", "array of names"},
        {R"({"uniqueItems": 1})", "true or false"},
        {R"({"allOf": []})", "at least one schema"},
        {R"({"items": [{}]})", "a schema must be an object, true or false at /items"},
        {R"({"properties": []})", "object of schemas"},
        {R"({"dependentRequired": {"a": "b"}})", "arrays of names"},
        {R"({"$schema": "http://json-schema.org/draft-07/schema#"})", "2020-12"},
        {R"({"items": {"$id": "x"}})", "\"$id\" at /items, which must be at the top"},
        {R"({"$ref": "other.json"})", "\"$ref\", which must be"},
        {R"({"$ref": "#/$defs/a"})", "to #/$defs/a, where no schema is"},
        {R"({"$ref": "#/const/a", "const": {"a": {}}})", "where no schema is"},
        {R"({"$ref": "#/oneOf/1", "oneOf": [{}], "allOf": [{}]})",
         "to #/oneOf/1, where no schema is"},
        {"1", "a schema must be"},
        {"{", "nested too deeply"},
    };
    for (const auto& [schema, part] : bad)
        EXPECT_NE(refusal(schema).find(part), std::string::npos) << schema << refusal(schema);
    EXPECT_NE(refusal("{\"title\": \"" + repeated("x", 70000) + "\"}").find("65536"),
              std::string::npos);
    EXPECT_NE(refusal(repeated(R"({"not": )", 70) + "{}" + repeated("}", 70)), "");
}

TEST(JsonSchema, RefusesToAskForEver) {
    EXPECT_NE(refusal(R"({"$ref": "#"})").find("leads back to itself"), std::string::npos);
    EXPECT_NE(refusal(R"({"$defs": {"a": {"anyOf": [{"not": {"$ref": "#/$defs/b"}}]},
        "b": {"if": {"$ref": "#/$defs/a"}}}})"),
              "");
    EXPECT_NE(refusal(R"({"dependentSchemas": {"a": {"$ref": "#"}}})"), "");
    constexpr auto tree = R"({"properties": {"left": {"$ref": "#"}}, "type": "object"})";
    EXPECT_EQ(asked(tree, R"({"left": {"left": {}}})"), "fits");
    EXPECT_EQ(asked(tree, R"({"left": {"left": 1}})"), "/left/left: type");
}

TEST(JsonSchema, NumbersAreComparedAsWritten) {
    EXPECT_EQ(asked(R"({"maximum": 9007199254740993})", "9007199254740993.0"), "fits");
    EXPECT_EQ(asked(R"({"maximum": 9007199254740993})", "9007199254740994"), "maximum");
    EXPECT_EQ(asked(R"({"exclusiveMinimum": -1e400})", "-1e400"), "exclusiveMinimum");
    EXPECT_EQ(asked(R"({"minimum": -1e400})", "-1e401"), "minimum");
    EXPECT_EQ(asked(R"({"const": 1e400})", "10e399"), "fits");
    EXPECT_EQ(asked(R"({"type": "integer"})", "1e2000000"), "fits");
    EXPECT_EQ(asked(R"({"type": "integer"})", "1.50"), "type");
    EXPECT_EQ(asked(R"({"multipleOf": 0.01})", "19.99"), "fits");
    EXPECT_EQ(asked(R"({"multipleOf": 0.01})", "19.999"), "multipleOf");
    EXPECT_EQ(asked(R"({"multipleOf": 7})", "7e300"), "fits");
    EXPECT_EQ(asked(R"({"multipleOf": 7})", "1e300"), "multipleOf");
    EXPECT_EQ(asked(R"({"multipleOf": 3})", "111111111111111111111111111111"), "fits");
    EXPECT_EQ(asked(R"({"multipleOf": 20})", "-140"), "fits");
    EXPECT_EQ(asked(R"({"multipleOf": 20})", "150"), "multipleOf");
    EXPECT_EQ(
        asked(R"({"multipleOf": 999999999999999999})", "999999999999999998000000000000000001"),
        "fits");
    EXPECT_EQ(asked(R"({"multipleOf": 2})", "0e5"), "fits");
}

TEST(JsonSchema, CountsCodePointsAndTheLastOfEqualKeys) {
    EXPECT_EQ(asked(R"({"maxLength": 2})", "\"\xC3\xA4\xF0\x9F\x98\x80\""), "fits");
    EXPECT_EQ(asked(R"({"maxLength": 1})", R"("\ud83d\ude00")"), "fits");
    EXPECT_EQ(asked(R"({"maxLength": 1e1})", R"("0123456789")"), "fits");
    EXPECT_EQ(asked(R"({"maxLength": 1e1})", R"("0123456789a")"), "maxLength");
    EXPECT_EQ(asked(R"({"minLength": 2})", R"("\ud83d\ude00")"), "minLength");
    EXPECT_EQ(asked(R"({"properties": {"a": {"const": 2}}})", R"({"a": 1, "\u0061": 2})"), "fits");
    EXPECT_EQ(asked(R"({"maxProperties": 1})", R"({"a": 1, "a": 2})"), "fits");
    EXPECT_EQ(asked(R"({"minLength": 1e30})", "\"x\""), "minLength");
}

TEST(JsonSchema, WorkIsBounded) {
    std::string numbers = "[0";
    for (int i = 1; i < 20000; ++i)
        numbers += "," + std::to_string(i);
    EXPECT_EQ(asked(R"({"uniqueItems": true})", numbers + "]"), "fits") << "it sorts";
    EXPECT_EQ(asked(R"({"uniqueItems": true})", numbers + ",5.0]"), "uniqueItems");
    EXPECT_EQ(asked(R"({"items": {"enum": )" + numbers.substr(0, 20000) + "]}}", numbers + "]"),
              "undecided");
    // Each level asks twice, so this would be 2^60 questions.
    std::string doubling = R"({"$defs": {"s0": {"type": "integer"})";
    for (int i = 1; i < 60; ++i) {
        const std::string ref = R"({"$ref": "#/$defs/s)" + std::to_string(i - 1) + "\"}";
        doubling += ", \"s" + std::to_string(i) + R"(": {"allOf": [)" + ref + "," + ref + "]}";
    }
    EXPECT_EQ(asked(doubling + R"(}, "$ref": "#/$defs/s59"})", "1"), "undecided");
    // And this asks 2^13 times for one member with a long name.
    std::string naming = R"({"$defs": {"s0": {"additionalProperties": true})";
    for (int i = 1; i < 14; ++i) {
        const std::string ref = R"({"$ref": "#/$defs/s)" + std::to_string(i - 1) + "\"}";
        naming += ", \"s" + std::to_string(i) + R"(": {"allOf": [)" + ref + "," + ref + "]}";
    }
    naming += R"(}, "$ref": "#/$defs/s13"})";
    EXPECT_EQ(asked(naming, "{\"x\": 1}"), "fits");
    EXPECT_EQ(asked(naming, "{\"" + repeated("x", 60000) + "\": 1}"), "undecided");
    EXPECT_EQ(asked(R"({"type": "array"})", numbers + "]", 100), "undecided");
    EXPECT_EQ(asked("true", "not json"), "undecided");
}

TEST(JsonSchema, DepthIsBounded) {
    constexpr auto tree = R"({"items": {"allOf": [{"allOf": [{"$ref": "#"}]}]}})";
    EXPECT_EQ(asked(tree, repeated("[", 100) + repeated("]", 100)), "fits");
    EXPECT_EQ(asked(tree, repeated("[", 399) + repeated("]", 399)), "undecided");
    EXPECT_EQ(asked("true", repeated("[", 100000) + repeated("]", 100000)), "undecided");
    EXPECT_EQ(
        asked(R"({"uniqueItems": true})", "[" + repeated("[", 390) + repeated("]", 390) + "," +
                                              repeated("[", 390) + repeated("]", 390) + "]"),
        "uniqueItems");
}

}  // namespace
