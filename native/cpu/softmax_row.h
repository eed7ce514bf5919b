// softmax_row: one side (student or teacher) of one row, as segments that were looked at one by one and then merged.
//
// The monoid of a side: a segment is known by its maximum m and its sum of e^((x - m) / T); two segments merge to the
// larger maximum and the sum of both, rescaled.
//
// The monoid of a divergence: a segment is known by T = sum a (e^u - 1 - u) and R = sum a (e^u - 1), where a sums to
// one over the segment and u + c is the true log ratio, c any constant near it. Another constant is reached in closed
// form, so segments merge, and the exact divergence of the whole is T - (R - log(1 + R)): of the other side's
// normaliser nothing is used but that it is one, so its rounding does not matter.
#ifndef KULLBACK_CPU_SOFTMAX_ROW_H
#define KULLBACK_CPU_SOFTMAX_ROW_H

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "scalar.h"
#include "softmax_divergence.h"

namespace kullback {

// What one pass over a segment says of the divergence.
struct SegmentDivergence {
  double terms;     // T, or the cross-entropy of the segment's own softmaxes
  double excess;    // R
  double constant;  // c, less the difference of the segments' maxima
};

// x - log(1 + x), without the loss of digits near 0.
inline double minus_log1p(double x) {
  const double log = std::log1p(x);
  return std::fabs(log) < 1 ? scalar::expm1_minus(log) : x - log;
}

template <class T>
struct SoftmaxRow {
  const T* logits;
  T* exponentials;  // of the whole row; unused where only the value is wanted
  SoftmaxScale<T> scale;
  std::vector<T> maxima;         // one per segment
  std::vector<double> sums;      // one per segment, of e^((x - its maximum) / T)
  std::vector<double> shares;    // one per segment: its part of the probability
  double maximum, sum, log_sum;  // sum of e^((x - maximum) / T)

  void prepare(int64_t columns) {
    const size_t segments = static_cast<size_t>(ceil_divide(columns, kSegmentColumns));
    maxima.resize(segments);
    sums.resize(segments);
    shares.resize(segments);
  }

  // The segments as one. A row without a finite maximum ends with a NaN, as does one that holds a NaN.
  void merge() {
    maximum = static_cast<double>(maxima[0]);
    for (const T m : maxima) maximum = m > maximum || m != m ? static_cast<double>(m) : maximum;
    sum = 0;
    for (size_t i = 0; i < maxima.size(); ++i) {
      // Without a call where there is nothing to rescale, which is the rule for short rows.
      shares[i] = static_cast<double>(maxima[i]) == maximum ? sums[i] : sums[i] * std::exp(below_maximum(i));
      sum += shares[i];
    }
    if (std::isinf(maximum)) sum = std::numeric_limits<double>::quiet_NaN();
    log_sum = std::log(sum);
    for (double& share : shares) share /= sum;
  }

  // The logarithm of shares[i], which may be far below what a share can be.
  double log_share(size_t i) const { return below_maximum(i) + (std::log(sums[i]) - log_sum); }
  double below_maximum(size_t i) const { return (maxima[i] - maximum) * inverse_temperature(scale); }

  double log_sum_exp() const { return maximum * inverse_temperature(scale) + log_sum; }

  void take(size_t segment, const ExponentialsTask<T>& found) {
    maxima[segment] = found.maximum;
    sums[segment] = found.sum;
  }

  // What a segment's exponentials are multiplied by to become probabilities.
  double factor(int64_t begin) const {
    const size_t i = static_cast<size_t>(begin / kSegmentColumns);
    // An empty segment has 0, or NaN where the whole row is empty.
    return sums[i] == 0 ? shares[i] : shares[i] / sums[i];
  }

  SoftmaxSide<T> segment(int64_t begin) const {
    return {logits + begin,          exponentials + begin,    static_cast<T>(factor(begin)), scale,
            static_cast<T>(maximum), static_cast<T>(1 / sum), static_cast<T>(log_sum)};
  }

  // The first column that holds the maximum, or -1 where there is no softmax.
  int64_t argmax(int64_t columns) const {
    if (std::isnan(log_sum)) return -1;
    size_t segment = 0;
    while (maxima[segment] != static_cast<T>(maximum)) ++segment;
    int64_t best = static_cast<int64_t>(segment) * kSegmentColumns;
    while (best < columns && logits[best] != static_cast<T>(maximum)) ++best;
    return best;
  }
};

// The divergence of a row out of those of its segments.
template <class T>
double merge_divergences(const SoftmaxRow<T>& weigher, const SoftmaxRow<T>& other,
                         const std::vector<SegmentDivergence>& segments, bool cross_entropy) {
  if (std::isnan(weigher.log_sum) || std::isnan(other.log_sum)) return std::numeric_limits<double>::quiet_NaN();
  double sum = 0, excess = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    const SegmentDivergence& segment = segments[i];
    const double a = weigher.shares[i], b = other.shares[i];
    if (a == 0) {
      sum += cross_entropy ? 0 : b;
      excess += b;
      continue;
    }
    if (other.sums[i] == 0 || std::isinf(segment.terms)) return std::numeric_limits<double>::infinity();
    if (cross_entropy) {
      sum += a * (segment.terms - other.log_share(i));
      continue;
    }
    // From the segment's constant to the row's. Maxima and log-sums are kept apart: beside the ones the others may be
    // less than a rounding.
    const double shift =
        (other.below_maximum(i) - weigher.below_maximum(i)) + (segment.constant - (other.log_sum - weigher.log_sum));
    if (std::fabs(shift) < 1) {
      const double second_order = scalar::expm1_minus(shift), growth = shift + second_order;
      sum += a * (segment.terms + second_order + growth * segment.excess);
      excess += a * (growth + (1 + growth) * segment.excess);
    } else {
      sum += b - a - a * (shift + segment.excess - segment.terms);
      excess += b - a;
    }
  }
  return cross_entropy ? sum : sum - minus_log1p(excess);
}

}  // namespace kullback

#endif  // KULLBACK_CPU_SOFTMAX_ROW_H
