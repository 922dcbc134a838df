// One request on its way to its answer: who asks, what is asked, run it, say what came of it; log
// and count it.
//
// It is begun in the connections' thread, which answers at once what needs no database.  The rest
// goes through the workers: in one step, or in several while it waits (outcome.h) or while a large
// value is sent piece by piece.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "errand.h"
#include "gateway.h"

namespace whisperer::gateway {

class Exchange : public Errand {
  public:
    Exchange(Gateway& gateway, Head head, const Address& peer, bool is_last);

    // In the connections' thread.  Nothing: it needs the database.
    std::optional<Reply> begin();

    Step go_on(bool is_last) override;
    Reply refuse(const Problem& problem) override;
    void note() override;
    const std::string& client() const override { return client_; }

  private:
    Step guarded(const std::function<Step()>& work);
    Step run();
    Step look();
    Step next_piece();
    Answer answer_of_rows(const Rows& rows) const;
    Step wait_on();
    Reply finish(Answer answer);

    Gateway& gateway_;
    Head head_;
    std::string client_;  // whose failures and waiting requests are counted together
    const Clock::time_point begun_ = Clock::now();
    bool is_last_;  // the connection closes after the answer
    bool is_ending_ = false;
    const Route* route_ = nullptr;
    std::optional<Call> call_;
    std::string role_;
    // Of the answer that was made last:
    int status_ = 0;
    Clock::duration took_{};
    // While it waits:
    Waiting::Place place_;
    Clock::time_point wait_until_;
    std::chrono::milliseconds pause_{};
};

}  // namespace whisperer::gateway
