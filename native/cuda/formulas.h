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
// Where b is not a number, neither are these.
template <class V>
KULLBACK_INLINE V maximum(V a, V b) {
  return a > b ? a : b;
}
template <class V>
KULLBACK_INLINE V minimum(V a, V b) {
  return a < b ? a : b;
}

template <class V>
KULLBACK_INLINE bool less(V a, V b) {
  return a < b;
}
template <class V>
KULLBACK_INLINE bool equal(V a, V b) {
  return a == b;
}
KULLBACK_INLINE bool both(bool a, bool b) { return a && b; }
template <class V>
KULLBACK_INLINE V select(bool condition, V yes, V no) {
  return condition ? yes : no;
}

// 2^n, of n + round_magic.
KULLBACK_INLINE float power_of_two(float shifted) { return __int_as_float(__float_as_int(shifted) << 23); }
KULLBACK_INLINE double power_of_two(double shifted) {
  return __longlong_as_double(__double_as_longlong(shifted) << 52);
}

// x = 2^n mantissa, sqrt(1/2) <= mantissa < sqrt(2), of a normal number.
KULLBACK_INLINE float split_exponent(float x, float& mantissa) {
  using Bits = FloatBits<float>;
  const unsigned shifted = static_cast<unsigned>(__float_as_int(x)) + (Bits::one - Bits::sqrt_half);
  mantissa = __int_as_float(static_cast<int>((shifted & 0x007fffffu) + Bits::sqrt_half));
  return static_cast<float>(static_cast<int>(shifted >> 23) - 127);
}
KULLBACK_INLINE double split_exponent(double x, double& mantissa) {
  using Bits = FloatBits<double>;
  const auto shifted = static_cast<unsigned long long>(__double_as_longlong(x)) + (Bits::one - Bits::sqrt_half);
  mantissa = __longlong_as_double(static_cast<long long>((shifted & 0x000fffffffffffffull) + Bits::sqrt_half));
  return static_cast<double>(static_cast<int>(shifted >> 52) - 1023);
}

KULLBACK_INLINE float float_of_bits(uint32_t bits) { return __int_as_float(static_cast<int>(bits)); }
KULLBACK_INLINE uint32_t bits_of_float(float x) { return static_cast<uint32_t>(__float_as_int(x)); }

#include "../math/half.inl.h"
#include "../math/polynomial.inl.h"
#include "../math/exp2.inl.h"
#include "../math/log_series.inl.h"
#include "../math/elementary.inl.h"
#include "../math/expm1_minus.inl.h"
#include "../math/divergence.inl.h"
#include "../math/generators.inl.h"
#include "../math/f_divergence.inl.h"
#include "../math/log_ratio.inl.h"

// The two that have passes of their own on the CPU, as the generators are. Slopes may have any multiple of their side's
// probabilities added: what makes their sum 0 takes it away.
template <class V>
struct KullbackLeiblerSlopes {
  KULLBACK_INLINE Slopes<V> of(const Column<V>& at) const {
    if (at.a == 0) return {KullbackLeibler::weightless_term(at), 0, at.b};
    return {KullbackLeibler::term(at), at.a * KullbackLeibler::score(at), pull(at)};
  }
};

template <class V>
struct CrossEntropySlopes {
  KULLBACK_INLINE Slopes<V> of(const Column<V>& at) const {
    if (at.a == 0) return {CrossEntropy::weightless_term(at), 0, at.b};
    return {CrossEntropy::term(at), at.a * CrossEntropy::score(at), pull(at)};
  }
};

}  // namespace kullback::device

#endif  // KULLBACK_CUDA_FORMULAS_H
