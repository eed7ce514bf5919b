// The vector types without instruction sets: plain loops over lanes, which any compiler for any processor accepts.
// This file is also the definition that avx2.h, avx512.h and neon.h follow, name by name.
//
// A vector is 64 bytes on every instruction set: F32 has 16 lanes and F64 has 8, whatever the registers hold. Sums run
// over these virtual lanes, so AVX2, AVX-512 and NEON add in one order and give the same bits. The baseline has no
// fused multiply-add: its last bits differ.
//
// No include guard and no namespace: each isa_*.cc includes its header once, inside its own target region.

// Whether fma() and fnma() round once.
constexpr bool kFused = false;

template <class T, int N>
struct Mask {
  bool lane[N];
};

template <class T, int N>
struct Lanes {
  using Element = T;
  static constexpr int lanes = N;
  T lane[N];

  static KULLBACK_INLINE Lanes all(T value) {
    Lanes r;
    for (int i = 0; i < N; ++i) r.lane[i] = value;
    return r;
  }
  static KULLBACK_INLINE Lanes load(const T* from) {
    Lanes r;
    for (int i = 0; i < N; ++i) r.lane[i] = from[i];
    return r;
  }
  // The first `count` lanes come from memory, the others are `fill`; nothing beyond them is read.
  static KULLBACK_INLINE Lanes load_first(const T* from, int count, T fill) {
    Lanes r;
    for (int i = 0; i < N; ++i) r.lane[i] = i < count ? from[i] : fill;
    return r;
  }
  KULLBACK_INLINE void store(T* to) const {
    for (int i = 0; i < N; ++i) to[i] = lane[i];
  }
  KULLBACK_INLINE void store_first(T* to, int count) const {
    for (int i = 0; i < count; ++i) to[i] = lane[i];
  }
};

using F32 = Lanes<float, 16>;
using F64 = Lanes<double, 8>;

#define KULLBACK_LANEWISE(result, name, parameters, expression) \
  template <class T, int N>                                     \
  KULLBACK_INLINE result<T, N> name parameters {                \
    result<T, N> r;                                             \
    for (int i = 0; i < N; ++i) r.lane[i] = (expression);       \
    return r;                                                   \
  }
#define KULLBACK_PAIR (Lanes<T, N> a, Lanes<T, N> b)
KULLBACK_LANEWISE(Lanes, operator+, KULLBACK_PAIR, a.lane[i] + b.lane[i])
KULLBACK_LANEWISE(Lanes, operator-, KULLBACK_PAIR, a.lane[i] - b.lane[i])
KULLBACK_LANEWISE(Lanes, operator*, KULLBACK_PAIR, a.lane[i] * b.lane[i])
KULLBACK_LANEWISE(Lanes, operator/, KULLBACK_PAIR, a.lane[i] / b.lane[i])
// maximum(a, b) and minimum(a, b) are b where either is NaN, as x86 has it.
KULLBACK_LANEWISE(Lanes, maximum, KULLBACK_PAIR, a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i])
KULLBACK_LANEWISE(Lanes, minimum, KULLBACK_PAIR, a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i])
KULLBACK_LANEWISE(Mask, less, KULLBACK_PAIR, a.lane[i] < b.lane[i])
KULLBACK_LANEWISE(Mask, equal, KULLBACK_PAIR, a.lane[i] == b.lane[i])
#undef KULLBACK_PAIR
KULLBACK_LANEWISE(Lanes, absolute, (Lanes<T, N> a), a.lane[i] < 0 ? -a.lane[i] : a.lane[i])
KULLBACK_LANEWISE(Lanes, fma, (Lanes<T, N> a, Lanes<T, N> b, Lanes<T, N> c), a.lane[i] * b.lane[i] + c.lane[i])
// fnma(a, b, c) = c - a * b
KULLBACK_LANEWISE(Lanes, fnma, (Lanes<T, N> a, Lanes<T, N> b, Lanes<T, N> c), c.lane[i] - a.lane[i] * b.lane[i])
KULLBACK_LANEWISE(Lanes, select, (Mask<T, N> m, Lanes<T, N> yes, Lanes<T, N> no), m.lane[i] ? yes.lane[i] : no.lane[i])
// v, but 0 where m
KULLBACK_LANEWISE(Lanes, zero_where, (Mask<T, N> m, Lanes<T, N> v), m.lane[i] ? T{0} : v.lane[i])
KULLBACK_LANEWISE(Mask, both, (Mask<T, N> a, Mask<T, N> b), a.lane[i] && b.lane[i])
#undef KULLBACK_LANEWISE

// Lanes 0 to 7 and 8 to 15.
KULLBACK_INLINE F64 widen_low(F32 v) {
  F64 r;
  for (int i = 0; i < 8; ++i) r.lane[i] = v.lane[i];
  return r;
}
KULLBACK_INLINE F64 widen_high(F32 v) {
  F64 r;
  for (int i = 0; i < 8; ++i) r.lane[i] = v.lane[i + 8];
  return r;
}

template <class To, class From>
KULLBACK_INLINE To bits_of(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To r;
  __builtin_memcpy(&r, &value, sizeof r);
  return r;
}

// 2^n out of `shifted` = FloatBits::round_magic + n: the magic number leaves n + bias in the low mantissa bits.
KULLBACK_INLINE F32 power_of_two(F32 shifted) {
  for (float& x : shifted.lane) x = bits_of<float>(bits_of<uint32_t>(x) << 23);
  return shifted;
}
KULLBACK_INLINE F64 power_of_two(F64 shifted) {
  for (double& x : shifted.lane) x = bits_of<double>(bits_of<uint64_t>(x) << 52);
  return shifted;
}

// x = mantissa * 2^exponent with mantissa in [sqrt(1/2), sqrt(2)); x positive and normal.
KULLBACK_INLINE F32 split_exponent(F32 x, F32& mantissa) {
  F32 exponent;
  for (int i = 0; i < 16; ++i) {
    const uint32_t shifted = bits_of<uint32_t>(x.lane[i]) + (FloatBits<float>::one - FloatBits<float>::sqrt_half);
    exponent.lane[i] = static_cast<float>(static_cast<int>(shifted >> 23) - 127);
    mantissa.lane[i] = bits_of<float>((shifted & 0x007fffffu) + FloatBits<float>::sqrt_half);
  }
  return exponent;
}
KULLBACK_INLINE F64 split_exponent(F64 x, F64& mantissa) {
  F64 exponent;
  for (int i = 0; i < 8; ++i) {
    const uint64_t shifted = bits_of<uint64_t>(x.lane[i]) + (FloatBits<double>::one - FloatBits<double>::sqrt_half);
    exponent.lane[i] = static_cast<double>(static_cast<int>(shifted >> 52) - 1023);
    mantissa.lane[i] = bits_of<double>((shifted & 0x000fffffffffffffull) + FloatBits<double>::sqrt_half);
  }
  return exponent;
}
