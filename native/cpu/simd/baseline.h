// The vector types of a processor that nothing is known of: four vectors of 16 bytes, in the compilers' own notation,
// which becomes SSE2 on any x86-64 and NEON or plain loops elsewhere.
// This file is also the definition that avx2.h, avx512.h and neon.h follow, name by name.
//
// A vector is 64 bytes on every instruction set: F32 has 16 lanes and F64 has 8, whatever the registers hold. Sums run
// over these virtual lanes, so AVX2, AVX-512 and NEON add in one order and give the same bits. The baseline has no
// fused multiply-add: its last bits differ.
//
// No include guard and no namespace: each isa_*.cc includes its header once, inside its own target region.

template <class T>
struct Register;
template <>
struct Register<float> {
  typedef float Type __attribute__((vector_size(16)));
  typedef int32_t Bits __attribute__((vector_size(16)));
  typedef uint32_t Unsigned __attribute__((vector_size(16)));
};
template <>
struct Register<double> {
  typedef double Type __attribute__((vector_size(16)));
  typedef int64_t Bits __attribute__((vector_size(16)));
  typedef uint64_t Unsigned __attribute__((vector_size(16)));
};

// All bits of a lane or none.
template <class T>
struct Mask {
  typename Register<T>::Bits part[4];
};

// A call, since compilers unroll the loop and it stands at the end of every pass.
template <class T>
__attribute__((noinline)) static void copy_lanes(T* to, const T* from, int count) {
  for (int i = 0; i < count; ++i) to[i] = from[i];
}

template <class T>
struct Lanes {
  using Element = T;
  using Part = typename Register<T>::Type;
  static constexpr int per_part = 16 / sizeof(T);
  static constexpr int lanes = 4 * per_part;
  Part part[4];

  static KULLBACK_INLINE Lanes all(T value) {
    const Part filled = Part{} + value;
    return {{filled, filled, filled, filled}};
  }
  static KULLBACK_INLINE Lanes load(const T* from) {
    struct __attribute__((packed, may_alias)) Unaligned {
      Part part;
    };
    const auto* parts = reinterpret_cast<const Unaligned*>(from);
    return {{parts[0].part, parts[1].part, parts[2].part, parts[3].part}};
  }
  // The first `count` lanes come from memory, the others are `fill`; nothing beyond them is read.
  static KULLBACK_INLINE Lanes load_first(const T* from, int count, T fill) {
    T lane[lanes];
    all(fill).store(lane);
    copy_lanes(lane, from, count < lanes ? count : lanes);
    return load(lane);
  }
  KULLBACK_INLINE void store(T* to) const {
    for (int i = 0; i < 4; ++i) __builtin_memcpy(to + i * per_part, &part[i], sizeof part[i]);
  }
  KULLBACK_INLINE void store_first(T* to, int count) const {
    T lane[lanes];
    store(lane);
    copy_lanes(to, lane, count);
  }
};

using F32 = Lanes<float>;
using F64 = Lanes<double>;

// Written out, since compilers keep what a loop indexes in memory until they unroll it, which takes them minutes.
#define KULLBACK_PART(index, expression) \
  {                                      \
    constexpr int i = index;             \
    r.part[i] = (expression);            \
  }
#define KULLBACK_PARTWISE(Result, name, parameters, expression) \
  template <class T>                                            \
  KULLBACK_INLINE Result<T> name parameters {                   \
    Result<T> r;                                                \
    KULLBACK_PART(0, expression)                                \
    KULLBACK_PART(1, expression)                                \
    KULLBACK_PART(2, expression)                                \
    KULLBACK_PART(3, expression)                                \
    return r;                                                   \
  }
#define KULLBACK_PAIR (Lanes<T> a, Lanes<T> b)
KULLBACK_PARTWISE(Lanes, operator+, KULLBACK_PAIR, a.part[i] + b.part[i])
KULLBACK_PARTWISE(Lanes, operator-, KULLBACK_PAIR, a.part[i] - b.part[i])
KULLBACK_PARTWISE(Lanes, operator*, KULLBACK_PAIR, a.part[i] * b.part[i])
KULLBACK_PARTWISE(Lanes, operator/, KULLBACK_PAIR, a.part[i] / b.part[i])
// maximum(a, b) and minimum(a, b) are b where either is NaN, as x86 has it.
KULLBACK_PARTWISE(Lanes, maximum, KULLBACK_PAIR, a.part[i] > b.part[i] ? a.part[i] : b.part[i])
KULLBACK_PARTWISE(Lanes, minimum, KULLBACK_PAIR, a.part[i] < b.part[i] ? a.part[i] : b.part[i])
KULLBACK_PARTWISE(Mask, less, KULLBACK_PAIR, a.part[i] < b.part[i])
KULLBACK_PARTWISE(Mask, equal, KULLBACK_PAIR, a.part[i] == b.part[i])
#undef KULLBACK_PAIR
KULLBACK_PARTWISE(Mask, both, (Mask<T> a, Mask<T> b), a.part[i] & b.part[i])
KULLBACK_PARTWISE(Lanes, select, (Mask<T> m, Lanes<T> yes, Lanes<T> no), m.part[i] ? yes.part[i] : no.part[i])
KULLBACK_PARTWISE(Lanes, fma, (Lanes<T> a, Lanes<T> b, Lanes<T> c), a.part[i] * b.part[i] + c.part[i])
// fnma(a, b, c) = c - a * b
KULLBACK_PARTWISE(Lanes, fnma, (Lanes<T> a, Lanes<T> b, Lanes<T> c), c.part[i] - a.part[i] * b.part[i])
#define KULLBACK_AS(Kind, value) ((typename Register<T>::Kind)(value))
KULLBACK_PARTWISE(Lanes, absolute, (Lanes<T> a), KULLBACK_AS(Type, KULLBACK_AS(Unsigned, a.part[i]) << 1 >> 1))
// v, but 0 where m
KULLBACK_PARTWISE(Lanes, zero_where, (Mask<T> m, Lanes<T> v),
                  KULLBACK_AS(Type, KULLBACK_AS(Bits, v.part[i]) & ~m.part[i]))
// 2^n out of `shifted` = FloatBits::round_magic + n: the magic number leaves n + bias in the low mantissa bits.
KULLBACK_PARTWISE(Lanes, power_of_two, (Lanes<T> shifted),
                  KULLBACK_AS(Type, KULLBACK_AS(Unsigned, shifted.part[i]) << FloatBits<T>::mantissa_bits))
#undef KULLBACK_PARTWISE
#undef KULLBACK_PART

// a b - product, exact: from products of halves, each of which is exact (Dekker). 0 where a half is beyond the format.
template <class T>
KULLBACK_INLINE Lanes<T> rounding_of_product(Lanes<T> a, Lanes<T> b, Lanes<T> product) {
  const Lanes<T> splitter = Lanes<T>::all(sizeof(T) == sizeof(float) ? T(4097) : T(134217729));
  const Lanes<T> a_spread = splitter * a, b_spread = splitter * b;
  const Lanes<T> a_high = a_spread - (a_spread - a), b_high = b_spread - (b_spread - b);
  const Lanes<T> a_low = a - a_high, b_low = b - b_high;
  const Lanes<T> rounding = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
  return select(equal(rounding, rounding), rounding, Lanes<T>::all(0));
}

// Lanes 0 to 7 and 8 to 15.
KULLBACK_INLINE F64 widen(F32::Part first, F32::Part second) {
  using Part = F64::Part;
  return {{Part{first[0], first[1]}, Part{first[2], first[3]}, Part{second[0], second[1]}, Part{second[2], second[3]}}};
}
KULLBACK_INLINE F64 widen_low(F32 v) { return widen(v.part[0], v.part[1]); }
KULLBACK_INLINE F64 widen_high(F32 v) { return widen(v.part[2], v.part[3]); }

// x = mantissa * 2^exponent with mantissa in [sqrt(1/2), sqrt(2)); x positive and normal. The biased exponent, set into
// the mantissa of 2^23 (2^52), is an integer that a subtraction turns into a float.
template <class T>
KULLBACK_INLINE Lanes<T> split_exponent(Lanes<T> x, Lanes<T>& mantissa) {
  using Bits = FloatBits<T>;
  constexpr auto mantissa_mask = (decltype(Bits::one){1} << Bits::mantissa_bits) - 1;
  Lanes<T> exponent;
  for (int i = 0; i < 4; ++i) {
    const auto shifted = KULLBACK_AS(Unsigned, x.part[i]) + (Bits::one - Bits::sqrt_half);
    mantissa.part[i] = KULLBACK_AS(Type, (shifted & mantissa_mask) + Bits::sqrt_half);
    const auto biased = (shifted >> Bits::mantissa_bits) | Bits::integer_one;
    exponent.part[i] = KULLBACK_AS(Type, biased) - static_cast<T>(Bits::integer_bias);
  }
  return exponent;
}
#undef KULLBACK_AS

// What of a matrix product stays in registers. 2 rows of four registers are 8 of 16: without FMA, products need some
// too.
constexpr int kTileRows = 2, kTileVectors = 1;
