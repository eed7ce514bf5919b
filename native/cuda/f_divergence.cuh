// f_divergence on the GPU: a generator, its derivative and their gradients at each of many log ratios.
//   formula  math/f_divergence.inl.h
//   shapes   log_ratios and outputs [length]; a thread an element, and where there are more, each every so many
//   traffic  1 read, and 1 write an output
//   work     1 to 4 exponentials an output; binds: memory, but where all outputs are wanted
//   stable   from the log ratio alone, never from the ratio less 1
//   order    none: each element is its own
//   edges    infinite log ratios: the limits;  NaN: NaN
//   bound    docs/f-divergence.md, tests "error bound";  speed: bench/f-divergence
#ifndef KULLBACK_CUDA_F_DIVERGENCE_CUH
#define KULLBACK_CUDA_F_DIVERGENCE_CUH

#include "../abi/kullback_backend.h"
#include "../math/f_generator.h"
#include "formulas.h"

namespace kullback {

template <class T>
struct FDivergenceArguments {
  double parameter;
  T scale;
  int64_t length;
  const T* log_ratios;
  // [length] or NULL
  T *values, *derivatives, *value_gradients, *derivative_gradients;
};

template <class T, template <class> class Generator, unsigned kThreads>
__global__ void __launch_bounds__(kThreads) f_divergence(const __grid_constant__ FDivergenceArguments<T> arguments) {
  using device::FOutput;
  const Generator<T> generator(arguments.parameter);
  const int64_t threads = int64_t(gridDim.x) * kThreads;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < arguments.length; i += threads) {
    const T x = arguments.log_ratios[i], scale = arguments.scale;
    if (arguments.values != nullptr) {
      arguments.values[i] = device::f_of<FOutput::kValue>(generator, x, scale);
    }
    if (arguments.derivatives != nullptr) {
      arguments.derivatives[i] = device::f_of<FOutput::kDerivative>(generator, x, scale);
    }
    if (arguments.value_gradients != nullptr) {
      arguments.value_gradients[i] = device::f_of<FOutput::kValueGradient>(generator, x, scale);
    }
    if (arguments.derivative_gradients != nullptr) {
      arguments.derivative_gradients[i] = device::f_of<FOutput::kDerivativeGradient>(generator, x, scale);
    }
  }
}

}  // namespace kullback

#endif  // KULLBACK_CUDA_F_DIVERGENCE_CUH
