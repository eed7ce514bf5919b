// The table that the target regions fill in and the baseline calls through: one entry per kernel of kernels.inc.
#ifndef KULLBACK_CPU_KERNELS_H
#define KULLBACK_CPU_KERNELS_H

#include <cmath>
#include <cstdint>
#include <limits>

#include "f_divergence.h"
#include "linear_softmax_divergence.h"
#include "matrix_product.h"
#include "simd/elementary.h"
#include "simd/inline.h"
#include "softmax_divergence.h"
#include "stored.h"
#include "token_log_probs.h"

namespace kullback {

template <class T>
struct Kernels {
#define KULLBACK_KERNEL(name, parameters) void(*name) parameters;
#include "kernels.inc"
#undef KULLBACK_KERNEL
};

// One instruction set's kernels. A plain struct, so that nothing compiled inside a target region runs outside of it.
struct KernelTable {
  Kernels<float> float32;
  Kernels<double> float64;
};

template <class T>
const Kernels<T>& kernels_of(const KernelTable& table);
template <>
inline const Kernels<float>& kernels_of(const KernelTable& table) {
  return table.float32;
}
template <>
inline const Kernels<double>& kernels_of(const KernelTable& table) {
  return table.float64;
}

namespace baseline {
extern const KernelTable kernel_table;
}
#if defined(__x86_64__)
namespace avx2 {
extern const KernelTable kernel_table;
}
namespace avx512 {
extern const KernelTable kernel_table;
}
#elif defined(__aarch64__)
namespace neon {
extern const KernelTable kernel_table;
}
#endif

}  // namespace kullback

#endif  // KULLBACK_CPU_KERNELS_H
