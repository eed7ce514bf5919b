// The formulas of native/math over one number of a thread: float or double in the place of a vector.
#ifndef KULLBACK_CUDA_FORMULAS_H
#define KULLBACK_CUDA_FORMULAS_H

#include "../math/float_bits.h"
#include "../math/log_ratio.h"
#include "device.h"

#define KULLBACK_INLINE __device__ __forceinline__

namespace kullback::device {

template <class V>
using Element = V;

template <class V>
KULLBACK_INLINE V constant(double value) {
  return static_cast<V>(value);
}

template <class V>
KULLBACK_INLINE V broadcast(V value) {
  return value;
}

KULLBACK_INLINE float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
KULLBACK_INLINE double fma(double a, double b, double c) { return ::fma(a, b, c); }
template <class V>
KULLBACK_INLINE V fnma(V a, V b, V c) {
  return device::fma(-a, b, c);
}
KULLBACK_INLINE float absolute(float a) { return ::fabsf(a); }
KULLBACK_INLINE double absolute(double a) { return ::fabs(a); }
// Where b is not a number, neither is this.
template <class V>
KULLBACK_INLINE V maximum(V a, V b) {
  return a > b ? a : b;
}

template <class V>
KULLBACK_INLINE bool less(V a, V b) {
  return a < b;
}
template <class V>
KULLBACK_INLINE bool equal(V a, V b) {
  return a == b;
}
template <class V>
KULLBACK_INLINE V select(bool condition, V yes, V no) {
  return condition ? yes : no;
}

// 2^n, of n + round_magic.
KULLBACK_INLINE float power_of_two(float shifted) { return __int_as_float(__float_as_int(shifted) << 23); }
KULLBACK_INLINE double power_of_two(double shifted) {
  return __longlong_as_double(__double_as_longlong(shifted) << 52);
}

#include "../math/polynomial.inl.h"
#include "../math/exp2.inl.h"
#include "../math/expm1_minus.inl.h"
#include "../math/divergence.inl.h"
#include "../math/log_ratio.inl.h"

}  // namespace kullback::device

#endif  // KULLBACK_CUDA_FORMULAS_H
