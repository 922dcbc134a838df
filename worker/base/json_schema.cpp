// Reading a schema: every keyword is known and has a value that it may have, and every $ref leads
// to a schema.
#include "worker/base/json_schema.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include "worker/base/clean_text.h"
#include "worker/base/invalid.h"
#include "worker/base/json_order.h"

namespace whisperer::engine {
namespace {

using Node = JsonFilter::Node;

// What a keyword's value must be.
enum class Needs {
    Anything,
    Values,   // an array
    Schema,   // of the same value, or of a part of it
    Schemas,  // an array of them
    SchemaMap,
    Count,
    Number,
    Divisor,
    Bool,
    Names,
    NamesMap,
    Types,
    LocalRef,
    ThisDraft,
    String,
};

struct KeywordRule {
    std::string_view name;
    Keyword keyword;
    Needs needs;
};

// Sorted by name.
constexpr std::array rules = {
    KeywordRule{"$comment", Keyword::Annotation, Needs::String},
    KeywordRule{"$defs", Keyword::Defs, Needs::SchemaMap},
    KeywordRule{"$id", Keyword::Id, Needs::String},
    KeywordRule{"$ref", Keyword::Ref, Needs::LocalRef},
    KeywordRule{"$schema", Keyword::Schema, Needs::ThisDraft},
    KeywordRule{"additionalProperties", Keyword::AdditionalProperties, Needs::Schema},
    KeywordRule{"allOf", Keyword::AllOf, Needs::Schemas},
    KeywordRule{"anyOf", Keyword::AnyOf, Needs::Schemas},
    KeywordRule{"const", Keyword::Const, Needs::Anything},
    KeywordRule{"contains", Keyword::Contains, Needs::Schema},
    KeywordRule{"contentEncoding", Keyword::Annotation, Needs::String},
    KeywordRule{"contentMediaType", Keyword::Annotation, Needs::String},
    KeywordRule{"default", Keyword::Annotation, Needs::Anything},
    KeywordRule{"dependentRequired", Keyword::DependentRequired, Needs::NamesMap},
    KeywordRule{"dependentSchemas", Keyword::DependentSchemas, Needs::SchemaMap},
    KeywordRule{"deprecated", Keyword::Annotation, Needs::Bool},
    KeywordRule{"description", Keyword::Annotation, Needs::String},
    KeywordRule{"else", Keyword::Else, Needs::Schema},
    KeywordRule{"enum", Keyword::Enum, Needs::Values},
    KeywordRule{"examples", Keyword::Annotation, Needs::Values},
    KeywordRule{"exclusiveMaximum", Keyword::ExclusiveMaximum, Needs::Number},
    KeywordRule{"exclusiveMinimum", Keyword::ExclusiveMinimum, Needs::Number},
    KeywordRule{"format", Keyword::Annotation, Needs::String},
    KeywordRule{"if", Keyword::If, Needs::Schema},
    KeywordRule{"items", Keyword::Items, Needs::Schema},
    KeywordRule{"maxContains", Keyword::MaxContains, Needs::Count},
    KeywordRule{"maxItems", Keyword::MaxItems, Needs::Count},
    KeywordRule{"maxLength", Keyword::MaxLength, Needs::Count},
    KeywordRule{"maxProperties", Keyword::MaxProperties, Needs::Count},
    KeywordRule{"maximum", Keyword::Maximum, Needs::Number},
    KeywordRule{"minContains", Keyword::MinContains, Needs::Count},
    KeywordRule{"minItems", Keyword::MinItems, Needs::Count},
    KeywordRule{"minLength", Keyword::MinLength, Needs::Count},
    KeywordRule{"minProperties", Keyword::MinProperties, Needs::Count},
    KeywordRule{"minimum", Keyword::Minimum, Needs::Number},
    KeywordRule{"multipleOf", Keyword::MultipleOf, Needs::Divisor},
    KeywordRule{"not", Keyword::Not, Needs::Schema},
    KeywordRule{"oneOf", Keyword::OneOf, Needs::Schemas},
    KeywordRule{"prefixItems", Keyword::PrefixItems, Needs::Schemas},
    KeywordRule{"properties", Keyword::Properties, Needs::SchemaMap},
    KeywordRule{"propertyNames", Keyword::PropertyNames, Needs::Schema},
    KeywordRule{"readOnly", Keyword::Annotation, Needs::Bool},
    KeywordRule{"required", Keyword::Required, Needs::Names},
    KeywordRule{"then", Keyword::Then, Needs::Schema},
    KeywordRule{"title", Keyword::Annotation, Needs::String},
    KeywordRule{"type", Keyword::Type, Needs::Types},
    KeywordRule{"uniqueItems", Keyword::UniqueItems, Needs::Bool},
    KeywordRule{"writeOnly", Keyword::Annotation, Needs::Bool},
};
static_assert(std::ranges::is_sorted(rules, {}, &KeywordRule::name));

const KeywordRule* rule_of(std::string_view name) {
    const auto found = std::ranges::lower_bound(rules, name, {}, &KeywordRule::name);
    return found != rules.end() && found->name == name ? &*found : nullptr;
}

// Whether it says something of the value itself, so that a $ref there does not go on in the data.
bool is_in_place(Keyword keyword) {
    switch (keyword) {
        case Keyword::AllOf:
        case Keyword::AnyOf:
        case Keyword::OneOf:
        case Keyword::Not:
        case Keyword::If:
        case Keyword::Then:
        case Keyword::Else:
        case Keyword::DependentSchemas:
            return true;
        default:
            return false;
    }
}

constexpr std::string_view types = " array boolean integer null number object string ";

bool is_type(std::string_view name) {
    return name.find(' ') == std::string_view::npos && !name.empty() &&
           types.find(" " + std::string(name) + " ") != std::string_view::npos;
}

bool is_hex_digit(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// A fragment's percent-encoding.
std::string percent_decoded(std::string_view text) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size() && is_hex_digit(text[i + 1]) &&
            is_hex_digit(text[i + 2])) {
            decoded +=
                static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
            i += 2;
        } else {
            decoded += text[i];
        }
    }
    return decoded;
}

// One token of a JSON pointer: ~1 is a slash, ~0 a tilde.
std::string pointer_token(std::string_view text) {
    std::string token;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool is_escape =
            text[i] == '~' && i + 1 < text.size() && (text[i + 1] == '0' || text[i + 1] == '1');
        token += is_escape ? (text[i + 1] == '1' ? '/' : '~') : text[i];
        i += is_escape ? 1 : 0;
    }
    return token;
}

}  // namespace

Keyword keyword_of(std::string_view name) {
    const KeywordRule* rule = rule_of(name);
    return rule != nullptr ? rule->keyword : Keyword::None;
}

std::optional<std::size_t> place_of(const JsonFilter& values, const Node& object,
                                    std::string_view name) {
    const auto keys = values.keys(object);
    const auto found = std::ranges::lower_bound(keys, name, {},
                                                [&](const Node& key) { return values.bytes(key); });
    if (found == keys.end() || values.bytes(*found) != name)
        return std::nullopt;
    return static_cast<std::size_t>(found - keys.begin());
}

const Node* JsonSchema::member(const Node& object, std::string_view name) const {
    const auto place = place_of(values_, object, name);
    return place ? &values_.values(object)[*place] : nullptr;
}

const Node& JsonSchema::target(const Node& ref) const {
    return *std::ranges::lower_bound(targets_, &ref, std::less<>(), [](const auto& pair) {
                return pair.first;
            })->second;
}

class SchemaReader {
  public:
    explicit SchemaReader(JsonSchema& schema) : schema_(schema), values_(schema.values_) {}

    void read() {
        read_schema(values_.root(), "");
        for (auto& [ref, target] : schema_.targets_)
            target = resolved(*ref);
        std::ranges::sort(schema_.targets_, std::less<>(),
                          [](const auto& pair) { return pair.first; });
        for (const auto& [node, state] : schemas_)
            look_for_loops(*node);
    }

  private:
    enum class Seen { No, Open, Done };

    [[noreturn]] static void refuse(std::string_view keyword, std::string_view place,
                                    std::string_view needs) {
        throw Invalid("schema has \"" + to_clean_line(keyword, 64) + '"' + at(place) +
                      ", which must be " + std::string(needs));
    }

    static std::string at(std::string_view place) {
        return place.empty() ? "" : " at " + to_clean_line(place, 80);
    }

    void read_schema(const Node& node, const std::string& place) {
        schemas_.emplace(&node, Seen::No);
        if (node.kind == JsonKind::True || node.kind == JsonKind::False)
            return;
        if (node.kind != JsonKind::Object)
            throw Invalid("a schema must be an object, true or false" + at(place));
        const auto keys = values_.keys(node);
        for (std::size_t i = 0; i < keys.size(); ++i) {
            const std::string_view name = values_.bytes(keys[i]);
            const KeywordRule* rule = rule_of(name);
            if (rule == nullptr)
                throw Invalid("schema has keyword \"" + to_clean_line(name, 64) + '"' + at(place) +
                                  ", which is not known here",
                              "What would not be checked is refused; the reference lists what is "
                              "known of JSON Schema 2020-12.");
            if (rule->keyword == Keyword::Id && !place.empty())
                refuse(name, place, "at the top alone");
            read_operand(*rule, values_.values(node)[i], place);
        }
    }

    void read_operand(const KeywordRule& rule, const Node& value, const std::string& place) {
        const std::string below = place + '/' + std::string(rule.name);
        switch (rule.needs) {
            case Needs::Schema:
                return read_schema(value, below);
            case Needs::Schemas:
                if (value.kind != JsonKind::Array || value.count == 0)
                    refuse(rule.name, place, "an array of at least one schema");
                for (std::size_t i = 0; i < value.count; ++i)
                    read_schema(values_.elements(value)[i], below + '/' + std::to_string(i));
                return;
            case Needs::SchemaMap:
                if (value.kind != JsonKind::Object)
                    refuse(rule.name, place, "an object of schemas");
                for (std::size_t i = 0; i < value.count; ++i)
                    read_schema(values_.values(value)[i],
                                below + '/' + std::string(values_.bytes(values_.keys(value)[i])));
                return;
            case Needs::LocalRef:
                if (value.kind != JsonKind::String || !is_local(values_.bytes(value)))
                    refuse(rule.name, place, "\"#\" or begin with \"#/\"");
                schema_.targets_.emplace_back(&value, nullptr);
                return;
            default:
                if (const std::string_view needs = lacking(rule.needs, value); !needs.empty())
                    refuse(rule.name, place, needs);
        }
    }

    static bool is_local(std::string_view ref) { return ref == "#" || ref.starts_with("#/"); }

    // What the value is not; empty: it is all right.
    std::string_view lacking(Needs needs, const Node& value) const {
        const bool is_number = value.kind == JsonKind::Number;
        switch (needs) {
            case Needs::Values:
                return value.kind == JsonKind::Array ? "" : "an array";
            case Needs::Count:
                return is_number && !value.negative && value.exponent >= 0
                           ? ""
                           : "a whole number that is not negative";
            case Needs::Number:
                return is_number ? "" : "a number";
            case Needs::Divisor:
                return is_number && !value.negative && value.count > 0 &&
                               value.count <= divisor_digits_max
                           ? ""
                           : "a number above 0 with at most 18 digits";
            case Needs::Bool:
                return value.kind == JsonKind::True || value.kind == JsonKind::False
                           ? ""
                           : "true or false";
            case Needs::Names:
                return is_names(value) ? "" : "an array of names, each once";
            case Needs::NamesMap:
                return value.kind == JsonKind::Object &&
                               std::ranges::all_of(
                                   values_.values(value),
                                   [&](const Node& names) { return is_names(names); })
                           ? ""
                           : "an object of arrays of names";
            case Needs::Types:
                return are_types(value) ? "" : "a type, or an array of them, each once";
            case Needs::ThisDraft:
                return value.kind == JsonKind::String && is_this_draft(values_.bytes(value))
                           ? ""
                           : "https://json-schema.org/draft/2020-12/schema";
            case Needs::String:
                return value.kind == JsonKind::String ? "" : "a string";
            default:
                return "";
        }
    }

    static bool is_this_draft(std::string_view uri) {
        if (uri.ends_with('#'))
            uri.remove_suffix(1);
        return uri == "https://json-schema.org/draft/2020-12/schema";
    }

    bool is_names(const Node& value) const {
        if (value.kind != JsonKind::Array)
            return false;
        std::vector<std::string_view> names;
        for (const Node& name : values_.elements(value)) {
            if (name.kind != JsonKind::String)
                return false;
            names.push_back(values_.bytes(name));
        }
        std::ranges::sort(names);
        return std::adjacent_find(names.begin(), names.end()) == names.end();
    }

    bool are_types(const Node& value) const {
        if (value.kind == JsonKind::String)
            return is_type(values_.bytes(value));
        return is_names(value) && value.count > 0 &&
               std::ranges::all_of(values_.elements(value),
                                   [&](const Node& type) { return is_type(values_.bytes(type)); });
    }

    const Node* resolved(const Node& ref) const {
        const std::string pointer = percent_decoded(values_.bytes(ref).substr(1));
        const Node* node = &values_.root();
        for (std::size_t begin = 0; node != nullptr && begin < pointer.size();) {
            const std::size_t end = std::min(pointer.find('/', begin + 1), pointer.size());
            node = step(*node, pointer_token(pointer.substr(begin + 1, end - begin - 1)));
            begin = end;
        }
        if (node == nullptr || !schemas_.contains(node))
            throw Invalid("schema has \"$ref\" to " + to_clean_line(values_.bytes(ref), 80) +
                          ", where no schema is");
        return node;
    }

    const Node* step(const Node& node, const std::string& token) const {
        if (node.kind == JsonKind::Object)
            return schema_.member(node, token);
        const bool is_index = !token.empty() && token.size() < 10 &&
                              token.find_first_not_of("0123456789") == std::string::npos &&
                              (token == "0" || token.front() != '0');
        if (node.kind != JsonKind::Array || !is_index)
            return nullptr;
        const auto index = static_cast<std::size_t>(std::stoul(token));
        return index < node.count ? &values_.elements(node)[index] : nullptr;
    }

    // A schema that leads back to itself at the same value would be asked for ever.
    void look_for_loops(const Node& node) {
        Seen& seen = schemas_.at(&node);
        if (seen == Seen::Open)
            throw Invalid("schema has a \"$ref\" that leads back to itself",
                          "Between a schema and itself there must be a part of the data, such as "
                          "properties or items.");
        if (seen == Seen::Done || node.kind != JsonKind::Object)
            return;
        seen = Seen::Open;
        for (std::size_t i = 0; i < node.count; ++i) {
            const Keyword keyword = keyword_of(values_.bytes(values_.keys(node)[i]));
            const Node& value = values_.values(node)[i];
            if (keyword == Keyword::Ref)
                look_for_loops(schema_.target(value));
            else if (is_in_place(keyword))
                look_into(keyword, value);
        }
        seen = Seen::Done;
    }

    void look_into(Keyword keyword, const Node& value) {
        if (value.kind == JsonKind::Array)
            for (const Node& element : values_.elements(value))
                look_for_loops(element);
        else if (keyword == Keyword::DependentSchemas)
            for (const Node& element : values_.values(value))
                look_for_loops(element);
        else
            look_for_loops(value);
    }

    JsonSchema& schema_;
    const JsonFilter& values_;
    std::map<const Node*, Seen> schemas_;
};

std::unique_ptr<const JsonSchema> JsonSchema::parse(std::string_view text, std::int64_t step_max) {
    if (text.size() > schema_bytes_max)
        throw Invalid("schema is longer than " + std::to_string(schema_bytes_max) + " bytes");
    try {
        std::int64_t steps = step_max;
        std::unique_ptr<JsonSchema> schema(
            new JsonSchema(JsonFilter::read_values(text, filter_depth_max, steps)));
        SchemaReader(*schema).read();
        return schema;
    } catch (const JsonGaveUp&) {
        throw Invalid("schema is nested too deeply",
                      "At most " + std::to_string(filter_depth_max) + " levels below the top.");
    }
}

}  // namespace whisperer::engine
