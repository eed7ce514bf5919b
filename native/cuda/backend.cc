// The CUDA backend's table, the one symbol that its library exports.
#include "backend.h"

#include <cstdio>

#include "context.h"
#include "device.h"

namespace kullback {
namespace {

int32_t count() {
  try {
    return device_count();
  } catch (const CudaFailure& failure) {
    failed(failure);
    return 0;
  }
}

kullback_status describe(int32_t index, kullback_device_info* info) {
  return beside_work(index, [&](Device& device) {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, index), "asking for a device's properties");
    *info = {};
    std::snprintf(info->name, sizeof info->name, "%s", properties.name);
    info->compute_capability =
        10 * device.attribute(cudaDevAttrComputeCapabilityMajor) + device.attribute(cudaDevAttrComputeCapabilityMinor);
    info->multiprocessors = device.attribute(cudaDevAttrMultiProcessorCount);
    check(cudaDriverGetVersion(&info->driver_version), "asking for the driver's version");
    check(cudaRuntimeGetVersion(&info->runtime_version), "asking for the run time's version");
    info->emulated = KULLBACK_GPU ? 0 : 1;
    return KULLBACK_OK;
  });
}

kullback_status memory(int32_t index, int64_t* free_bytes, int64_t* total_bytes) {
  return beside_work(index, [&](Device&) {
    size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "asking for free memory");
    *free_bytes = static_cast<int64_t>(free);
    *total_bytes = static_cast<int64_t>(total);
    return KULLBACK_OK;
  });
}

kullback_status allocate(int32_t index, int64_t bytes, void** result) {
  return beside_work(index, [&](Device& device) {
    *result = device.allocate(static_cast<size_t>(bytes));
    return KULLBACK_OK;
  });
}

kullback_status release(int32_t index, void* device_memory) {
  return beside_work(index, [&](Device& device) {
    device.free(device_memory);
    return KULLBACK_OK;
  });
}

kullback_status copy_to_device(int32_t index, void* to, const void* from, int64_t bytes) {
  return beside_work(index, [&](Device&) {
    check(cudaMemcpy(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice), "copying to the device");
    // It returns once pageable memory has been read, which is before all of it has arrived.
    check(cudaStreamSynchronize(nullptr), "copying to the device");
    return KULLBACK_OK;
  });
}

kullback_status copy_to_host(int32_t index, void* to, const void* from, int64_t bytes) {
  return beside_work(index, [&](Device&) {
    check(cudaMemcpy(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost), "copying from the device");
    return KULLBACK_OK;
  });
}

kullback_status trim(int32_t index) {
  return run_on(index, [&](Device& device) {
    device.trim();
    return KULLBACK_OK;
  });
}

constexpr kullback_devices devices = {
    &count,          &describe,     &memory, &allocate,          &release,
    &copy_to_device, &copy_to_host, &trim,   &memory_limit_cuda, &exponential_limit_cuda};

constexpr kullback_backend table = {
    KULLBACK_ABI_VERSION,
    "cuda",
    &last_error,
    &devices,
#define KULLBACK_OPERATION(stem) &stem##_cuda,
#include "../abi/operations.inc"
#undef KULLBACK_OPERATION
};

}  // namespace
}  // namespace kullback

#if defined(_WIN32)
#define KULLBACK_EXPORT extern "C" __declspec(dllexport)
#else
#define KULLBACK_EXPORT extern "C" __attribute__((visibility("default")))
#endif

KULLBACK_EXPORT const kullback_backend* kullback_backend_table() { return &kullback::table; }
