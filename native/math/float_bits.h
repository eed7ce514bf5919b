// What the vector types and the elementary functions must know of the two floating-point formats.
#ifndef KULLBACK_MATH_FLOAT_BITS_H
#define KULLBACK_MATH_FLOAT_BITS_H

#include <cstdint>
#include <limits>

namespace kullback {

template <class T>
struct FloatBits;

template <>
struct FloatBits<float> {
  static constexpr int mantissa_bits = 23;
  static constexpr uint32_t one = 0x3f800000u;
  static constexpr uint32_t sqrt_half = 0x3f3504f3u;
  static constexpr uint32_t integer_one = 0x4b000000u;  // 2^23, whose last mantissa bit is 1
  static constexpr double integer_bias = 8388608.0 + 127.0;
  // Adding 1.5 * 2^23 rounds to an integer; the bias on top leaves a ready exponent field in the mantissa.
  static constexpr double round_magic = 12582912.0 + 127.0;
  static constexpr double log2_high = 0.693359375;  // 10 bits: n * log2_high is exact
  static constexpr double log2_low = -2.12194440054690583e-4;
  static constexpr double least_normal = std::numeric_limits<float>::min();
  static constexpr double exp2_low = -126.6;
  static constexpr double exp_low = -104.0;
  static constexpr double exp_high = 89.0;
  static constexpr double infinity = std::numeric_limits<double>::infinity();
  static constexpr double nan = std::numeric_limits<double>::quiet_NaN();
};

template <>
struct FloatBits<double> {
  static constexpr int mantissa_bits = 52;
  static constexpr uint64_t one = 0x3ff0000000000000ull;
  static constexpr uint64_t sqrt_half = 0x3fe6a09e667f3bcdull;
  static constexpr uint64_t integer_one = 0x4330000000000000ull;
  static constexpr double integer_bias = 4503599627370496.0 + 1023.0;
  static constexpr double round_magic = 6755399441055744.0 + 1023.0;
  static constexpr double log2_high = 0.6931471803691238;  // 32 bits
  static constexpr double log2_low = 1.9082149292705877e-10;
  static constexpr double least_normal = std::numeric_limits<double>::min();
  static constexpr double exp2_low = -1022.6;
  static constexpr double exp_low = -746.0;
  static constexpr double exp_high = 710.0;
  static constexpr double infinity = std::numeric_limits<double>::infinity();
  static constexpr double nan = std::numeric_limits<double>::quiet_NaN();
};

}  // namespace kullback

#endif  // KULLBACK_MATH_FLOAT_BITS_H
