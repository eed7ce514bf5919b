// log_ratio, its plain structs and its scalar part: how the log ratio of two softmaxes is formed from logits so that it
// keeps its digits as the softmaxes approach each other. The formula for one column is log_ratio.inl.h.
#ifndef KULLBACK_MATH_LOG_RATIO_H
#define KULLBACK_MATH_LOG_RATIO_H

#include <cmath>
#include <cstdint>

#include "anywhere.inc"

namespace kullback {

// log2(e)
constexpr double kPowerOfE = 1.4426950408889634;
// Beyond this difference of maxima, log ratios have no small digits left.
constexpr double kFarShift = 1 << 20;

// A difference of maxima is of the log ratios' size where it is so many times theirs at most.
constexpr double kShiftOfRatios = 4;

// A number in two parts whose sum is nearly as exact as float64.
template <class T>
KULLBACK_ANYWHERE void split(double number, T& high, T& low) {
  high = static_cast<T>(number);
  low = static_cast<T>(number - static_cast<double>(high));
}

// e^((x - maximum) / T) is computed as 2^((x - maximum) * power_scale). A number in two parts is rounded by its `low`.
template <class T>
struct SoftmaxScale {
  T inverse_temperature, inverse_temperature_low;
  T power_scale, power_scale_low;  // 1 / (T log 2)
};

// 1 / T, as exact as float64.
template <class T>
KULLBACK_ANYWHERE double inverse_temperature(const SoftmaxScale<T>& scale) {
  return static_cast<double>(scale.inverse_temperature) + static_cast<double>(scale.inverse_temperature_low);
}

template <class T>
KULLBACK_ANYWHERE bool same_temperature(const SoftmaxScale<T>& a, const SoftmaxScale<T>& b) {
  return a.inverse_temperature == b.inverse_temperature && a.inverse_temperature_low == b.inverse_temperature_low;
}

template <class T>
KULLBACK_ANYWHERE SoftmaxScale<T> softmax_scale(double temperature) {
  SoftmaxScale<T> scale;
  split(1 / temperature, scale.inverse_temperature, scale.inverse_temperature_low);
  split(kPowerOfE / temperature, scale.power_scale, scale.power_scale_low);
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

// The rounding of two logits' difference is small beside the log ratios where what lies between the maxima is of the
// log ratios' size: that of the largest logits is log_sums. `close_shift` is a difference, in units of the temperature,
// whose rounding the caller does not mind.
template <class T>
KULLBACK_ANYWHERE RatioOffset<T> ratio_offset(double weigher_maximum, double other_maximum, double log_sums,
                                              double close_shift, const SoftmaxScale<T>& weigher,
                                              const SoftmaxScale<T>& other) {
  const double scale = inverse_temperature(other);
  const double shift = other_maximum - weigher_maximum;
  // Float64 maxima too may be too far apart for their difference to be exact.
  const double part = shift - other_maximum;
  const double shift_low = (other_maximum - (shift - part)) - (weigher_maximum + part);
  RatioOffset<T> ratio;
  ratio.distance = !same_temperature(weigher, other) || !(fabs(shift) <= kFarShift)       ? Distance::kApart
                   : fabs(shift * scale) <= close_shift + kShiftOfRatios * fabs(log_sums) ? Distance::kClose
                                                                                          : Distance::kShifted;
  split(shift, ratio.shift_high, ratio.shift_low);
  ratio.shift_low += static_cast<T>(shift_low);
  split((ratio.distance == Distance::kClose ? shift * scale : 0) + log_sums, ratio.offset_high, ratio.offset_low);
  return ratio;
}

}  // namespace kullback

#endif  // KULLBACK_MATH_LOG_RATIO_H
