// The 16-bit element types: exact on the way to float32; on the way back rounded once, to nearest, ties to even.
// float16 is IEEE 754's binary16, bfloat16 the upper half of a float32. What is too large becomes an infinity, NaN
// stays NaN. Choices are made by masks, so that compilers turn loops over them into vectors.

KULLBACK_INLINE uint32_t chosen(bool condition, uint32_t yes, uint32_t no) {
  const uint32_t mask = 0u - static_cast<uint32_t>(condition);
  return (yes & mask) | (no & ~mask);
}

KULLBACK_INLINE float float_of_bfloat16(uint16_t half) { return float_of_bits(uint32_t{half} << 16); }

KULLBACK_INLINE uint16_t bfloat16_of(float x) {
  const uint32_t bits = bits_of_float(x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t quiet = (bits >> 16) | 0x40u;
  return static_cast<uint16_t>(chosen((bits & 0x7fffffffu) > 0x7f800000u, quiet, rounded));
}

KULLBACK_INLINE float float_of_float16(uint16_t half) {
  const uint32_t magnitude = half & 0x7fffu, sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t normal = (magnitude << 13) + (112u << 23);
  // Infinities and NaN have the largest exponent of either format.
  const uint32_t large = normal + chosen(magnitude >= 0x7c00u, 112u << 23, 0);
  // Subnormal numbers are multiples of 2^-24, which is what the last bit of 0.5 is worth.
  const uint32_t small = bits_of_float(float_of_bits(0x3f000000u | magnitude) - 0.5f);
  return float_of_bits(sign | chosen(magnitude < 0x400u, small, large));
}

KULLBACK_INLINE uint16_t float16_of(float x) {
  const uint32_t bits = bits_of_float(x), magnitude = bits & 0x7fffffffu;
  const uint32_t rounded = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - (112u << 23)) >> 13;
  const uint32_t large = chosen(magnitude > 0x7f800000u, 0x7e00u, chosen(magnitude >= 0x477ff000u, 0x7c00u, rounded));
  const uint32_t small = bits_of_float(float_of_bits(magnitude) + 0.5f) - 0x3f000000u;
  return static_cast<uint16_t>((bits >> 16 & 0x8000u) | chosen(magnitude < 0x38800000u, small, large));
}
