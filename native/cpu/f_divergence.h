// f_divergence: what the baseline driver (f_divergence.cc) tells the vector kernels (f_divergence.inl.h) about a range
// of log ratios. A plain struct only.
#ifndef KULLBACK_CPU_F_DIVERGENCE_H
#define KULLBACK_CPU_F_DIVERGENCE_H

#include <cstdint>

#include "../abi/kullback_backend.h"
#include "../math/f_generator.h"

namespace kullback {

template <class T>
struct FDivergenceTask {
  FDivergence divergence;
  T scale;
  int64_t count;
  const T* log_ratios;
  // [count] or NULL
  T* values;
  T* derivatives;
  T* value_gradients;
  T* derivative_gradients;
};

}  // namespace kullback

#endif  // KULLBACK_CPU_F_DIVERGENCE_H
