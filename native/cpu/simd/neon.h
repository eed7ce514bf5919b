// The vector types on NEON (AArch64): four 128-bit registers stand for one 64-byte vector. The names are baseline.h's.

struct Mask32 {
  uint32x4_t part[4];
};

struct Mask64 {
  uint64x2_t part[4];
};

#define KULLBACK_VECTOR(Vector, Scalar, count_of_lanes, Register, per_register, suffix)    \
  struct Vector {                                                                          \
    using Element = Scalar;                                                                \
    static constexpr int lanes = count_of_lanes;                                           \
    Register part[4];                                                                      \
    static KULLBACK_INLINE Vector all(Scalar value) {                                      \
      const Register r = vdupq_n_##suffix(value);                                          \
      return {{r, r, r, r}};                                                               \
    }                                                                                      \
    static KULLBACK_INLINE Vector load(const Scalar* from) {                               \
      Vector r;                                                                            \
      for (int i = 0; i < 4; ++i) r.part[i] = vld1q_##suffix(from + per_register * i);     \
      return r;                                                                            \
    }                                                                                      \
    static KULLBACK_INLINE Vector load_first(const Scalar* from, int count, Scalar fill) { \
      Scalar lane[count_of_lanes];                                                         \
      for (int i = 0; i < count_of_lanes; ++i) lane[i] = i < count ? from[i] : fill;       \
      return load(lane);                                                                   \
    }                                                                                      \
    KULLBACK_INLINE void store(Scalar* to) const {                                         \
      for (int i = 0; i < 4; ++i) vst1q_##suffix(to + per_register * i, part[i]);          \
    }                                                                                      \
    KULLBACK_INLINE void store_first(Scalar* to, int count) const {                        \
      Scalar lane[count_of_lanes];                                                         \
      store(lane);                                                                         \
      for (int i = 0; i < count; ++i) to[i] = lane[i];                                     \
    }                                                                                      \
  };
KULLBACK_VECTOR(F32, float, 16, float32x4_t, 4, f32)
KULLBACK_VECTOR(F64, double, 8, float64x2_t, 2, f64)
#undef KULLBACK_VECTOR

#define KULLBACK_PARTWISE(Result, name, parameters, expression) \
  KULLBACK_INLINE Result name parameters {                      \
    Result r;                                                   \
    for (int i = 0; i < 4; ++i) r.part[i] = (expression);       \
    return r;                                                   \
  }
#define KULLBACK_OPERATORS(Vector, Result, suffix, mask_suffix)                                                    \
  KULLBACK_PARTWISE(Vector, operator+, (Vector a, Vector b), vaddq_##suffix(a.part[i], b.part[i]))                 \
  KULLBACK_PARTWISE(Vector, operator-, (Vector a, Vector b), vsubq_##suffix(a.part[i], b.part[i]))                 \
  KULLBACK_PARTWISE(Vector, operator*, (Vector a, Vector b), vmulq_##suffix(a.part[i], b.part[i]))                 \
  KULLBACK_PARTWISE(Vector, operator/, (Vector a, Vector b), vdivq_##suffix(a.part[i], b.part[i]))                 \
  KULLBACK_PARTWISE(Result, less, (Vector a, Vector b), vcltq_##suffix(a.part[i], b.part[i]))                      \
  KULLBACK_PARTWISE(Result, equal, (Vector a, Vector b), vceqq_##suffix(a.part[i], b.part[i]))                     \
  KULLBACK_PARTWISE(Result, both, (Result a, Result b), vandq_##mask_suffix(a.part[i], b.part[i]))                 \
  KULLBACK_PARTWISE(Vector, absolute, (Vector a), vabsq_##suffix(a.part[i]))                                       \
  KULLBACK_PARTWISE(Vector, fma, (Vector a, Vector b, Vector c), vfmaq_##suffix(c.part[i], a.part[i], b.part[i]))  \
  KULLBACK_PARTWISE(Vector, fnma, (Vector a, Vector b, Vector c), vfmsq_##suffix(c.part[i], a.part[i], b.part[i])) \
  KULLBACK_PARTWISE(Vector, select, (Result m, Vector yes, Vector no),                                             \
                    vbslq_##suffix(m.part[i], yes.part[i], no.part[i]))                                            \
  KULLBACK_INLINE Vector zero_where(Result m, Vector v) { return select(m, Vector::all(0), v); }                   \
  /* Not vmaxq and vminq: those spread a NaN of either side, and x86 answers b. */                                 \
  KULLBACK_INLINE Vector maximum(Vector a, Vector b) { return select(less(b, a), a, b); }                          \
  KULLBACK_INLINE Vector minimum(Vector a, Vector b) { return select(less(a, b), a, b); }
KULLBACK_OPERATORS(F32, Mask32, f32, u32)
KULLBACK_OPERATORS(F64, Mask64, f64, u64)

KULLBACK_PARTWISE(F32, power_of_two, (F32 shifted),
                  vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(shifted.part[i]), 23)))
KULLBACK_PARTWISE(F64, power_of_two, (F64 shifted),
                  vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(shifted.part[i]), 52)))
#undef KULLBACK_OPERATORS
#undef KULLBACK_PARTWISE

KULLBACK_INLINE F64 widen(float32x4_t first, float32x4_t second) {
  return {{vcvt_f64_f32(vget_low_f32(first)), vcvt_high_f64_f32(first), vcvt_f64_f32(vget_low_f32(second)),
           vcvt_high_f64_f32(second)}};
}
KULLBACK_INLINE F64 widen_low(F32 v) { return widen(v.part[0], v.part[1]); }
KULLBACK_INLINE F64 widen_high(F32 v) { return widen(v.part[2], v.part[3]); }

KULLBACK_INLINE F32 split_exponent(F32 x, F32& mantissa) {
  using Bits = FloatBits<float>;
  F32 exponent;
  for (int i = 0; i < 4; ++i) {
    const uint32x4_t shifted = vaddq_u32(vreinterpretq_u32_f32(x.part[i]), vdupq_n_u32(Bits::one - Bits::sqrt_half));
    mantissa.part[i] =
        vreinterpretq_f32_u32(vaddq_u32(vandq_u32(shifted, vdupq_n_u32(0x007fffffu)), vdupq_n_u32(Bits::sqrt_half)));
    const int32x4_t biased = vreinterpretq_s32_u32(vshrq_n_u32(shifted, 23));
    exponent.part[i] = vcvtq_f32_s32(vsubq_s32(biased, vdupq_n_s32(127)));
  }
  return exponent;
}
KULLBACK_INLINE F64 split_exponent(F64 x, F64& mantissa) {
  using Bits = FloatBits<double>;
  F64 exponent;
  for (int i = 0; i < 4; ++i) {
    const uint64x2_t shifted = vaddq_u64(vreinterpretq_u64_f64(x.part[i]), vdupq_n_u64(Bits::one - Bits::sqrt_half));
    mantissa.part[i] = vreinterpretq_f64_u64(
        vaddq_u64(vandq_u64(shifted, vdupq_n_u64(0x000fffffffffffffull)), vdupq_n_u64(Bits::sqrt_half)));
    const int64x2_t biased = vreinterpretq_s64_u64(vshrq_n_u64(shifted, 52));
    exponent.part[i] = vcvtq_f64_s64(vsubq_s64(biased, vdupq_n_s64(1023)));
  }
  return exponent;
}

// What of a matrix product stays in registers. 6 rows of four registers are 24 of 32.
constexpr int kTileRows = 6, kTileVectors = 1;
