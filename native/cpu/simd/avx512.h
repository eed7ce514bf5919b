// The vector types on AVX-512 (F, DQ): one 512-bit register. The names are baseline.h's.

struct Mask32 {
  __mmask16 bits;
};

struct Mask64 {
  __mmask8 bits;
};

struct F32 {
  using Element = float;
  static constexpr int lanes = 16;
  __m512 v;

  static KULLBACK_INLINE F32 all(float value) { return {_mm512_set1_ps(value)}; }
  static KULLBACK_INLINE F32 load(const float* from) { return {_mm512_loadu_ps(from)}; }
  static KULLBACK_INLINE __mmask16 first(int count) { return static_cast<__mmask16>((1u << count) - 1u); }
  static KULLBACK_INLINE F32 load_first(const float* from, int count, float fill) {
    return {_mm512_mask_loadu_ps(_mm512_set1_ps(fill), first(count), from)};
  }
  KULLBACK_INLINE void store(float* to) const { _mm512_storeu_ps(to, v); }
  KULLBACK_INLINE void store_first(float* to, int count) const { _mm512_mask_storeu_ps(to, first(count), v); }
};

struct F64 {
  using Element = double;
  static constexpr int lanes = 8;
  __m512d v;

  static KULLBACK_INLINE F64 all(double value) { return {_mm512_set1_pd(value)}; }
  static KULLBACK_INLINE F64 load(const double* from) { return {_mm512_loadu_pd(from)}; }
  static KULLBACK_INLINE __mmask8 first(int count) { return static_cast<__mmask8>((1u << count) - 1u); }
  static KULLBACK_INLINE F64 load_first(const double* from, int count, double fill) {
    return {_mm512_mask_loadu_pd(_mm512_set1_pd(fill), first(count), from)};
  }
  KULLBACK_INLINE void store(double* to) const { _mm512_storeu_pd(to, v); }
  KULLBACK_INLINE void store_first(double* to, int count) const { _mm512_mask_storeu_pd(to, first(count), v); }
};

#define KULLBACK_LANEWISE(Vector, Result, suffix)                                                                 \
  KULLBACK_INLINE Vector operator+(Vector a, Vector b) { return {_mm512_add_##suffix(a.v, b.v)}; }                \
  KULLBACK_INLINE Vector operator-(Vector a, Vector b) { return {_mm512_sub_##suffix(a.v, b.v)}; }                \
  KULLBACK_INLINE Vector operator*(Vector a, Vector b) { return {_mm512_mul_##suffix(a.v, b.v)}; }                \
  KULLBACK_INLINE Vector operator/(Vector a, Vector b) { return {_mm512_div_##suffix(a.v, b.v)}; }                \
  KULLBACK_INLINE Vector maximum(Vector a, Vector b) { return {_mm512_max_##suffix(a.v, b.v)}; }                  \
  KULLBACK_INLINE Vector minimum(Vector a, Vector b) { return {_mm512_min_##suffix(a.v, b.v)}; }                  \
  KULLBACK_INLINE Result less(Vector a, Vector b) { return {_mm512_cmp_##suffix##_mask(a.v, b.v, _CMP_LT_OQ)}; }  \
  KULLBACK_INLINE Result equal(Vector a, Vector b) { return {_mm512_cmp_##suffix##_mask(a.v, b.v, _CMP_EQ_OQ)}; } \
  KULLBACK_INLINE Result both(Result a, Result b) { return {static_cast<decltype(a.bits)>(a.bits & b.bits)}; }    \
  KULLBACK_INLINE Vector zero_where(Result m, Vector v) {                                                         \
    return {_mm512_maskz_mov_##suffix(static_cast<decltype(m.bits)>(~m.bits), v.v)};                              \
  }                                                                                                               \
  KULLBACK_INLINE Vector absolute(Vector a) { return {_mm512_abs_##suffix(a.v)}; }                                \
  KULLBACK_INLINE Vector fma(Vector a, Vector b, Vector c) { return {_mm512_fmadd_##suffix(a.v, b.v, c.v)}; }     \
  KULLBACK_INLINE Vector fnma(Vector a, Vector b, Vector c) { return {_mm512_fnmadd_##suffix(a.v, b.v, c.v)}; }   \
  KULLBACK_INLINE Vector select(Result m, Vector yes, Vector no) {                                                \
    return {_mm512_mask_blend_##suffix(m.bits, no.v, yes.v)};                                                     \
  }
KULLBACK_LANEWISE(F32, Mask32, ps)
KULLBACK_LANEWISE(F64, Mask64, pd)
#undef KULLBACK_LANEWISE

KULLBACK_INLINE F64 widen_low(F32 v) { return {_mm512_cvtps_pd(_mm512_castps512_ps256(v.v))}; }
KULLBACK_INLINE F64 widen_high(F32 v) { return {_mm512_cvtps_pd(_mm512_extractf32x8_ps(v.v, 1))}; }

KULLBACK_INLINE F32 power_of_two(F32 shifted) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(shifted.v), 23))};
}
KULLBACK_INLINE F64 power_of_two(F64 shifted) {
  return {_mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(shifted.v), 52))};
}

KULLBACK_INLINE F32 split_exponent(F32 x, F32& mantissa) {
  using Bits = FloatBits<float>;
  const __m512i shifted = _mm512_add_epi32(_mm512_castps_si512(x.v), _mm512_set1_epi32(Bits::one - Bits::sqrt_half));
  mantissa = {_mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_and_si512(shifted, _mm512_set1_epi32(0x007fffff)), _mm512_set1_epi32(Bits::sqrt_half)))};
  const __m512i exponent = _mm512_sub_epi32(_mm512_srli_epi32(shifted, 23), _mm512_set1_epi32(127));
  return {_mm512_cvtepi32_ps(exponent)};
}
KULLBACK_INLINE F64 split_exponent(F64 x, F64& mantissa) {
  using Bits = FloatBits<double>;
  const __m512i shifted = _mm512_add_epi64(_mm512_castpd_si512(x.v), _mm512_set1_epi64(Bits::one - Bits::sqrt_half));
  mantissa = {_mm512_castsi512_pd(_mm512_add_epi64(_mm512_and_si512(shifted, _mm512_set1_epi64(0x000fffffffffffff)),
                                                   _mm512_set1_epi64(Bits::sqrt_half)))};
  const __m512i exponent = _mm512_sub_epi64(_mm512_srli_epi64(shifted, 52), _mm512_set1_epi64(1023));
  return {_mm512_cvtepi64_pd(exponent)};
}

// What of a matrix product stays in registers. 12 rows of two registers are 24 of 32.
constexpr int kTileRows = 12, kTileVectors = 2;
