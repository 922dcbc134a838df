// A dispatcher whose hook 1 has batches.
#pragma once
#include "tests/unit/dispatcher_fixture.h"

namespace whisperer::engine {

class BatchTest : public DispatcherTest {
  protected:
    void put_batch(const char* batch, double rate_limit = 0, const char* retry = "") {
        WhispererHook hook{};
        hook.id = 1;
        hook.target_url = span("http://192.0.2.1/");
        hook.secret_key = span("secret");
        hook.rate_limit = rate_limit;
        hook.retry_config = span(retry);
        hook.batch = span(batch);
        dispatcher.put_hook(std::make_shared<const Hook>(hook, "whisperer/1.0", false));
    }

    void submit_as(std::uint64_t token, const char* format, bool alone = false,
                   int retry_count = 0) {
        WhispererEvent event{};
        event.id[15] = static_cast<std::uint8_t>(token);
        event.type = span("e");
        const std::string data = std::to_string(token);
        event.data = span(data.c_str());
        event.format = span(format);
        event.alone = alone ? 1 : 0;
        const WhispererDelivery delivery{token, 1, retry_count, retry_count};
        dispatcher.submit(event, &delivery, 1);
    }

    void submit_data(std::uint64_t first, std::uint64_t last) {
        for (std::uint64_t token = first; token <= last; ++token)
            submit_as(token, "data");
    }

    std::vector<std::string> bodies() {
        std::vector<std::string> sent;
        for (const auto& one : wire.sent)
            sent.push_back(one.body);
        return sent;
    }

    std::string header(std::size_t request, const std::string& name) {
        for (const std::string& line : wire.sent.at(request).headers)
            if (line.starts_with(name + ": "))
                return line.substr(name.size() + 2);
        return {};
    }

    using Bodies = std::vector<std::string>;
};

}  // namespace whisperer::engine
