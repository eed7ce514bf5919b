// Errors that the TypeScript side turns into its own classes, by their code.
#ifndef KULLBACK_ADDON_ERRORS_H
#define KULLBACK_ADDON_ERRORS_H

#include <string>

#include "../abi/kullback_backend.h"
#include "napi_setup.h"

namespace kullback {

inline Napi::Error coded_error(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

// A call that lib/ should never make: the caller's own checks come first and say it better.
inline Napi::Error argument_error(Napi::Env env, const std::string& message) {
  return coded_error(env, "ERR_KULLBACK_INTERNAL", "kullback addon: " + message);
}

inline Napi::Error out_of_memory(Napi::Env env) {
  return coded_error(env, "ERR_KULLBACK_OUT_OF_MEMORY", "not enough memory for the operation's working space");
}

// `status` is what the backend has just returned, on this thread: what it says of a failure is the thread's last.
// `value` is the operation's, of those that have one.
inline void throw_unless_ok(Napi::Env env, kullback_status status, const kullback_backend& backend, double value = 0) {
  if (status == KULLBACK_OK) return;
  const std::string text = backend.last_error();
  switch (status) {
    case KULLBACK_OK:
      return;
    case KULLBACK_OUT_OF_MEMORY:
      throw text.empty() ? out_of_memory(env) : coded_error(env, "ERR_KULLBACK_OUT_OF_MEMORY", text);
    case KULLBACK_DEVICE_ERROR:
      throw coded_error(env, "ERR_KULLBACK_CUDA", text);
    case KULLBACK_BAD_VALUES:
      throw coded_error(env, "ERR_KULLBACK_BAD_VALUES", "an input holds numbers that it must not hold");
    case KULLBACK_SMALL_BUDGET:
      throw coded_error(env, "ERR_KULLBACK_SMALL_BUDGET", std::to_string(static_cast<int64_t>(value)));
    case KULLBACK_UNSUPPORTED:
      throw argument_error(env, "the backend does not know this dtype or divergence");
    case KULLBACK_CANCELLED:
      throw coded_error(env, "ERR_KULLBACK_CANCELLED", "cancelled");
  }
}

}  // namespace kullback

#endif  // KULLBACK_ADDON_ERRORS_H
