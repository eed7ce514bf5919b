// softmax_row: one side (student or teacher) of one row, as segments that were looked at one by one and then merged.
//
// The monoid of a side: a segment is known by its maximum m and its sum of e^((x - m) / T); two segments merge to the
// larger maximum and the sum of both, rescaled.
//
// The monoid of a divergence: a segment is known by sum a (e^u - 1 - u) and sum a u, where a is the segment's own
// softmax and u + c the true log ratio, c any constant near it. Another constant is reached in closed form, so segments
// merge, and the exact divergence of the whole is sum a (e^u - 1 - u) - (R - log(1 + R)), R = sum a (e^u - 1): of the
// other side's normaliser nothing is used but that it is one, so its rounding does not matter.
#ifndef KULLBACK_CPU_SOFTMAX_ROW_H
#define KULLBACK_CPU_SOFTMAX_ROW_H

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "scalar.h"
#include "softmax_divergence.h"

namespace kullback {

// e^((shift - reference) scale), without a call where there is nothing to shift, which is the rule.
inline double rescaling(double shift, double reference, double scale) {
  return shift == reference ? 1 : std::exp((shift - reference) * scale);
}

// What the second pass found between a segment's own softmaxes.
struct SegmentDivergence {
  double terms;     // sum a (e^u - 1 - u), or the cross-entropy's terms
  double moment;    // sum a u
  double weight;    // sum a
  double constant;  // c, above, less the difference of the segments' maxima
};

template <class T>
struct SoftmaxRow {
  const T* logits;
  T* exponentials;  // of the whole row; unused where only the value is wanted
  T inverse_temperature;
  std::vector<T> shifts, factors;  // one per block; factors: see SoftmaxSide
  std::vector<T> maxima;           // one per segment
  std::vector<double> sums;        // one per segment
  std::vector<double> shares;      // one per segment: its part of the probability
  double maximum, sum, log_sum;    // sum of e^((x - maximum) / T)

  void prepare(int64_t columns, int64_t segment_columns) {
    const size_t blocks = static_cast<size_t>(ceil_divide(columns, kBlockColumns));
    const size_t segments = static_cast<size_t>(ceil_divide(columns, segment_columns));
    shifts.resize(blocks);
    factors.resize(blocks);
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
      shares[i] = sums[i] * rescaling(maxima[i], maximum, inverse_temperature);
      sum += shares[i];
    }
    if (std::isinf(maximum)) sum = std::numeric_limits<double>::quiet_NaN();
    log_sum = std::log(sum);
    for (double& share : shares) share /= sum;
  }

  // The logarithm of shares[i], which may be far below what a share can be.
  double log_share(size_t i) const { return below_maximum(i) + (std::log(sums[i]) - log_sum); }
  double below_maximum(size_t i) const { return (maxima[i] - maximum) * inverse_temperature; }

  double log_sum_exp() const { return maximum * inverse_temperature + log_sum; }

  // After merge(): what turns each block's exponentials into probabilities of the whole row.
  void set_factors() {
    for (size_t block = 0; block < shifts.size(); ++block) {
      const bool again = block > 0 && shifts[block] == shifts[block - 1];
      factors[block] =
          again ? factors[block - 1] : static_cast<T>(rescaling(shifts[block], maximum, inverse_temperature) / sum);
    }
  }

  SoftmaxSide<T> segment(int64_t begin) const {
    return {logits + begin,      exponentials + begin,    factors.data() + begin / kBlockColumns,
            inverse_temperature, static_cast<T>(maximum), static_cast<T>(log_sum)};
  }

  // The first column that holds the maximum, or -1 where there is no softmax.
  int64_t argmax(int64_t columns) const {
    if (std::isnan(log_sum)) return -1;
    size_t block = 0;
    while (shifts[block] != static_cast<T>(maximum)) ++block;
    int64_t best = static_cast<int64_t>(block) * kBlockColumns;
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
      // Beside a large divergence it is all rounding, and does not matter.
      const double own_excess = segment.terms < 1 ? segment.terms + segment.moment : 0;
      sum += a * (segment.terms + second_order + growth * own_excess);
      excess += a * (growth + (1 + growth) * own_excess);
    } else {
      sum += b - a - a * (shift + segment.moment);
      excess += b - a;
    }
  }
  return cross_entropy ? sum : sum - (excess - std::log1p(excess));
}

}  // namespace kullback

#endif  // KULLBACK_CPU_SOFTMAX_ROW_H
