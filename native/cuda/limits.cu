// The dispatcher of the limits: as many threads as the device has room for, or fewer where there is little to do.
#include "limits.cuh"

#include <algorithm>

#include "backend.h"
#include "context.h"

namespace kullback {
namespace {

constexpr unsigned kThreads = 256;
// Every device from Turing on has room for 1024 threads a multiprocessor; where there is room for 2048, these fill it.
constexpr int64_t kBlocksPerMultiprocessor = 8;
// Fewer exponentials of a thread would be lost beside its start.
constexpr int64_t kLeastRounds = 16;

// A kernel on the first slot's stream, launch(blocks, results, stream): `threads` would be enough for its work.
template <class Launch>
kullback_status run_limit(int32_t index, int64_t threads, const char* what, const Launch& launch) {
  return run_on(index, [&](Device& device) {
    const int64_t most = device.attribute(cudaDevAttrMultiProcessorCount) * kBlocksPerMultiprocessor;
    const int64_t blocks = std::clamp<int64_t>((threads + kThreads - 1) / kThreads, 1, most);
    const size_t warps = static_cast<size_t>(blocks) * kThreads / kWarpSize;
    const Slot& slot = device.slot(0, warps * sizeof(float));
    check(launch(blocks, reinterpret_cast<float*>(slot.device), slot.stream), what);
    record(slot, what);
    wait(slot, nullptr, what);
    return KULLBACK_OK;
  });
}

LaunchShape shape_of(int64_t blocks) { return {dim3(static_cast<unsigned>(blocks)), dim3(kThreads)}; }

}  // namespace

kullback_status memory_limit_cuda(int32_t device, const float* first, const float* second, float* sum, int64_t length) {
  using Vector = Pack<float, 4>;
  const int64_t vectors = length / 4;
  return run_limit(
      device, vectors, "reading and writing memory", [&](int64_t blocks, float* results, cudaStream_t stream) {
        const auto kernel = sum == nullptr ? memory_limit<kThreads, false> : memory_limit<kThreads, true>;
        return launch(kernel, shape_of(blocks), stream, reinterpret_cast<const Vector*>(first),
                      reinterpret_cast<const Vector*>(second), reinterpret_cast<Vector*>(sum), results, vectors);
      });
}

kullback_status exponential_limit_cuda(int32_t device, int64_t count) {
  const int64_t turns = (count + kChains - 1) / kChains;
  return run_limit(device, turns / kLeastRounds, "computing exponentials",
                   [&](int64_t blocks, float* results, cudaStream_t stream) {
                     const int64_t threads = blocks * kThreads;
                     const ExponentialLimitArguments arguments = {results, turns / threads, turns % threads,
                                                                  softmax_scale<float>(1)};
                     return launch(exponential_limit<kThreads>, shape_of(blocks), stream, arguments);
                   });
}

}  // namespace kullback
