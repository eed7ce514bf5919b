#include "device_memory.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "arguments.h"
#include "backends.h"
#include "cuda_library.h"
#include "errors.h"

namespace kullback {
namespace {

constexpr napi_type_tag kTag = {0x6b756c6c6261636bu, 0x646576696365206du};

// What DeviceArrays hold, for memoryInfo.
struct Held {
  std::atomic<int64_t> allocations{0}, bytes{0};
};
Held& held_on(int64_t device) {
  static auto* const all = new std::array<Held, kMostDevices>;
  return (*all)[static_cast<size_t>(device)];
}

Napi::Value wrap(Napi::Env env, DeviceRange range) {
  Napi::Object object = Napi::Object::New(env);
  auto owned = std::make_unique<DeviceRange>(std::move(range));
  napi_status status = napi_wrap(
      env, object, owned.get(), [](node_api_nogc_env, void* data, void*) { delete static_cast<DeviceRange*>(data); },
      nullptr, nullptr);
  if (status != napi_ok) throw Napi::Error::New(env);
  owned.release();
  status = napi_type_tag_object(env, object, &kTag);
  if (status != napi_ok) throw Napi::Error::New(env);
  return object;
}

DeviceRange& range_at(const Napi::CallbackInfo& info, size_t index) {
  DeviceRange* const range = device_range_of(info.Env(), info[index]);
  if (range == nullptr) throw argument_error(info.Env(), "a device array is missing");
  if (range->memory == nullptr) throw argument_error(info.Env(), "a device array has been disposed of");
  return *range;
}

// deviceAllocate(device, kullback_dtype, length)
Napi::Value allocate(const Napi::CallbackInfo& info) {
  Arguments arguments(info, 0, nullptr);
  const int64_t device = arguments.cuda_device();
  const napi_typedarray_type type = array_type(arguments.dtype());
  const int64_t length = arguments.count("length");
  const kullback_backend& cuda = backend_for(info.Env(), device);
  const int64_t bytes = length * element_bytes(type);
  void* memory = nullptr;
  const auto attempt = [&] {
    return cuda.devices->allocate(static_cast<int32_t>(device), std::max<int64_t>(1, bytes), &memory);
  };
  kullback_status status = attempt();
  int64_t free_bytes = 0, total_bytes = 0;
  if (status == KULLBACK_OUT_OF_MEMORY &&
      cuda.devices->memory(static_cast<int32_t>(device), &free_bytes, &total_bytes) == KULLBACK_OK &&
      bytes <= total_bytes) {
    // Jobs that still run may be the last to hold what was disposed of, and some memory is only kept for later calls.
    wait_for_device(device);
    cuda.devices->trim(static_cast<int32_t>(device));
    status = attempt();
  } else if (status == KULLBACK_OUT_OF_MEMORY) {
    status = attempt();  // for what it says
  }
  throw_unless_ok(info.Env(), status, cuda);
  return wrap(info.Env(), {std::make_shared<DeviceMemory>(device, memory, bytes),
                           std::make_shared<Charge>(info.Env(), bytes), 0, length, type});
}

// deviceSlice(array, begin, length): shares its memory.
Napi::Value slice(const Napi::CallbackInfo& info) {
  const DeviceRange& range = range_at(info, 0);
  Arguments arguments(info, 1, nullptr);
  const int64_t begin = arguments.count("begin"), length = arguments.count("length");
  if (begin > range.length || length > range.length - begin) throw argument_error(info.Env(), "beyond the array's end");
  return wrap(info.Env(),
              {range.memory, range.charge, range.offset + begin * element_bytes(range.type), length, range.type});
}

// deviceWrite(array, from)
Napi::Value write(const Napi::CallbackInfo& info) {
  const DeviceRange& range = range_at(info, 0);
  Arguments arguments(info, 1, nullptr);
  const void* const from = arguments.required_input("from", range.type, range.length);
  const int64_t device = range.memory->device();
  const kullback_backend& cuda = backend_for(info.Env(), device);
  throw_unless_ok(info.Env(),
                  cuda.devices->copy_to_device(static_cast<int32_t>(device), range.data(), from,
                                               range.length * element_bytes(range.type)),
                  cuda);
  return info.Env().Undefined();
}

// deviceRead(array, to)
Napi::Value read(const Napi::CallbackInfo& info) {
  const DeviceRange& range = range_at(info, 0);
  Arguments arguments(info, 1, nullptr);
  void* const to = arguments.output("to", range.type, range.length);
  const int64_t device = range.memory->device();
  const kullback_backend& cuda = backend_for(info.Env(), device);
  throw_unless_ok(info.Env(),
                  cuda.devices->copy_to_host(static_cast<int32_t>(device), to, range.data(),
                                             range.length * element_bytes(range.type)),
                  cuda);
  return info.Env().Undefined();
}

// deviceReadAsync(callback, device, array, to)
Napi::Value read_async(const Napi::CallbackInfo& info) {
  return start_job(info, [&](Job& job, Arguments& arguments) {
    const DeviceRange& range = range_at(info, 2);
    if (job.device != range.memory->device()) throw argument_error(info.Env(), "the array is on another device");
    arguments.skip();
    void* const to = arguments.output("to", range.type, range.length);
    job.backend = &backend_for(arguments.env(), job.device);
    job.keep(range.memory);
    job.compute = [from = range.data(), bytes = range.length * element_bytes(range.type), to, backend = job.backend,
                   device = static_cast<int32_t>(job.device)](const kullback_control*, double*) {
      return backend->devices->copy_to_host(device, to, from, bytes);
    };
  });
}

// deviceDispose(array): what still works on it works on.
Napi::Value dispose(const Napi::CallbackInfo& info) {
  DeviceRange* const range = device_range_of(info.Env(), info[0]);
  if (range != nullptr) {
    range->memory.reset();
    range->charge.reset();
  }
  return info.Env().Undefined();
}

// deviceTrim(device)
Napi::Value trim(const Napi::CallbackInfo& info) {
  const int64_t device = Arguments(info, 0, nullptr).cuda_device();
  const kullback_backend& cuda = backend_for(info.Env(), device);
  throw_unless_ok(info.Env(), cuda.devices->trim(static_cast<int32_t>(device)), cuda);
  return info.Env().Undefined();
}

// deviceHeld(device): [allocations, bytes] of all DeviceArrays of the process, and the bytes outside of its heap that
// this environment's garbage collector knows of.
Napi::Value held(const Napi::CallbackInfo& info) {
  const int64_t device = Arguments(info, 0, nullptr).cuda_device();
  Napi::Array result = Napi::Array::New(info.Env(), 3);
  result[0u] = static_cast<double>(held_on(device).allocations.load());
  result[1u] = static_cast<double>(held_on(device).bytes.load());
  int64_t external = 0;
  napi_adjust_external_memory(info.Env(), 0, &external);
  result[2u] = static_cast<double>(external);
  return result;
}

}  // namespace

DeviceMemory::DeviceMemory(int64_t device, void* memory, int64_t bytes)
    : device_(device), memory_(memory), bytes_(bytes) {
  held_on(device).allocations += 1;
  held_on(device).bytes += bytes;
}

DeviceMemory::~DeviceMemory() {
  held_on(device_).allocations -= 1;
  held_on(device_).bytes -= bytes_;
  cuda_backend()->devices->release(static_cast<int32_t>(device_), memory_);
}

Charge::Charge(napi_env env, int64_t bytes) : env_(env), bytes_(bytes) {
  int64_t all = 0;
  napi_adjust_external_memory(env_, bytes_, &all);
}

Charge::~Charge() {
  int64_t all = 0;
  napi_adjust_external_memory(env_, -bytes_, &all);
}

DeviceRange* device_range_of(napi_env env, napi_value value) {
  napi_valuetype type;
  bool tagged = false;
  void* range = nullptr;
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_object ||
      napi_check_object_type_tag(env, value, &kTag, &tagged) != napi_ok || !tagged ||
      napi_unwrap(env, value, &range) != napi_ok) {
    return nullptr;
  }
  return static_cast<DeviceRange*>(range);
}

void register_device_memory(Napi::Env env, Napi::Object exports) {
  exports["deviceAllocate"] = Napi::Function::New<allocate>(env, "deviceAllocate");
  exports["deviceSlice"] = Napi::Function::New<slice>(env, "deviceSlice");
  exports["deviceWrite"] = Napi::Function::New<write>(env, "deviceWrite");
  exports["deviceRead"] = Napi::Function::New<read>(env, "deviceRead");
  exports["deviceReadAsync"] = Napi::Function::New<read_async>(env, "deviceReadAsync");
  exports["deviceDispose"] = Napi::Function::New<dispose>(env, "deviceDispose");
  exports["deviceTrim"] = Napi::Function::New<trim>(env, "deviceTrim");
  exports["deviceHeld"] = Napi::Function::New<held>(env, "deviceHeld");
}

}  // namespace kullback
