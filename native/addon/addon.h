// What each JavaScript environment has, and the functions that addon.cc registers.
#ifndef KULLBACK_ADDON_ADDON_H
#define KULLBACK_ADDON_ADDON_H

#include "job.h"
#include "napi_setup.h"

namespace kullback {

// Bound to the environment; Node deletes it with the environment.
struct EnvironmentData {
  explicit EnvironmentData(Napi::Env env) : jobs(env) {}
  JobQueue jobs;
};

// One pair a row of native/abi/operations.inc: now, and as a job.
#define KULLBACK_OPERATION(stem)                    \
  Napi::Value stem(const Napi::CallbackInfo& info); \
  Napi::Value stem##_async(const Napi::CallbackInfo& info);
#include "../abi/operations.inc"
#undef KULLBACK_OPERATION

// cpu.cc: threads, instruction sets, and the elementary functions for tests.
void register_cpu(Napi::Env env, Napi::Object exports);

}  // namespace kullback

#endif  // KULLBACK_ADDON_ADDON_H
