// What JavaScript may ask the CUDA backend about: whether it loads, its devices, and their limits.
#include <cstdint>
#include <string>

#include "arguments.h"
#include "backends.h"
#include "cuda_library.h"
#include "errors.h"

namespace kullback {
namespace {

// loadCuda(path): undefined, or why not.
Napi::Value load_cuda(const Napi::CallbackInfo& info) {
  const std::string problem = load_cuda_library(info[0].ToString());
  if (problem.empty()) return info.Env().Undefined();
  return Napi::String::New(info.Env(), problem);
}

// cudaDevices(): how many can be used, or why none.
Napi::Value cuda_devices(const Napi::CallbackInfo& info) {
  const kullback_backend& cuda = backend_for(info.Env(), 0);
  const int32_t count = cuda.devices->count();
  if (count > 0) return Napi::Number::New(info.Env(), count);
  return Napi::String::New(info.Env(), cuda.last_error());
}

// cudaDevice(device): what it is.
Napi::Value cuda_device(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int64_t device = Arguments(info, 0, nullptr).cuda_device();
  const kullback_backend& cuda = backend_for(env, device);
  kullback_device_info found = {};
  int64_t free_bytes = 0, total_bytes = 0;
  throw_unless_ok(env, cuda.devices->describe(static_cast<int32_t>(device), &found), cuda);
  throw_unless_ok(env, cuda.devices->memory(static_cast<int32_t>(device), &free_bytes, &total_bytes), cuda);
  Napi::Object result = Napi::Object::New(env);
  result["name"] = found.name;
  result["computeCapability"] = found.compute_capability;
  result["multiprocessors"] = found.multiprocessors;
  result["driverVersion"] = found.driver_version;
  result["runtimeVersion"] = found.runtime_version;
  result["emulated"] = found.emulated != 0;
  result["freeBytes"] = static_cast<double>(free_bytes);
  result["totalBytes"] = static_cast<double>(total_bytes);
  return result;
}

// cudaMemoryLimit(device, length, first, second, sum or undefined), float32: for benches.
Napi::Value memory_limit(const Napi::CallbackInfo& info) {
  Arguments arguments(info, 0, nullptr);
  const int64_t device = arguments.cuda_device(), length = arguments.count("length");
  const kullback_backend& cuda = backend_for(info.Env(), device);
  const auto* first = static_cast<const float*>(arguments.tensor_input("first", napi_float32_array, length, true));
  const auto* second = static_cast<const float*>(arguments.tensor_input("second", napi_float32_array, length, true));
  auto* sum = static_cast<float*>(arguments.tensor_output("sum", napi_float32_array, length, true, {nullptr, false}));
  for (const float* array : {first, second, static_cast<const float*>(sum)}) {
    if (reinterpret_cast<uintptr_t>(array) % 16 != 0) {
      throw argument_error(info.Env(), "arrays must begin at a multiple of 16 bytes");
    }
  }
  throw_unless_ok(info.Env(), cuda.devices->memory_limit(static_cast<int32_t>(device), first, second, sum, length),
                  cuda);
  return info.Env().Undefined();
}

// cudaExponentialLimit(device, count): for benches.
Napi::Value exponential_limit(const Napi::CallbackInfo& info) {
  Arguments arguments(info, 0, nullptr);
  const int64_t device = arguments.cuda_device(), count = arguments.count("count");
  const kullback_backend& cuda = backend_for(info.Env(), device);
  throw_unless_ok(info.Env(), cuda.devices->exponential_limit(static_cast<int32_t>(device), count), cuda);
  return info.Env().Undefined();
}

}  // namespace

void register_cuda(Napi::Env env, Napi::Object exports) {
  exports["loadCuda"] = Napi::Function::New<load_cuda>(env, "loadCuda");
  exports["cudaDevices"] = Napi::Function::New<cuda_devices>(env, "cudaDevices");
  exports["cudaDevice"] = Napi::Function::New<cuda_device>(env, "cudaDevice");
  exports["cudaMemoryLimit"] = Napi::Function::New<memory_limit>(env, "cudaMemoryLimit");
  exports["cudaExponentialLimit"] = Napi::Function::New<exponential_limit>(env, "cudaExponentialLimit");
}

}  // namespace kullback
