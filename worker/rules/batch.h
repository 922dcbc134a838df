// Batches: several events of a hook in one POST, as a JSON array or a line each.
//
// Invariant: a batch's id is made of its members' ids and its body, so no id ever stands for two
// bodies, also after a crash, and the same members sent again have the same id and bytes.  A rule
// is read by Hook; a batch is made by the dispatcher when its turn comes.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "worker/base/clock.h"
#include "worker/rules/envelope.h"
#include "worker/rules/format.h"
#include "worker/rules/headers.h"

namespace whisperer::engine {

inline constexpr std::size_t batch_size_max = 1000;
inline constexpr std::size_t batch_bytes_min = 1024;
inline constexpr std::size_t batch_bytes_max = 8 * 1024 * 1024;
inline constexpr milliseconds batch_wait_max{10000};

enum class BatchForm { Array, Ndjson };

struct BatchRule {
    std::size_t size = 100;          // events at most
    std::size_t bytes = 256 * 1024;  // of their bodies; one event that is longer goes alone
    milliseconds wait{200};          // from the first event on, for others
    BatchForm form = BatchForm::Array;

    bool operator==(const BatchRule&) const = default;
    // A JSON object; null: empty or JSON null.  Throws Invalid, naming the key.
    static std::unique_ptr<const BatchRule> parse(std::string_view json);
};

// Whether several events of the format can be in one body.
bool can_be_batched(FormatKind kind);
// Throws Invalid if they cannot, or if requests are to say in headers what is of one event.
void check_batch_beside(const Format& format, std::int32_t metadata);

using Members = std::vector<std::shared_ptr<const Event>>;

// Immutable.  Its body counts among *held_bytes, as an event's does.
class Batch {
  public:
    // The members are in the order in which they were recorded, and of one format.
    Batch(const BatchRule& rule, const Members& members, std::int64_t* held_bytes);
    ~Batch();
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

    const std::string& id() const { return id_; }  // 32 hex digits: the webhook-id
    const std::string& body() const { return body_; }
    const std::string& gzipped() const { return gzipped_.of(body_); }
    const std::shared_ptr<const HeaderLines>& header_lines() const { return header_lines_; }
    // What all members say in headers; null: nothing.
    const EventMeta* meta() const { return meta_.get(); }

  private:
    std::string body_;
    std::string id_;
    std::shared_ptr<const HeaderLines> header_lines_;
    std::unique_ptr<const EventMeta> meta_;
    std::int64_t* held_bytes_;
    mutable Gzipped gzipped_;  // made when it is asked for
};

// The body of a batch of events whose bodies are these.
std::string batch_body(BatchForm form, const std::vector<std::string_view>& bodies);
std::string batch_id(const std::vector<std::string_view>& member_ids, std::string_view body);
// Its Content-Type, how many events it has, and their type if it is the same for all.
HeaderLines batch_header_lines(BatchForm form, FormatKind kind,
                               const std::vector<std::string_view>& types);

}  // namespace whisperer::engine
