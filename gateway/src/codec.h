// The wire format of HTTP/1.1, by httplib: a request line becomes a Request, an Answer becomes
// bytes.
//
// httplib's own server gives a thread to every connection, for as long as the client likes: 64
// clients that send a byte a second are its end.  So its loop is not used.  connections.cpp gathers
// whole requests, and this is called with one that is complete; it waits for nothing.
//
// One thread uses a Codec.  What differs between versions of httplib is in codec.cpp alone.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "head.h"
#include "problem.h"

namespace whisperer::gateway {

// What goes back on a connection.
struct Reply {
    std::string bytes;
    bool closes = false;  // and after it the connection ends
};

class Codec {
  public:
    // answer is called with a complete request; refuse with one whose request line httplib does not
    // take (method and path may be empty).  Both must not throw.
    struct Callbacks {
        std::function<Answer(Request&)> answer;
        std::function<Answer(Request&, const Problem&)> refuse;
    };

    explicit Codec(Callbacks callbacks);
    ~Codec();

    // last: the connection will be closed whatever the client wants.
    Reply reply(Head head, bool last);

  private:
    class Server;
    std::unique_ptr<Server> server_;
};

// An answer to what is no request, written without httplib; the connection ends after it.
Reply closing_reply(const Answer& answer);

}  // namespace whisperer::gateway
