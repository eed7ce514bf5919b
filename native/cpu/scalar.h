// The formulas of native/math for one float64 at a time, in the baseline: what drivers do with a row's partial results.
#ifndef KULLBACK_CPU_SCALAR_H
#define KULLBACK_CPU_SCALAR_H

#include "simd/inline.h"

namespace kullback::scalar {

template <class V>
using Element = V;

template <class V>
KULLBACK_INLINE V constant(double value) {
  return value;
}

KULLBACK_INLINE double fma(double a, double b, double c) { return a * b + c; }

// The order is the meaning: each file needs what stands above it.
#include "../math/polynomial.inl.h"
#include "../math/expm1_minus.inl.h"

}  // namespace kullback::scalar

#endif  // KULLBACK_CPU_SCALAR_H
