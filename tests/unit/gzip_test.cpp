// Bodies that are compressed on their way: which, what stays as it is, and what it may cost.
#include <zlib.h>

#include <algorithm>

#include "tests/unit/dispatcher_fixture.h"
#include "worker/rules/gzipped.h"

namespace whisperer::engine {
namespace {

std::string gunzip(const std::string& bytes) {
    z_stream stream{};
    EXPECT_EQ(inflateInit2(&stream, 16 + MAX_WBITS), Z_OK);
    std::string text(gzipped_bytes_max, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(text.data());
    stream.avail_out = static_cast<uInt>(text.size());
    EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
    EXPECT_EQ(stream.avail_in, 0U) << "nothing behind it";
    text.resize(stream.total_out);
    inflateEnd(&stream);
    return text;
}

// JSON text of so many bytes, with little that repeats.
std::string data_of(std::size_t bytes) {
    std::string text(bytes, '"');
    std::uint32_t next = 1;
    for (std::size_t i = 1; i + 1 < bytes; ++i) {
        next = next * 1664525 + 1013904223;
        text[i] = static_cast<char>('a' + (next >> 28));
    }
    return text;
}

class GzipTest : public DispatcherTest {
  protected:
    void put_gzip(std::int64_t id, bool gzip, const char* batch = "") {
        WhispererHook hook{};
        hook.id = id;
        hook.target_url = span("http://192.0.2.1/");
        hook.secret_key = span("secret");
        hook.gzip = gzip ? 1 : 0;
        hook.batch = span(batch);
        dispatcher.put_hook(std::make_shared<const Hook>(hook, "whisperer/1.0", false));
    }

    void submit_to(const std::vector<std::int64_t>& hooks, std::uint64_t token,
                   const std::string& data) {
        WhispererEvent event{};
        event.id[15] = static_cast<std::uint8_t>(token);
        event.type = span("e");
        event.format = span("data");
        event.data = {data.data(), data.size()};
        std::vector<WhispererDelivery> deliveries;
        for (std::int64_t hook : hooks)
            deliveries.push_back({token++, hook, 0, 0});
        dispatcher.submit(event, deliveries.data(), deliveries.size());
    }

    static bool is_coded(const FakeWire::Sent& sent) {
        return std::count(sent.headers.begin(), sent.headers.end(), "Content-Encoding: gzip") == 1;
    }

    static HeaderLines signatures(const FakeWire::Sent& sent) {
        HeaderLines found;
        for (const std::string& line : sent.headers)
            if (line.find("ignature: ") != std::string::npos || line.starts_with("webhook-"))
                found.push_back(line);
        return found;
    }
};

TEST_F(GzipTest, ALongBodyIsCompressedAndSignedAsItWas) {
    put_gzip(1, true);
    put_gzip(2, false);
    const std::string data = data_of(5000);
    submit_to({1, 2}, 1, data);
    pump();
    ASSERT_EQ(wire.sent.size(), 2U);
    EXPECT_TRUE(is_coded(wire.sent[0]));
    EXPECT_EQ(gunzip(wire.sent[0].body), data);
    EXPECT_LT(wire.sent[0].body.size(), data.size());
    EXPECT_FALSE(is_coded(wire.sent[1]));
    EXPECT_EQ(wire.sent[1].body, data);
    EXPECT_EQ(signatures(wire.sent[0]), signatures(wire.sent[1]));
    EXPECT_EQ(signatures(wire.sent[0]).size(), 4U) << "id, time and two signatures";
}

TEST_F(GzipTest, ShortAndVeryLongOnesAreNot) {
    put_gzip(1, true);
    std::uint64_t token = 0;
    for (const std::size_t bytes :
         {gzipped_bytes_min - 1, gzipped_bytes_min, gzipped_bytes_max, gzipped_bytes_max + 1}) {
        submit_to({1}, ++token, data_of(bytes));
        pump();
        ASSERT_EQ(wire.sent.size(), token);
        const bool is_within = bytes >= gzipped_bytes_min && bytes <= gzipped_bytes_max;
        EXPECT_EQ(is_coded(wire.sent.back()), is_within) << bytes;
        EXPECT_EQ(wire.sent.back().body.size() == bytes, !is_within) << bytes;
        wire.answer(200);
        pump();
    }
}

TEST_F(GzipTest, AHookMayChangeBetweenTwoAttempts) {
    put_gzip(1, true);
    const std::string data = data_of(5000);
    submit_to({1}, 1, data);
    pump();
    wire.answer(500);
    ASSERT_EQ(pump().size(), 1U);
    put_gzip(1, false);
    submit_to({1}, 1, data);
    pump();
    ASSERT_EQ(wire.sent.size(), 2U);
    EXPECT_FALSE(is_coded(wire.sent[1]));
    EXPECT_EQ(gunzip(wire.sent[0].body), wire.sent[1].body);
    EXPECT_EQ(signatures(wire.sent[0]), signatures(wire.sent[1])) << "one id, one body";
}

TEST_F(GzipTest, IsMadeOnceAndCountsAmongWhatIsHeld) {
    put_gzip(1, true);
    put_gzip(2, true);
    const std::string data = data_of(5000);
    submit_to({1, 2}, 1, data);
    EXPECT_EQ(dispatcher.counts().queued_bytes, 5000);
    pump();
    ASSERT_EQ(wire.sent.size(), 2U);
    EXPECT_EQ(dispatcher.counts().queued_bytes,
              static_cast<std::int64_t>(5000 + wire.sent[0].body.size()));
    wire.answer(200);
    wire.answer(200);
    pump();
    EXPECT_EQ(dispatcher.counts().queued_bytes, 0);
}

TEST_F(GzipTest, ABatchIsCompressedAsAWhole) {
    put_gzip(1, true, R"({"size": 3, "wait": "0 ms"})");
    for (std::uint64_t token = 1; token <= 3; ++token)
        submit_to({1}, token, data_of(500));
    pump();
    ASSERT_EQ(wire.sent.size(), 1U);
    EXPECT_TRUE(is_coded(wire.sent[0]));
    EXPECT_EQ(gunzip(wire.sent[0].body),
              '[' + data_of(500) + ',' + data_of(500) + ',' + data_of(500) + ']');
}

TEST_F(GzipTest, MuchIsCompressedInSeveralPumps) {
    for (std::int64_t id = 1; id <= 4; ++id)
        put_gzip(id, true);
    put_gzip(5, false);
    submit_to({1}, 1, data_of(600000));
    submit_to({2}, 2, data_of(600000));
    submit_to({3}, 3, data_of(600000));
    submit_to({4}, 4, data_of(600000));
    submit_to({5}, 5, data_of(600000));
    pump();
    EXPECT_EQ(wire.sent.size(), 2U) << "then sockets are looked at";
    EXPECT_EQ(dispatcher.wait_ms(), 0) << "and it goes on at once";
    pump();
    EXPECT_EQ(wire.sent.size(), 4U);
    pump();
    EXPECT_EQ(wire.sent.size(), 5U);
    EXPECT_GT(dispatcher.wait_ms(), 0);
}

}  // namespace
}  // namespace whisperer::engine
