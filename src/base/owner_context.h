// Running a few statements as the extension's owner.  An ERROR in between needs no clean-up: the
// abort of the (sub)transaction puts the user back.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

struct UserContext {
    Oid user;
    int security;
};

inline UserContext enter_owner(Oid owner) {
    UserContext saved;
    GetUserIdAndSecContext(&saved.user, &saved.security);
    SetUserIdAndSecContext(owner, saved.security | SECURITY_LOCAL_USERID_CHANGE);
    return saved;
}

inline void leave_owner(UserContext saved) {
    SetUserIdAndSecContext(saved.user, saved.security);
}

}  // namespace whisperer::pg
