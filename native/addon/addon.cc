// The module's exports, and what lives and dies with a JavaScript environment.
#include "addon.h"

#include <cctype>
#include <string>

#include "../abi/kullback_backend.h"
#include "backends.h"
#include "device_memory.h"

namespace kullback {
namespace {

// A stem as JavaScript spells it: softmaxDivergence for softmax_divergence.
std::string name_of(const std::string& stem) {
  std::string name;
  for (size_t i = 0; i < stem.size(); ++i) {
    if (stem[i] != '_') {
      name += i > 0 && stem[i - 1] == '_' ? static_cast<char>(std::toupper(stem[i])) : stem[i];
    }
  }
  return name;
}

template <Napi::Value (*Function)(const Napi::CallbackInfo&)>
void register_function(Napi::Env env, Napi::Object& exports, const std::string& name) {
  exports[name] = Napi::Function::New<Function>(env, name);
}

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
#define KULLBACK_OPERATION(stem)                         \
  register_function<stem>(env, exports, name_of(#stem)); \
  register_function<stem##_async>(env, exports, name_of(#stem) + "Async");
#include "../abi/operations.inc"
#undef KULLBACK_OPERATION
  register_cpu(env, exports);
  register_cuda(env, exports);
  register_device_memory(env, exports);
  return exports;
}

}  // namespace
}  // namespace kullback

static Napi::Object init_kullback(Napi::Env env, Napi::Object exports) { return kullback::init(env, exports); }

NODE_API_MODULE(kullback, init_kullback)
