// The dispatcher of f_divergence on the GPU: elements to the device and back where they are not there already.
#include "f_divergence.cuh"

#include "backend.h"
#include "context.h"
#include "staging.h"

namespace kullback {
namespace {

using Request = kullback_f_divergence_request;

constexpr unsigned kThreads = 256;
// Enough for every device to be busy to the end; beyond, a thread takes several elements.
constexpr int64_t kMostBlocks = 1 << 16;
// Of the host's elements, what is on its way at a time: twice that is on the device.
constexpr size_t kSlotBytes = size_t{32} << 20;
// Of elements that are on the device already, what one launch takes.
constexpr int64_t kLaunchElements = int64_t{1} << 31;

template <class T>
void launch_elements(const FDivergence& divergence, const FDivergenceArguments<T>& arguments, cudaStream_t stream) {
  const int64_t blocks = std::min((arguments.length + kThreads - 1) / kThreads, kMostBlocks);
  const LaunchShape shape = {dim3(static_cast<unsigned>(blocks)), dim3(kThreads)};
  switch (divergence.generator) {
#define KULLBACK_F_GENERATOR(name) \
  case FGenerator::k##name:        \
    return check(launch(f_divergence<T, device::name, kThreads>, shape, stream, arguments), "launching f_divergence");
#include "../math/f_generators.inc"
#undef KULLBACK_F_GENERATOR
    case FGenerator::kNone:
      return;  // refused before
  }
}

template <class T>
kullback_status run(const Request& request, const kullback_control* control, Device& device) {
  const FDivergence divergence = f_divergence_of(request.divergence, request.parameter);
  if (divergence.generator == FGenerator::kNone) return KULLBACK_UNSUPPORTED;
  const bool on_host = request.on_device == 0;
  RowStaging staging;
  const size_t log_ratios = staging.input(on_host ? request.log_ratios : nullptr, sizeof(T));
  void* const outputs[] = {request.values, request.derivatives, request.value_gradients, request.derivative_gradients};
  size_t staged[4];
  for (unsigned i = 0; i < 4; ++i) staged[i] = staging.output(on_host ? outputs[i] : nullptr, sizeof(T));
  return run_in_slots(device, staging, request.length, kLaunchElements, kSlotBytes, control, "computing f_divergence",
                      [&](const Slot& slot, int64_t first, int64_t count) {
                        const auto output = [&](unsigned i) -> T* {
                          if (on_host) return staging.at<T>(slot, staged[i]);
                          return outputs[i] == nullptr ? nullptr : static_cast<T*>(outputs[i]) + first;
                        };
                        const T* const from = on_host ? staging.at<const T>(slot, log_ratios)
                                                      : static_cast<const T*>(request.log_ratios) + first;
                        launch_elements<T>(divergence,
                                           {divergence.parameter, T(request.scale * divergence.factor), count, from,
                                            output(0), output(1), output(2), output(3)},
                                           slot.stream);
                      });
}

}  // namespace

kullback_status f_divergence_cuda(const Request* request, const kullback_control* control) {
  return run_on(request->device, [&](Device& device) {
    switch (request->dtype) {
      case KULLBACK_FLOAT32:
        return run<float>(*request, control, device);
      case KULLBACK_FLOAT64:
        return run<double>(*request, control, device);
      case KULLBACK_FLOAT16:
      case KULLBACK_BFLOAT16:
        break;
    }
    return KULLBACK_UNSUPPORTED;
  });
}

}  // namespace kullback
