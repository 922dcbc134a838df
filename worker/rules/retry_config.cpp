// Reads retry_countdown_config, strictly: a key nobody knows is an error that names it, so that a
// typing error does not wait for the first outage to be noticed.
#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <nlohmann/json.hpp>

#include "worker/base/clean_text.h"
#include "worker/base/invalid.h"
#include "worker/rules/retry.h"

namespace whisperer::engine {

class RetryConfigReader {
  public:
    explicit RetryConfigReader(nlohmann::json config) : config_(std::move(config)) {}

    RetryPlan read() {
        if (!config_.is_object())
            refuse("is not a JSON object");
        check_keys(config_, "",
                   {"choice", "kwargs", "max_retries", "jitter", "give_up", "only_if"});
        forget_nulls(config_);
        read_kwargs();
        read_choice();
        if (config_.contains("max_retries"))
            plan_.max_retries_ = read_max_retries(config_.at("max_retries"));
        if (config_.contains("jitter"))
            plan_.jitter_ = number(config_.at("jitter"), "jitter", 1);
        read_statuses();
        return plan_;
    }

  private:
    static constexpr double wait_max_s = static_cast<double>(retry_wait_max.count());

    [[noreturn]] static void refuse(const std::string& what, const std::string& hint = {}) {
        throw Invalid("retry_countdown_config " + what, hint);
    }

    static std::string quoted(std::string_view key) { return '"' + to_clean_line(key, 64) + '"'; }

    static void check_keys(const nlohmann::json& object, const std::string& prefix,
                           std::initializer_list<std::string_view> known) {
        for (const auto& [key, value] : object.items())
            if (std::find(known.begin(), known.end(), key) == known.end())
                refuse("has an unknown key " + quoted(prefix + key),
                       prefix.empty()
                           ? "Known are choice, kwargs, max_retries, jitter, give_up and only_if."
                       : key == "max_retries" || key == "jitter" || key == "give_up" ||
                               key == "only_if"
                           ? "It stands beside choice, not in kwargs."
                           : "");
    }

    // A key that is null is as one that is not there.  Whether it is known is asked before.
    static void forget_nulls(nlohmann::json& object) {
        for (auto one = object.begin(); one != object.end();)
            one = one->is_null() ? object.erase(one) : std::next(one);
    }

    static double number(const nlohmann::json& value, const std::string& key, double max) {
        const double result = value.is_number() ? value.get<double>() : -1;
        if (!(result >= 0 && result <= max)) {
            const bool small = max <= 1;
            refuse("key " + quoted(key) + " must be a number from 0 to " +
                   (small ? "1" : std::to_string(std::llround(max))));
        }
        return result;
    }

    static int read_max_retries(const nlohmann::json& value) {
        if (!value.is_number_integer() || value.get<std::int64_t>() < 0 ||
            value.get<std::int64_t>() > retries_max)
            refuse("key \"max_retries\" must be an integer from 0 to " +
                   std::to_string(retries_max));
        return value.get<int>();
    }

    void read_kwargs() {
        if (config_.contains("kwargs"))
            kwargs_ = config_.at("kwargs");
        if (!kwargs_.is_object())
            refuse("key \"kwargs\" must be an object");
    }

    std::vector<int> statuses(const std::string& key) const {
        const auto& list = config_.at(key);
        std::vector<int> result;
        for (const auto& value : list.is_array() ? list : nlohmann::json::array({-1})) {
            const std::int64_t status = value.is_number_integer() ? value.get<std::int64_t>() : -1;
            if (status < failure_status_min || status > failure_status_max)
                refuse("key " + quoted(key) + " must be an array of HTTP statuses from 300 to 999",
                       "As integers: [400, 404, 422].");
            result.push_back(static_cast<int>(status));
        }
        return result;
    }

    void read_statuses() {
        if (config_.contains("give_up"))
            plan_.give_up_ = statuses("give_up");
        if (!config_.contains("only_if"))
            return;
        plan_.only_if_ = statuses("only_if");
        for (const int status : *plan_.only_if_)
            if (std::find(plan_.give_up_.begin(), plan_.give_up_.end(), status) !=
                plan_.give_up_.end())
                refuse("has " + std::to_string(status) + " in \"give_up\" and in \"only_if\"");
    }

    void take_kwargs(std::initializer_list<std::string_view> known) {
        check_keys(kwargs_, "kwargs.", known);
        forget_nulls(kwargs_);
    }

    double required(const std::string& key, double max = wait_max_s) const {
        if (!kwargs_.contains(key))
            refuse("lacks the key " + quoted("kwargs." + key));
        return number(kwargs_.at(key), "kwargs." + key, max);
    }

    double optional(const std::string& key, double otherwise, double max = wait_max_s) const {
        return kwargs_.contains(key) ? number(kwargs_.at(key), "kwargs." + key, max) : otherwise;
    }

    void read_choice() {
        if (!config_.contains("choice"))
            refuse("lacks the key \"choice\"");
        const auto& choice = config_.at("choice");
        const std::string name = choice.is_string() ? choice.get<std::string>() : "";
        if (name == "custom") {
            read_custom();  // keeps the default's schedule and jitter
            return;
        }
        plan_.jitter_ = 0;
        if (name == "fixed")
            read_fixed();
        else if (name == "linear")
            read_linear();
        else if (name == "exponential")
            read_exponential();
        else if (name == "random")
            read_random();
        else if (name == "schedule")
            read_schedule();
        else
            refuse(
                "key \"choice\" is not one of fixed, linear, exponential, random, schedule, "
                "custom");
    }

    void read_fixed() {
        take_kwargs({"seconds"});
        plan_.choice_ = RetryChoice::Fixed;
        plan_.first_ = required("seconds");
    }

    void read_linear() {
        take_kwargs({"base", "limit"});
        plan_.choice_ = RetryChoice::Linear;
        plan_.first_ = required("base");
        plan_.limit_s_ = optional("limit", wait_max_s);
    }

    void read_exponential() {
        take_kwargs({"base", "factor", "limit"});
        plan_.choice_ = RetryChoice::Exponential;
        plan_.first_ = required("base");
        plan_.second_ = optional("factor", 1);
        plan_.limit_s_ = optional("limit", wait_max_s);
    }

    void read_random() {
        take_kwargs({"min_value", "max_value"});
        plan_.choice_ = RetryChoice::Random;
        plan_.first_ = required("min_value");
        plan_.second_ = required("max_value");
        if (plan_.first_ > plan_.second_)
            refuse("key \"kwargs.min_value\" is greater than \"kwargs.max_value\"");
    }

    void read_schedule() {
        take_kwargs({"seconds"});
        plan_.choice_ = RetryChoice::Schedule;
        if (!kwargs_.contains("seconds"))
            refuse("lacks the key \"kwargs.seconds\"");
        const auto& list = kwargs_.at("seconds");
        if (!list.is_array() || list.empty() || list.size() > retries_max)
            refuse("key \"kwargs.seconds\" must be an array of 1 to " +
                   std::to_string(retries_max) + " numbers");
        plan_.schedule_s_.clear();
        for (const auto& value : list)
            plan_.schedule_s_.push_back(number(value, "kwargs.seconds", wait_max_s));
        plan_.max_retries_ = static_cast<int>(plan_.schedule_s_.size());
    }

    void read_custom() {
        plan_.choice_ = RetryChoice::Custom;
        if (!kwargs_.contains("function") || !kwargs_.at("function").is_string() ||
            kwargs_.at("function").get_ref<const std::string&>().empty())
            refuse("key \"kwargs.function\" must be the name of a function");
    }

    nlohmann::json config_;
    nlohmann::json kwargs_ = nlohmann::json::object();
    RetryPlan plan_;
};

RetryPlan RetryPlan::parse(std::string_view config_json) {
    if (config_json.empty())
        return {};
    if (config_json.size() > retry_config_bytes_max)
        throw Invalid("retry_countdown_config is longer than 8192 bytes");
    const auto config =
        nlohmann::json::parse(config_json.begin(), config_json.end(), nullptr, false);
    if (config.is_discarded())
        throw Invalid("retry_countdown_config is not JSON");
    return config.is_null() ? RetryPlan{} : RetryConfigReader(config).read();
}

}  // namespace whisperer::engine
