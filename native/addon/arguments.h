// Reads the positional arguments of a call. Element types and lengths are checked here a second time, since a typed
// array of another type would otherwise be reinterpreted silently; lib/ has given the friendly message already.
#ifndef KULLBACK_ADDON_ARGUMENTS_H
#define KULLBACK_ADDON_ARGUMENTS_H

#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "addon.h"
#include "errors.h"
#include "job.h"
#include "napi_setup.h"

namespace kullback {

class Arguments {
 public:
  // With a job, inputs are copied into it and outputs are copied back when it ends. Without one, the pointers are the
  // arrays' own memory, good until JavaScript runs again.
  Arguments(const Napi::CallbackInfo& info, size_t first, Job* job) : info_(info), next_(first), job_(job) {}

  Napi::Env env() const { return info_.Env(); }
  double number(const char* name);
  int64_t count(const char* name);  // an integer >= 0
  uint8_t flag(const char* name);   // 0 or 1
  int64_t device();                 // who computes: kCpu, or one of CUDA's devices
  int64_t cuda_device();            // one of CUDA's
  void skip() { ++next_; }
  // Whether the next argument is a range of a device's memory.
  bool on_device() const;
  // Arrays of at least `length` elements; undefined is NULL. Those of the device, if `on_device`, are used in place.
  const void* tensor_input(const char* name, napi_typedarray_type type, int64_t length, bool on_device);
  // What an output may share with an input, and whether what it holds is added to.
  struct Written {
    const char* over;  // the name of an input whose memory it may be, all of it
    bool added_to;
  };
  void* tensor_output(const char* name, napi_typedarray_type type, int64_t length, bool on_device, Written written);
  // Arrays of the host alone.
  // An input that must be there.
  const void* required_input(const char* name, napi_typedarray_type type, int64_t length);
  const void* input(const char* name, napi_typedarray_type type, int64_t length);
  void* output(const char* name, napi_typedarray_type type, int64_t length);
  // An element type by its number.
  kullback_dtype dtype();
  // The element type of the next argument, which must be a float array; does not move on.
  napi_typedarray_type float_type(const char* name) const;

 private:
  struct Array {
    Napi::TypedArray handle;
    void* data = nullptr;
    size_t bytes = 0;
  };
  void* device_array(const char* name, napi_typedarray_type type, int64_t length, const Written* written);
  void require_own_memory(const char* name, const void* data, size_t bytes, const Written* written);
  void* written_array(const char* name, napi_typedarray_type type, int64_t length, const Written& written);
  Array array(const char* name, napi_typedarray_type type, int64_t length);

  struct Range {
    const char* name;
    const char* begin;
    const char* end;
    bool written;
  };
  const Napi::CallbackInfo& info_;
  size_t next_;
  Job* job_;
  int64_t device_ = -1;
  std::vector<Range> seen_;
};

// The arrays that hold an element type's numbers.
inline napi_typedarray_type array_type(kullback_dtype dtype) {
  switch (dtype) {
    case KULLBACK_FLOAT32:
      return napi_float32_array;
    case KULLBACK_FLOAT64:
      return napi_float64_array;
    case KULLBACK_FLOAT16:
    case KULLBACK_BFLOAT16:
      break;
  }
  return napi_uint16_array;
}

// The asynchronous half of an operation: argument 0 is callback(status, value, outputsLost, text), the others are those
// of the synchronous call. prepare(job, arguments) reads them and sets job.compute. Returns a function that cancels.
template <class Prepare>
Napi::Value start_job(const Napi::CallbackInfo& info, const Prepare& prepare) {
  const Napi::Env env = info.Env();
  auto job = std::make_shared<Job>();
  try {
    Arguments arguments(info, 1, job.get());
    job->device = arguments.device();
    prepare(*job, arguments);
  } catch (const std::bad_alloc&) {
    throw out_of_memory(env);
  }
  job->callback = Napi::Persistent(info[0].As<Napi::Function>());
  env.GetInstanceData<EnvironmentData>()->jobs.submit(env, job);
  return Napi::Function::New(env, [job](const Napi::CallbackInfo&) { job->cancel(); });
}

}  // namespace kullback

#endif  // KULLBACK_ADDON_ARGUMENTS_H
