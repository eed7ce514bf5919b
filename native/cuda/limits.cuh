// limits: what benches hold operations against, the memory's and the exponentials' speed with next to nothing beside.
//   formula  memory: sum = first + second, or the largest of both;  exponentials: x <- e^(x - 1) from x in (0, 1]
//   shapes   first, second, sum [4 * vectors]; results: a number a warp, so that the compiler leaves nothing out
//   traffic  memory: 2 reads, and 1 write where there is a sum
//   work     exponentials: kChains * rounds a thread, of some threads one round more, each with its subtraction
//   stable   the chains go to 1
//   order    of no importance
//   edges    no vectors, no rounds: a launch that does nothing
//   bound    test/native/limits_cuda_driver.cc;  speed: bench/softmax-divergence
#ifndef KULLBACK_CUDA_LIMITS_CUH
#define KULLBACK_CUDA_LIMITS_CUH

#include "formulas.h"
#include "team.h"

namespace kullback {

// Independent exponentials of a thread. Even one warp of a scheduler then always has one to begin with.
constexpr unsigned kChains = 4;

struct ExponentialLimitArguments {
  float* results;  // one a warp
  int64_t rounds;  // of each thread
  int64_t longer;  // so many threads have one more
  SoftmaxScale<float> scale;
};

template <unsigned kThreads>
__device__ __forceinline__ int64_t thread_of_grid() {
  return int64_t(blockIdx.x) * kThreads + threadIdx.x;
}

template <unsigned kThreads, bool kWrites>
__global__ void __launch_bounds__(kThreads) memory_limit(const Pack<float, 4>* first, const Pack<float, 4>* second,
                                                         Pack<float, 4>* sum, float* results, int64_t vectors) {
  float largest = -INFINITY;
  for (int64_t i = thread_of_grid<kThreads>(); i < vectors; i += int64_t(gridDim.x) * kThreads) {
    const Pack<float, 4> a = first[i], b = second[i];
    if constexpr (kWrites) {
      Pack<float, 4> added;
      for (unsigned k = 0; k < 4; ++k) added.element[k] = a.element[k] + b.element[k];
      sum[i] = added;
    } else {
      for (unsigned k = 0; k < 4; ++k) {
        largest = device::maximum(largest, device::maximum(a.element[k], b.element[k]));
      }
    }
  }
  if constexpr (!kWrites) {
    const double of_warp = reduce_warp<Largest>(largest);
    if (threadIdx.x % kWarpSize == 0) results[thread_of_grid<kThreads>() / kWarpSize] = float(of_warp);
  }
}

template <unsigned kThreads>
__global__ void __launch_bounds__(kThreads)
    exponential_limit(const __grid_constant__ ExponentialLimitArguments arguments) {
  const SoftmaxScale<float>& scale = arguments.scale;
  const float lowest = float(FloatBits<float>::exp2_low) / scale.power_scale;
  const int64_t rounds = arguments.rounds + (thread_of_grid<kThreads>() < arguments.longer ? 1 : 0);
  float chain[kChains];
  for (unsigned k = 0; k < kChains; ++k) chain[k] = float(threadIdx.x * kChains + k + 1) / (kThreads * kChains);
  for (int64_t round = 0; round < rounds; ++round) {
    for (unsigned k = 0; k < kChains; ++k) {
      count_exponential();
      chain[k] = device::exp2_product(chain[k] - 1, scale.power_scale, scale.power_scale_low, lowest);
    }
  }
  float total = 0;
  for (unsigned k = 0; k < kChains; ++k) total += chain[k];
  const double of_warp = reduce_warp<Sum>(total);
  if (threadIdx.x % kWarpSize == 0) arguments.results[thread_of_grid<kThreads>() / kWarpSize] = float(of_warp);
}

}  // namespace kullback

#endif  // KULLBACK_CUDA_LIMITS_CUH
