// The guard of the door: whatever is thrown inside becomes a code and a message here.
//
// Every extern "C" function of the engine runs its work through this, and only then is noexcept.
#pragma once
#include <cstdio>
#include <exception>
#include <new>

#include "worker/base/invalid.h"
#include "worker/engine.h"

namespace whisperer::engine {

inline WhispererCode report(WhispererError* error, WhispererCode code, const char* message,
                            const char* hint = "") noexcept {
    if (error != nullptr) {
        std::snprintf(error->message, sizeof error->message, "%s", message);
        std::snprintf(error->hint, sizeof error->hint, "%s", hint);
    }
    return code;
}

template <typename Work>
WhispererCode guarded(WhispererError* error, Work work) noexcept {
    try {
        work();
        return report(error, WhispererOk, "");
    } catch (const Invalid& invalid) {
        return report(error, WhispererInvalid, invalid.what(), invalid.hint());
    } catch (const std::bad_alloc&) {
        return report(error, WhispererOutOfMemory, "out of memory");
    } catch (const std::exception& exception) {
        return report(error, WhispererInternal, exception.what());
    } catch (...) {
        return report(error, WhispererInternal, "unknown failure in the delivery engine");
    }
}

}  // namespace whisperer::engine
