// Whether data fits a schema.  Both are values that were read before; the recursion follows the
// schema, which goes on in the data or, by in-place keywords, is bounded by its own size.
#include <algorithm>
#include <limits>
#include <utility>

#include "worker/base/clean_text.h"
#include "worker/base/json_order.h"
#include "worker/base/json_schema.h"

namespace whisperer::engine {
namespace {

using Node = JsonFilter::Node;

constexpr int data_depth_max = 400;
constexpr int check_depth_max = 1000;  // schemas in each other, at one value or its parts

class SchemaCheck {
  public:
    SchemaCheck(const JsonSchema& schema, const JsonFilter& data, std::int64_t& steps)
        : schema_(schema), rules_(schema.values()), data_(data), steps_(&steps) {}

    std::string fault() {
        return fits(rules_.root(), data_.root(), "false") ? std::string() : fault_;
    }

  private:
    void spend(std::size_t steps) {
        *steps_ -= static_cast<std::int64_t>(steps);
        if (*steps_ < 0)
            throw JsonGaveUp{};
    }

    bool equal(const JsonValue& one, const JsonValue& other) {
        return value_order(one, other, *steps_) == 0;
    }

    // Says where and why, if nothing was said before and somebody wants to know.  Returns false.
    bool blame(std::string_view keyword, std::string_view name = {}) {
        if (quiet_ > 0 || !fault_.empty())
            return false;
        std::string text;
        for (const std::string_view part : path_)
            text += '/' + to_clean_line(part, 64);
        // The end says more than the beginning.
        constexpr std::size_t path_max = 120;
        if (text.size() > path_max)
            text = "..." + text.substr(text.size() - path_max);
        text += (text.empty() ? "" : ": ") + std::string(keyword);
        if (!name.empty())
            text += " \"" + to_clean_line(name, 64) + '"';
        fault_ = to_clean_line(text, schema_fault_bytes_max);
        return false;
    }

    bool fits(const Node& schema, const Node& value, std::string_view by) {
        spend(1);
        if (schema.kind != JsonKind::Object)
            return schema.kind == JsonKind::True || blame(by);
        if (++depth_ > check_depth_max)
            throw JsonGaveUp{};
        bool all = true;
        for (std::size_t i = 0; all && i < schema.count; ++i) {
            spend(1);
            const std::string_view name = rules_.bytes(rules_.keys(schema)[i]);
            all = holds(keyword_of(name), schema, rules_.values(schema)[i], value) ||
                  (fault_.empty() && blame(name));
        }
        --depth_;
        return all;
    }

    bool fits_quietly(const Node& schema, const Node& value) {
        ++quiet_;
        const bool result = fits(schema, value, {});
        --quiet_;
        return result;
    }

    // A member is looked up by its name, which may be as long as the data.
    void spend_on(std::string_view name) { spend(1 + name.size() / 64); }

    // Of a part of the value.
    bool part_fits(const Node& schema, const Node& part, std::string_view name,
                   std::string_view by) {
        if (quiet_ == 0)
            path_.push_back(name);
        const bool result = fits(schema, part, by);
        if (quiet_ == 0)
            path_.pop_back();
        return result;
    }

    bool holds(Keyword keyword, const Node& schema, const Node& operand, const Node& value) {
        switch (keyword) {
            case Keyword::Ref:
                return fits(schema_.target(operand), value, "$ref");
            case Keyword::Type:
                return has_type(operand, value);
            case Keyword::Const:
                return equal({rules_, operand}, {data_, value});
            case Keyword::Enum:
                return std::ranges::any_of(rules_.elements(operand), [&](const Node& literal) {
                    return equal({rules_, literal}, {data_, value});
                });
            case Keyword::AllOf:
                return std::ranges::all_of(rules_.elements(operand), [&](const Node& each) {
                    return fits(each, value, "allOf");
                });
            case Keyword::AnyOf:
                return std::ranges::any_of(rules_.elements(operand), [&](const Node& each) {
                    return fits_quietly(each, value);
                });
            case Keyword::OneOf:
                return std::ranges::count_if(rules_.elements(operand), [&](const Node& each) {
                           return fits_quietly(each, value);
                       }) == 1;
            case Keyword::Not:
                return !fits_quietly(operand, value);
            case Keyword::If:
                return branch_holds(schema, operand, value);
            default:
                return value.kind == JsonKind::Number   ? number_holds(keyword, operand, value)
                       : value.kind == JsonKind::String ? string_holds(keyword, operand, value)
                       : value.kind == JsonKind::Array
                           ? array_holds(keyword, schema, operand, value)
                       : value.kind == JsonKind::Object
                           ? object_holds(keyword, schema, operand, value)
                           : true;
        }
    }

    bool branch_holds(const Node& schema, const Node& condition, const Node& value) {
        const bool is_met = fits_quietly(condition, value);
        const Node* branch = schema_.member(schema, is_met ? "then" : "else");
        return branch == nullptr || fits(*branch, value, is_met ? "then" : "else");
    }

    bool has_type(const Node& types, const Node& value) {
        if (types.kind == JsonKind::String)
            return is_of(rules_.bytes(types), value);
        return std::ranges::any_of(rules_.elements(types), [&](const Node& type) {
            return is_of(rules_.bytes(type), value);
        });
    }

    static bool is_of(std::string_view type, const Node& value) {
        switch (value.kind) {
            case JsonKind::Object:
                return type == "object";
            case JsonKind::Array:
                return type == "array";
            case JsonKind::String:
                return type == "string";
            case JsonKind::Number:
                return type == "number" || (type == "integer" && value.exponent >= 0);
            case JsonKind::Null:
                return type == "null";
            default:
                return type == "boolean";
        }
    }

    bool number_holds(Keyword keyword, const Node& operand, const Node& value) {
        if (operand.kind != JsonKind::Number)
            return true;
        spend(value.count / 64);
        const DecimalNumber limit = number_of({rules_, operand});
        const DecimalNumber number = number_of({data_, value});
        switch (keyword) {
            case Keyword::Minimum:
                return number_order(number, limit) >= 0;
            case Keyword::Maximum:
                return number_order(number, limit) <= 0;
            case Keyword::ExclusiveMinimum:
                return number_order(number, limit) > 0;
            case Keyword::ExclusiveMaximum:
                return number_order(number, limit) < 0;
            case Keyword::MultipleOf:
                return is_multiple(number, limit);
            default:
                return true;
        }
    }

    // Beyond what can be counted, what cannot be reached.
    std::uint64_t count_of(const Node& node) const {
        constexpr std::size_t digits_max = 18;
        if (node.count + static_cast<std::uint64_t>(node.exponent) > digits_max)
            return std::numeric_limits<std::uint64_t>::max();
        std::uint64_t count = 0;
        for (char c : rules_.bytes(node))
            count = count * 10 + static_cast<std::uint64_t>(c - '0');
        for (std::int64_t i = 0; i < node.exponent; ++i)
            count *= 10;
        return count;
    }

    // Code points: bytes that continue none.
    bool string_holds(Keyword keyword, const Node& operand, const Node& value) {
        if (keyword != Keyword::MinLength && keyword != Keyword::MaxLength)
            return true;
        spend(value.count / 64);
        const auto length =
            static_cast<std::uint64_t>(std::ranges::count_if(data_.bytes(value), [](char c) {
                return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
            }));
        return keyword == Keyword::MinLength ? length >= count_of(operand)
                                             : length <= count_of(operand);
    }

    bool array_holds(Keyword keyword, const Node& schema, const Node& operand, const Node& value) {
        const auto elements = data_.elements(value);
        switch (keyword) {
            case Keyword::MinItems:
                return elements.size() >= count_of(operand);
            case Keyword::MaxItems:
                return elements.size() <= count_of(operand);
            case Keyword::UniqueItems:
                return operand.kind == JsonKind::False || all_differ(value);
            case Keyword::PrefixItems: {
                const auto schemas = rules_.elements(operand);
                for (std::size_t i = 0; i < std::min(schemas.size(), elements.size()); ++i)
                    if (!part_fits(schemas[i], elements[i], std::to_string(i), "prefixItems"))
                        return false;
                return true;
            }
            case Keyword::Items: {
                const Node* prefix = schema_.member(schema, "prefixItems");
                for (std::size_t i = prefix != nullptr ? prefix->count : 0; i < elements.size();
                     ++i)
                    if (!part_fits(operand, elements[i], std::to_string(i), "items"))
                        return false;
                return true;
            }
            case Keyword::Contains:
                return contains_holds(schema, operand, value);
            default:
                return true;
        }
    }

    bool all_differ(const Node& array) {
        std::vector<const Node*> sorted;
        sorted.reserve(array.count);
        for (const Node& element : data_.elements(array))
            sorted.push_back(&element);
        std::sort(sorted.begin(), sorted.end(), [&](const Node* one, const Node* other) {
            return value_order({data_, *one}, {data_, *other}, *steps_) < 0;
        });
        return std::adjacent_find(sorted.begin(), sorted.end(),
                                  [&](const Node* one, const Node* other) {
                                      return equal({data_, *one}, {data_, *other});
                                  }) == sorted.end();
    }

    bool contains_holds(const Node& schema, const Node& operand, const Node& array) {
        const auto count = static_cast<std::uint64_t>(std::ranges::count_if(
            data_.elements(array),
            [&](const Node& element) { return fits_quietly(operand, element); }));
        const Node* least = schema_.member(schema, "minContains");
        const Node* most = schema_.member(schema, "maxContains");
        if (count < (least != nullptr ? count_of(*least) : 1))
            return blame(least != nullptr ? "minContains" : "contains");
        return most == nullptr || count <= count_of(*most) || blame("maxContains");
    }

    bool object_holds(Keyword keyword, const Node& schema, const Node& operand, const Node& value) {
        switch (keyword) {
            case Keyword::MinProperties:
                return value.count >= count_of(operand);
            case Keyword::MaxProperties:
                return value.count <= count_of(operand);
            case Keyword::Required:
                return has_all(operand, value, "required");
            case Keyword::DependentRequired:
                return for_each_present(operand, value, [&](const Node& names, std::string_view) {
                    return has_all(names, value, "dependentRequired");
                });
            case Keyword::DependentSchemas:
                return for_each_present(operand, value, [&](const Node& each, std::string_view) {
                    return fits(each, value, "dependentSchemas");
                });
            case Keyword::Properties:
                return for_each_present(
                    operand, value, [&](const Node& each, std::string_view name) {
                        return part_fits(each, *member(value, name), name, "properties");
                    });
            case Keyword::AdditionalProperties:
                return others_fit(schema, operand, value);
            case Keyword::PropertyNames:
                return std::ranges::all_of(data_.keys(value), [&](const Node& key) {
                    return fits_quietly(operand, key) || blame("propertyNames", data_.bytes(key));
                });
            default:
                return true;
        }
    }

    const Node* member(const Node& object, std::string_view name) const {
        const auto place = place_of(data_, object, name);
        return place ? &data_.values(object)[*place] : nullptr;
    }

    bool has_all(const Node& names, const Node& object, std::string_view keyword) {
        return std::ranges::all_of(rules_.elements(names), [&](const Node& name) {
            spend_on(rules_.bytes(name));
            return member(object, rules_.bytes(name)) != nullptr ||
                   blame(keyword, rules_.bytes(name));
        });
    }

    // Of a map by names: the values of those that the object has.
    template <typename Question>
    bool for_each_present(const Node& map, const Node& object, Question question) {
        for (std::size_t i = 0; i < map.count; ++i) {
            const std::string_view name = rules_.bytes(rules_.keys(map)[i]);
            spend_on(name);
            if (member(object, name) != nullptr && !question(rules_.values(map)[i], name))
                return false;
        }
        return true;
    }

    bool others_fit(const Node& schema, const Node& operand, const Node& object) {
        const Node* properties = schema_.member(schema, "properties");
        for (std::size_t i = 0; i < object.count; ++i) {
            const std::string_view name = data_.bytes(data_.keys(object)[i]);
            spend_on(name);
            if (properties != nullptr && schema_.member(*properties, name) != nullptr)
                continue;
            if (!part_fits(operand, data_.values(object)[i], name, "additionalProperties"))
                return false;
        }
        return true;
    }

    const JsonSchema& schema_;
    const JsonFilter& rules_;
    const JsonFilter& data_;
    std::int64_t* steps_;
    int depth_ = 0;
    int quiet_ = 0;                       // within keywords of which only the answer counts
    std::vector<std::string_view> path_;  // of whoever is still being asked
    std::string fault_;
};

}  // namespace

std::string JsonSchema::fault_of(std::string_view data, std::int64_t step_max) const {
    std::int64_t steps = step_max;
    const JsonFilter values = JsonFilter::read_values(data, data_depth_max, steps);
    return SchemaCheck(*this, values, steps).fault();
}

}  // namespace whisperer::engine
