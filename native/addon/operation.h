// What operations of the table have in common between JavaScript and it: a request that is read of the arguments, and
// runs now or as a job. An operation is a file with its read_request(arguments, device), and this at its end:
// KULLBACK_DEFINE_OPERATION(stem).
#ifndef KULLBACK_ADDON_OPERATION_H
#define KULLBACK_ADDON_OPERATION_H

#include "arguments.h"
#include "backends.h"
#include "errors.h"

namespace kullback {

inline kullback_divergence read_divergence(Arguments& arguments) {
  const int64_t divergence = arguments.count("divergence");
  if (divergence > KULLBACK_SKEW_REVERSE_KL) throw argument_error(arguments.env(), "divergence is unknown");
  return static_cast<kullback_divergence>(divergence);
}

// What an operation's main arrays are.
struct TensorKind {
  napi_typedarray_type type;
  kullback_dtype dtype;
  bool on_device;
};

// Of the next argument, which the others then must follow; does not move on.
inline TensorKind read_kind(const Arguments& arguments, const char* name, int64_t device) {
  const napi_typedarray_type type = arguments.float_type(name);
  const bool on_device = arguments.on_device();
  if (on_device && device == kCpu) throw argument_error(arguments.env(), "device arrays are for a device");
  return {type, type == napi_float32_array ? KULLBACK_FLOAT32 : KULLBACK_FLOAT64, on_device};
}

// Where an operation's sum goes, if it has one.
template <class Request>
void set_value(Request& request, double* value) {
  if constexpr (requires { request.value; }) request.value = value;
}

template <class Request>
using Slot = kullback_status (*kullback_backend::*)(const Request* request, const kullback_control* control);

template <class Request, class Read>
Napi::Value run_now(const Napi::CallbackInfo& info, Slot<Request> slot, const Read& read_request) {
  Arguments arguments(info, 0, nullptr);
  const int64_t device = arguments.device();
  const kullback_backend& backend = backend_for(info.Env(), device);
  Request request = read_request(arguments, device);
  double value = 0;
  set_value(request, &value);
  const kullback_status status = (backend.*slot)(&request, nullptr);
  throw_unless_ok(info.Env(), status, backend, value);
  return Napi::Number::New(info.Env(), value);
}

template <class Request, class Read>
Napi::Value run_as_job(const Napi::CallbackInfo& info, Slot<Request> slot, const Read& read_request) {
  return start_job(info, [&](Job& job, Arguments& arguments) {
    job.backend = &backend_for(arguments.env(), job.device);
    job.compute = [backend = job.backend, slot, request = read_request(arguments, job.device)](
                      const kullback_control* control, double* value) mutable {
      set_value(request, value);
      return (backend->*slot)(&request, control);
    };
  });
}

}  // namespace kullback

// The pair of functions that addon.h declares.
#define KULLBACK_DEFINE_OPERATION(stem)                                                                             \
  Napi::Value stem(const Napi::CallbackInfo& info) { return run_now(info, &kullback_backend::stem, read_request); } \
  Napi::Value stem##_async(const Napi::CallbackInfo& info) {                                                        \
    return run_as_job(info, &kullback_backend::stem, read_request);                                                 \
  }

#endif  // KULLBACK_ADDON_OPERATION_H
