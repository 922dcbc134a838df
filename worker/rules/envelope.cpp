// Has the body made that an event is sent with.
#include "worker/rules/envelope.h"

#include "worker/base/invalid.h"
#include "worker/base/sink.h"
#include "worker/base/span.h"

namespace whisperer::engine {
namespace {

std::shared_ptr<const HeaderLines> header_lines_of(const Format& format,
                                                   const WhispererEvent& event) {
    static const auto of_envelope =
        std::make_shared<const HeaderLines>(format_header_lines(Format(), WhispererEvent{}));
    if (format.kind == FormatKind::Whisperer)
        return of_envelope;
    return std::make_shared<const HeaderLines>(format_header_lines(format, event));
}

}  // namespace

Event::Event(const WhispererEvent& door, std::int64_t* held_bytes)
    : format_(view_of(door.format)),
      body_(view_of(door.body)),
      kind_(FormatKind::Whisperer),
      has_own_body_(!body_.empty() || door.keep_body != 0),
      is_alone_(door.alone != 0),
      held_bytes_(held_bytes),
      gzipped_(held_bytes) {
    if (door.recorded_at_us != 0)
        metadata_ = std::make_unique<const Metadata>(metadata_of(door));
    if (door.meta.size > 0)
        meta_ = std::make_unique<const EventMeta>(EventMeta::parse(view_of(door.meta)));
    Sink(id_.data()).put_hex(door.id);
    const WhispererEvent told = meta_ == nullptr ? door : as_told(door, *meta_);
    type_ = view_of(told.type);
    if (type_.empty() || type_.size() > event_type_bytes_max)
        throw Invalid("event type must have 1 to 512 bytes");
    for (char c : type_)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            throw Invalid("event type must not contain control characters");
    const Format format = Format::parse(format_);
    kind_ = format.kind;
    header_lines_ = header_lines_of(format, told);
    if (body_.empty())
        body_ = make_body(format, told);
    *held_bytes_ += static_cast<std::int64_t>(body_.size());
}

Event::~Event() {
    *held_bytes_ -= static_cast<std::int64_t>(body_.size());
}

}  // namespace whisperer::engine
