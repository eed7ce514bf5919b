// The formulas of native/math for one float64 at a time, in the baseline: what drivers do with a row's partial results.
#ifndef KULLBACK_CPU_SCALAR_H
#define KULLBACK_CPU_SCALAR_H

#include <cmath>

#include "simd/float_bits.h"

namespace kullback::scalar {

template <class V>
using Element = V;

template <class V>
KULLBACK_INLINE V constant(double value) {
  return value;
}

KULLBACK_INLINE double fma(double a, double b, double c) { return a * b + c; }
KULLBACK_INLINE double fnma(double a, double b, double c) { return c - a * b; }
KULLBACK_INLINE double absolute(double a) { return std::fabs(a); }
KULLBACK_INLINE bool less(double a, double b) { return a < b; }
KULLBACK_INLINE double select(bool condition, double yes, double no) { return condition ? yes : no; }

// The order is the meaning: each file needs what stands above it.
#include "../math/polynomial.inl.h"
#include "../math/expm1_minus.inl.h"
#include "../math/divergence.inl.h"

}  // namespace kullback::scalar

#endif  // KULLBACK_CPU_SCALAR_H
