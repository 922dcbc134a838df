// What a person wrote is wrong.  Thrown inside the engine by everything that validates input, and
// turned into WhispererInvalid at the door; it never crosses it.
#pragma once
#include <exception>
#include <string>
#include <utility>

namespace whisperer::engine {

class Invalid : public std::exception {
  public:
    // A sentence without capital and full stop; never a secret in it.
    explicit Invalid(std::string message, std::string hint = {})
        : message_(std::move(message)), hint_(std::move(hint)) {}

    const char* what() const noexcept override { return message_.c_str(); }
    const char* hint() const noexcept { return hint_.c_str(); }

  private:
    std::string message_;
    std::string hint_;
};

}  // namespace whisperer::engine
