// softmax_row: one side (student or teacher) of one row, as segments that were looked at one by one and then merged.
//
// The monoid. A segment of a row is known by its maximum m and its sum of e^(x - m); two segments merge to the larger
// maximum and the sum of both, rescaled. A divergence merges by the chain rule: with P and Q the segments' shares of
// either distribution, KL of the whole is the KL of P to Q plus the mean under P of each segment's own KL.
#ifndef KULLBACK_CPU_SOFTMAX_ROW_H
#define KULLBACK_CPU_SOFTMAX_ROW_H

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "scalar.h"
#include "softmax_divergence.h"

namespace kullback {

// e^(shift - reference), without a call where there is nothing to shift, which is the rule.
template <class T>
double rescaling(T shift, double reference) {
  return static_cast<double>(shift) == reference ? 1 : std::exp(static_cast<double>(shift) - reference);
}

template <class T>
struct SoftmaxRow {
  const T* logits;
  T* exponentials;  // of the whole row; unused by the chain rule
  T inverse_temperature;
  std::vector<T> shifts, factors;  // one per block; factors: see SoftmaxSide
  std::vector<T> maxima;           // one per segment
  std::vector<double> sums;        // one per segment
  std::vector<double> shares;      // one per segment: its part of the probability
  double maximum, log_sum;

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
    double sum = 0;
    for (size_t i = 0; i < maxima.size(); ++i) {
      shares[i] = sums[i] * rescaling(maxima[i], maximum);
      sum += shares[i];
    }
    log_sum = std::isinf(maximum) ? std::numeric_limits<double>::quiet_NaN() : std::log(sum);
    for (double& share : shares) share /= sum;
  }

  double log_sum_exp() const { return maximum + log_sum; }

  // After merge(): what turns each block's exponentials into probabilities of the whole row.
  void set_factors() {
    const double sum = std::exp(log_sum);
    for (size_t block = 0; block < shifts.size(); ++block) {
      const bool again = block > 0 && shifts[block] == shifts[block - 1];
      factors[block] = again ? factors[block - 1] : static_cast<T>(rescaling(shifts[block], maximum) / sum);
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
    // By the logits: distinct ones may agree once they are divided by the temperature.
    for (int64_t i = best; i < columns; ++i) {
      if (logits[i] > logits[best]) best = i;
    }
    return best;
  }
};

// The chain rule: the divergence of a row out of those of its segments, each between the segments' own softmaxes.
template <class T>
double merge_divergences(const SoftmaxRow<T>& weigher, const SoftmaxRow<T>& other, const std::vector<double>& partials,
                         bool cross_entropy) {
  using namespace scalar;
  double sum = 0;
  for (size_t i = 0; i < partials.size(); ++i) {
    const double a = weigher.shares[i], b = other.shares[i];
    const Column<double> at = {a, b, std::log(b / a), std::log(b)};
    if (a == 0) {
      sum += cross_entropy ? CrossEntropy::weightless_term(at) : KullbackLeibler::weightless_term(at);
    } else {
      sum += cross_entropy ? CrossEntropy::term(at) : KullbackLeibler::term(at);
      // A segment that the other side rules out has made the sum infinite already, and has no softmax there.
      if (b != 0) sum += a * partials[i];
    }
  }
  return sum;
}

}  // namespace kullback

#endif  // KULLBACK_CPU_SOFTMAX_ROW_H
