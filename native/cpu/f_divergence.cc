// The driver of f_divergence on the CPU: ranges of elements over threads. The arithmetic is f_divergence.inl.h's.
#include "f_divergence.h"

#include <algorithm>

#include "backend.h"
#include "dispatch.h"
#include "element_types.h"
#include "stop.h"
#include "thread_pool.h"

namespace kullback {
namespace {

using Request = kullback_f_divergence_request;

// What one thread takes at a time; below, the work is done before a second thread could wake up.
constexpr int64_t kElementsPerTask = 1 << 14;

template <class T>
kullback_status run(const Request& request, const kullback_control* control) {
  const FDivergence divergence = f_divergence_of(request.divergence, request.parameter);
  if (divergence.generator == FGenerator::kNone) return KULLBACK_UNSUPPORTED;
  const Kernels<T>& kernels = kernels_of<T>(*active_instruction_set().kernels);
  Stop stop(control);
  const auto range = [&](int64_t index) {
    if (stop.asked()) return;
    const int64_t begin = index * kElementsPerTask;
    const auto from = [&](void* array) { return array == nullptr ? nullptr : static_cast<T*>(array) + begin; };
    kernels.f_divergence({divergence, static_cast<T>(request.scale * divergence.factor),
                          std::min(kElementsPerTask, request.length - begin),
                          static_cast<const T*>(request.log_ratios) + begin, from(request.values),
                          from(request.derivatives), from(request.value_gradients),
                          from(request.derivative_gradients)});
  };
  ThreadPool::instance().parallel_for((request.length + kElementsPerTask - 1) / kElementsPerTask, range);
  return stop.asked() ? KULLBACK_CANCELLED : KULLBACK_OK;
}

}  // namespace

kullback_status f_divergence_cpu(const Request* request, const kullback_control* control) {
  return in_full_width(request->dtype, [&]<class T>() { return run<T>(*request, control); });
}

}  // namespace kullback
