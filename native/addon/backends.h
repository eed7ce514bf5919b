// The backends that this process has: the CPU's, which is part of the addon, and CUDA's, which is a shared library.
#ifndef KULLBACK_ADDON_BACKENDS_H
#define KULLBACK_ADDON_BACKENDS_H

#include <cstdint>
#include <functional>

#include "../abi/kullback_backend.h"
#include "napi_setup.h"

namespace kullback {

// As calls from JavaScript name who computes: the CPU, or one of CUDA's devices.
constexpr int64_t kCpu = -1;
constexpr int64_t kMostDevices = 1024;

// Throws the JavaScript error of a call for a device before loadCuda.
const kullback_backend& backend_for(Napi::Env env, int64_t device);

// Runs a job where calls for the device run beside JavaScript: on the CPU's threads, or on the device's one thread,
// since its calls would only wait for each other elsewhere.
void run_beside(int64_t device, std::function<void()> job);

// Returns once what was to run beside JavaScript for one of CUDA's devices has run.
void wait_for_device(int64_t device);

// cuda.cc: loadCuda and what asks a device about itself.
void register_cuda(Napi::Env env, Napi::Object exports);

}  // namespace kullback

#endif  // KULLBACK_ADDON_BACKENDS_H
