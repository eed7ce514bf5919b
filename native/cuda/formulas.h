// The formulas of native/math over one number of a thread: float or double in the place of a vector.
#ifndef KULLBACK_CUDA_FORMULAS_H
#define KULLBACK_CUDA_FORMULAS_H

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
KULLBACK_INLINE float maximum(float a, float b) { return ::fmaxf(a, b); }
KULLBACK_INLINE double maximum(double a, double b) { return ::fmax(a, b); }

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

// 2^y; below the least normal number it may be 0.
KULLBACK_INLINE float exp2(float y) { return exp2_approx(y); }
KULLBACK_INLINE double exp2(double y) { return ::exp2(y); }

#include "../math/polynomial.inl.h"
#include "../math/expm1_minus.inl.h"
#include "../math/divergence.inl.h"
#include "../math/log_ratio.inl.h"

}  // namespace kullback::device

#endif  // KULLBACK_CUDA_FORMULAS_H
