// The module's exports, and what lives and dies with a JavaScript environment.
#include "addon.h"

#include "../abi/kullback_backend.h"
#include "backends.h"
#include "device_memory.h"

namespace kullback {
namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* data = new EnvironmentData(env);
  env.SetInstanceData(data);
  env.AddCleanupHook([](EnvironmentData* ending) { ending->jobs.abandon_all(); }, data);

  exports["version"] = KULLBACK_VERSION;
  exports["abiVersion"] = Napi::Number::New(env, KULLBACK_ABI_VERSION);
  exports["compiler"] =
#if defined(__clang__)
      "clang " __clang_version__;
#elif defined(__GNUC__)
      "gcc " __VERSION__;
#else
      "unknown";
#endif
  exports["softmaxDivergence"] = Napi::Function::New<softmax_divergence>(env, "softmaxDivergence");
  exports["softmaxDivergenceAsync"] = Napi::Function::New<softmax_divergence_async>(env, "softmaxDivergenceAsync");
  register_cpu(env, exports);
  register_cuda(env, exports);
  register_device_memory(env, exports);
  return exports;
}

}  // namespace
}  // namespace kullback

static Napi::Object init_kullback(Napi::Env env, Napi::Object exports) { return kullback::init(env, exports); }

NODE_API_MODULE(kullback, init_kullback)
