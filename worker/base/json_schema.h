// JSON Schema, draft 2020-12, of which a part is known: what data may be, said by a schema.
//
// What a schema says with a keyword that is not known would be ignored, so it is refused as a
// whole.  Regular expressions are not known (they would come with an engine for them, and its
// worst cases), nor what is said of members that no other keyword has looked at (unevaluated...),
// nor names of schemas but by their place ("#/..." in $ref).  Annotations say nothing of the data;
// format is one.
//
// Numbers are compared as written, of any size.  The work is bounded by steps, the depth by
// constants; what is too much is undecided.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "worker/base/json_filter.h"

namespace whisperer::engine {

inline constexpr std::size_t schema_bytes_max = 65536;
// Of a fault's text.
inline constexpr std::size_t schema_fault_bytes_max = 240;

enum class Keyword : std::uint8_t {
    None,
    Annotation,
    AdditionalProperties,
    AllOf,
    AnyOf,
    Const,
    Contains,
    Defs,
    DependentRequired,
    DependentSchemas,
    Else,
    Enum,
    ExclusiveMaximum,
    ExclusiveMinimum,
    Id,
    If,
    Items,
    MaxContains,
    MaxItems,
    MaxLength,
    MaxProperties,
    Maximum,
    MinContains,
    MinItems,
    MinLength,
    MinProperties,
    Minimum,
    MultipleOf,
    Not,
    OneOf,
    PrefixItems,
    Properties,
    PropertyNames,
    Ref,
    Required,
    Schema,
    Then,
    Type,
    UniqueItems,
};

// None: it is not known.
Keyword keyword_of(std::string_view name);

class JsonSchema {
  public:
    using Node = JsonFilter::Node;

    // Throws Invalid: no schema, or one that says what is not known.
    static std::unique_ptr<const JsonSchema> parse(std::string_view text, std::int64_t step_max);
    JsonSchema(const JsonSchema&) = delete;
    JsonSchema& operator=(const JsonSchema&) = delete;

    // What does not fit: its place and the keyword, without a value of the data.  Empty: all fits.
    // Throws JsonGaveUp: not JSON, too deep, or step_max did not suffice.
    std::string fault_of(std::string_view data, std::int64_t step_max) const;

    const JsonFilter& values() const { return values_; }
    const Node& target(const Node& ref) const;
    // The value of an object's member; null: it has none.
    const Node* member(const Node& object, std::string_view name) const;

  private:
    friend class SchemaReader;
    explicit JsonSchema(JsonFilter values) : values_(std::move(values)) {}

    JsonFilter values_;
    std::vector<std::pair<const Node*, const Node*>> targets_;  // of values of $ref; sorted
};

// The place among an object's keys; nullopt: it is not there.
std::optional<std::size_t> place_of(const JsonFilter& values, const JsonFilter::Node& object,
                                    std::string_view name);

}  // namespace whisperer::engine
