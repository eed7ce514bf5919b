// The vector types on AVX2 and FMA: two 256-bit registers stand for one 64-byte vector. The names are baseline.h's.

struct Mask32 {
  __m256 low, high;
};

struct Mask64 {
  __m256d low, high;
};

// Lane masks of the first `count` lanes of a half vector; count may be negative or beyond the end.
KULLBACK_INLINE __m256i first_lanes_32(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
KULLBACK_INLINE __m256i first_lanes_64(int count) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
}

struct F32 {
  using Element = float;
  static constexpr int lanes = 16;
  __m256 low, high;

  static KULLBACK_INLINE F32 all(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
  static KULLBACK_INLINE F32 load(const float* from) { return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}; }
  static KULLBACK_INLINE F32 load_first(const float* from, int count, float fill) {
    const __m256i first = first_lanes_32(count), second = first_lanes_32(count - 8);
    const __m256 rest = _mm256_set1_ps(fill);
    return {_mm256_blendv_ps(rest, _mm256_maskload_ps(from, first), _mm256_castsi256_ps(first)),
            _mm256_blendv_ps(rest, _mm256_maskload_ps(from + 8, second), _mm256_castsi256_ps(second))};
  }
  KULLBACK_INLINE void store(float* to) const {
    _mm256_storeu_ps(to, low);
    _mm256_storeu_ps(to + 8, high);
  }
  KULLBACK_INLINE void store_first(float* to, int count) const {
    _mm256_maskstore_ps(to, first_lanes_32(count), low);
    _mm256_maskstore_ps(to + 8, first_lanes_32(count - 8), high);
  }
};

struct F64 {
  using Element = double;
  static constexpr int lanes = 8;
  __m256d low, high;

  static KULLBACK_INLINE F64 all(double value) { return {_mm256_set1_pd(value), _mm256_set1_pd(value)}; }
  static KULLBACK_INLINE F64 load(const double* from) { return {_mm256_loadu_pd(from), _mm256_loadu_pd(from + 4)}; }
  static KULLBACK_INLINE F64 load_first(const double* from, int count, double fill) {
    const __m256i first = first_lanes_64(count), second = first_lanes_64(count - 4);
    const __m256d rest = _mm256_set1_pd(fill);
    return {_mm256_blendv_pd(rest, _mm256_maskload_pd(from, first), _mm256_castsi256_pd(first)),
            _mm256_blendv_pd(rest, _mm256_maskload_pd(from + 4, second), _mm256_castsi256_pd(second))};
  }
  KULLBACK_INLINE void store(double* to) const {
    _mm256_storeu_pd(to, low);
    _mm256_storeu_pd(to + 4, high);
  }
  KULLBACK_INLINE void store_first(double* to, int count) const {
    _mm256_maskstore_pd(to, first_lanes_64(count), low);
    _mm256_maskstore_pd(to + 4, first_lanes_64(count - 4), high);
  }
};

#define KULLBACK_BOTH_HALVES(Vector, Result, suffix)                                                            \
  KULLBACK_INLINE Vector operator+(Vector a, Vector b) {                                                        \
    return {_mm256_add_##suffix(a.low, b.low), _mm256_add_##suffix(a.high, b.high)};                            \
  }                                                                                                             \
  KULLBACK_INLINE Vector operator-(Vector a, Vector b) {                                                        \
    return {_mm256_sub_##suffix(a.low, b.low), _mm256_sub_##suffix(a.high, b.high)};                            \
  }                                                                                                             \
  KULLBACK_INLINE Vector operator*(Vector a, Vector b) {                                                        \
    return {_mm256_mul_##suffix(a.low, b.low), _mm256_mul_##suffix(a.high, b.high)};                            \
  }                                                                                                             \
  KULLBACK_INLINE Vector operator/(Vector a, Vector b) {                                                        \
    return {_mm256_div_##suffix(a.low, b.low), _mm256_div_##suffix(a.high, b.high)};                            \
  }                                                                                                             \
  KULLBACK_INLINE Vector maximum(Vector a, Vector b) {                                                          \
    return {_mm256_max_##suffix(a.low, b.low), _mm256_max_##suffix(a.high, b.high)};                            \
  }                                                                                                             \
  KULLBACK_INLINE Vector minimum(Vector a, Vector b) {                                                          \
    return {_mm256_min_##suffix(a.low, b.low), _mm256_min_##suffix(a.high, b.high)};                            \
  }                                                                                                             \
  KULLBACK_INLINE Result less(Vector a, Vector b) {                                                             \
    return {_mm256_cmp_##suffix(a.low, b.low, _CMP_LT_OQ), _mm256_cmp_##suffix(a.high, b.high, _CMP_LT_OQ)};    \
  }                                                                                                             \
  KULLBACK_INLINE Result equal(Vector a, Vector b) {                                                            \
    return {_mm256_cmp_##suffix(a.low, b.low, _CMP_EQ_OQ), _mm256_cmp_##suffix(a.high, b.high, _CMP_EQ_OQ)};    \
  }                                                                                                             \
  KULLBACK_INLINE Result both(Result a, Result b) {                                                             \
    return {_mm256_and_##suffix(a.low, b.low), _mm256_and_##suffix(a.high, b.high)};                            \
  }                                                                                                             \
  KULLBACK_INLINE Vector zero_where(Result m, Vector v) {                                                       \
    return {_mm256_andnot_##suffix(m.low, v.low), _mm256_andnot_##suffix(m.high, v.high)};                      \
  }                                                                                                             \
  KULLBACK_INLINE Vector absolute(Vector a) {                                                                   \
    const auto sign = _mm256_set1_##suffix(-0.0);                                                               \
    return {_mm256_andnot_##suffix(sign, a.low), _mm256_andnot_##suffix(sign, a.high)};                         \
  }                                                                                                             \
  KULLBACK_INLINE Vector fma(Vector a, Vector b, Vector c) {                                                    \
    return {_mm256_fmadd_##suffix(a.low, b.low, c.low), _mm256_fmadd_##suffix(a.high, b.high, c.high)};         \
  }                                                                                                             \
  KULLBACK_INLINE Vector fnma(Vector a, Vector b, Vector c) {                                                   \
    return {_mm256_fnmadd_##suffix(a.low, b.low, c.low), _mm256_fnmadd_##suffix(a.high, b.high, c.high)};       \
  }                                                                                                             \
  KULLBACK_INLINE Vector select(Result m, Vector yes, Vector no) {                                              \
    return {_mm256_blendv_##suffix(no.low, yes.low, m.low), _mm256_blendv_##suffix(no.high, yes.high, m.high)}; \
  }
KULLBACK_BOTH_HALVES(F32, Mask32, ps)
KULLBACK_BOTH_HALVES(F64, Mask64, pd)
#undef KULLBACK_BOTH_HALVES

KULLBACK_INLINE F64 widen(__m256 v) {
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(v)), _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))};
}
KULLBACK_INLINE F64 widen_low(F32 v) { return widen(v.low); }
KULLBACK_INLINE F64 widen_high(F32 v) { return widen(v.high); }

KULLBACK_INLINE __m256 power_of_two(__m256 shifted) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(shifted), 23));
}
KULLBACK_INLINE __m256d power_of_two(__m256d shifted) {
  return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(shifted), 52));
}
KULLBACK_INLINE F32 power_of_two(F32 shifted) { return {power_of_two(shifted.low), power_of_two(shifted.high)}; }
KULLBACK_INLINE F64 power_of_two(F64 shifted) { return {power_of_two(shifted.low), power_of_two(shifted.high)}; }

KULLBACK_INLINE __m256 split_exponent(__m256 x, __m256& mantissa) {
  using Bits = FloatBits<float>;
  const __m256i shifted = _mm256_add_epi32(_mm256_castps_si256(x), _mm256_set1_epi32(Bits::one - Bits::sqrt_half));
  mantissa = _mm256_castsi256_ps(
      _mm256_add_epi32(_mm256_and_si256(shifted, _mm256_set1_epi32(0x007fffff)), _mm256_set1_epi32(Bits::sqrt_half)));
  const __m256i biased = _mm256_or_si256(_mm256_srli_epi32(shifted, 23), _mm256_set1_epi32(Bits::integer_one));
  return _mm256_sub_ps(_mm256_castsi256_ps(biased), _mm256_set1_ps(static_cast<float>(Bits::integer_bias)));
}
KULLBACK_INLINE __m256d split_exponent(__m256d x, __m256d& mantissa) {
  using Bits = FloatBits<double>;
  const __m256i shifted = _mm256_add_epi64(_mm256_castpd_si256(x), _mm256_set1_epi64x(Bits::one - Bits::sqrt_half));
  mantissa = _mm256_castsi256_pd(_mm256_add_epi64(_mm256_and_si256(shifted, _mm256_set1_epi64x(0x000fffffffffffff)),
                                                  _mm256_set1_epi64x(Bits::sqrt_half)));
  const __m256i biased = _mm256_or_si256(_mm256_srli_epi64(shifted, 52), _mm256_set1_epi64x(Bits::integer_one));
  return _mm256_sub_pd(_mm256_castsi256_pd(biased), _mm256_set1_pd(Bits::integer_bias));
}
KULLBACK_INLINE F32 split_exponent(F32 x, F32& mantissa) {
  return {split_exponent(x.low, mantissa.low), split_exponent(x.high, mantissa.high)};
}
KULLBACK_INLINE F64 split_exponent(F64 x, F64& mantissa) {
  return {split_exponent(x.low, mantissa.low), split_exponent(x.high, mantissa.high)};
}

// What of a matrix product stays in registers. 6 rows of two registers are 12 of 16: the rest are a row of B and a
// number of A.
constexpr int kTileRows = 6, kTileVectors = 1;
