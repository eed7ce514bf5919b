// log_ratio, its plain structs and its scalar part: how the log ratio of two softmaxes is formed from logits so that it
// keeps its digits as the softmaxes approach each other. The formula for one column is log_ratio.inl.h.
#ifndef KULLBACK_MATH_LOG_RATIO_H
#define KULLBACK_MATH_LOG_RATIO_H

#include <cmath>
#include <cstdint>

// Both processors call these.
#if defined(__CUDACC__)
#define KULLBACK_ANYWHERE __host__ __device__ inline
#else
#define KULLBACK_ANYWHERE inline
#endif

namespace kullback {

// log2(e)
constexpr double kPowerOfE = 1.4426950408889634;
// Beyond this difference of maxima, log ratios have no small digits left.
constexpr double kFarShift = 1 << 20;

// A number in two parts whose sum is nearly as exact as float64.
template <class T>
KULLBACK_ANYWHERE void split(double number, T& high, T& low) {
  high = static_cast<T>(number);
  low = static_cast<T>(number - static_cast<double>(high));
}

// e^((x - maximum) / T) is computed as 2^((x - maximum) * power_scale).
template <class T>
struct SoftmaxScale {
  T inverse_temperature;
  T inverse_temperature_low;  // what the former was rounded by
  T power_scale;              // 1 / (T log 2)
};

template <class T>
KULLBACK_ANYWHERE SoftmaxScale<T> softmax_scale(double temperature) {
  SoftmaxScale<T> scale;
  split(1 / temperature, scale.inverse_temperature, scale.inverse_temperature_low);
  scale.power_scale = static_cast<T>(kPowerOfE / temperature);
  return scale;
}

// How u = log b - log a is formed from two logits.
enum class Distance : int32_t {
  kClose,    // one temperature, and maxima that hardly differ: the difference of the logits needs nothing else
  kShifted,  // one temperature, and a constant between the sides: the difference is taken with its rounding
  kApart,    // two temperatures, or sides very far apart: each side from its own maximum, with all roundings
};

// What the log ratio needs to know of a pair of rows, or of a part of them.
template <class T>
struct RatioOffset {
  Distance distance;
  T shift_high, shift_low;  // kShifted: the maximum of `other` less that of `weigher`
  // The log_sum of `other` less that of `weigher`, relative to their maxima; kClose: of the whole log-sum-exps.
  T offset_high, offset_low;
};

// Up to which difference of maxima the rounding of two logits' difference is small beside the log ratios: those of the
// largest logits are log_sums, and where that is much, the others are not little.
KULLBACK_ANYWHERE double close_shift(double log_sums) { return fabs(log_sums) > 0.25 ? 2 : 1.0 / 16; }

// `shift` is the maximum of `other` less that of `weigher`, `log_sums` likewise of log sum e^((x - maximum) / T).
template <class T>
KULLBACK_ANYWHERE RatioOffset<T> ratio_offset(double shift, double log_sums, const SoftmaxScale<T>& weigher,
                                              const SoftmaxScale<T>& other) {
  const double scale = static_cast<double>(other.inverse_temperature);
  const bool same_temperature = weigher.inverse_temperature == other.inverse_temperature;
  RatioOffset<T> ratio;
  ratio.distance = !same_temperature || !(fabs(shift) <= kFarShift) ? Distance::kApart
                   : fabs(shift * scale) <= close_shift(log_sums)   ? Distance::kClose
                                                                    : Distance::kShifted;
  split(shift, ratio.shift_high, ratio.shift_low);
  split((ratio.distance == Distance::kClose ? shift * scale : 0) + log_sums, ratio.offset_high, ratio.offset_low);
  return ratio;
}

}  // namespace kullback

#endif  // KULLBACK_MATH_LOG_RATIO_H
