// softmax_divergence_generated: one row under a divergence that a generator makes (math/generators.inl.h).
//
//   first pass    as everywhere: exponentials of both sides and their sums, here always in memory of their own
//   second pass   each column's term and slopes, the latter in the gradients' memory
//   third pass    gradient = slope - probability * (sum of slopes)
//
// Renyi's divergence is a logarithm of what the power divergence sums. Where that is far from its middle, and would
// lose digits or leave the format, the softmax of the mixture a^(1 - k) b^k takes the place of the second and third
// pass.
#ifndef KULLBACK_CPU_SOFTMAX_DIVERGENCE_GENERATED_H
#define KULLBACK_CPU_SOFTMAX_DIVERGENCE_GENERATED_H

#include "softmax_divergence_row.h"

namespace kullback {

template <class T>
class GeneratedRowDivergence : public RowDivergence<T> {
  // What a divergence must be at least for the roundings of all probabilities, which it sums, not to show.
  static constexpr double kLeastApart = 0.05;

 public:
  using RowDivergence<T>::RowDivergence;

  // After take_exponentials, in memory that is no gradient's: the divergence; and the gradients where they are not
  // NULL.
  double generated(T* student_gradient, T* teacher_gradient, double slope) {
    T* const weigher_gradient = divergence_.student_weighs ? student_gradient : teacher_gradient;
    T* const other_gradient = divergence_.student_weighs ? teacher_gradient : student_gradient;
    SlopeSums sums;
    const bool far = may_lie_apart() && this->far_apart();
    if (far) sums = second_pass(true, weigher_gradient, other_gradient);
    if (!far || !lies_apart(sums, weigher_gradient != nullptr || other_gradient != nullptr)) {
      sums = second_pass(false, weigher_gradient, other_gradient);
    }
    const double order = divergence_.renyi_order;
    double value = divergence_.factor * sums.terms, outer = divergence_.factor;
    if (order != 0) {
      const double excess = mixture_excess(divergence_, sums.terms);
      if (!excess_serves(excess)) return mixed(student_gradient, teacher_gradient, slope);
      value = std::log1p(excess) / (order - 1);
      outer = order / (1 + excess);
    }
    centre(weigher_, weigher_gradient, slope * outer, sums.weigher);
    centre(other_, other_gradient, slope * outer, sums.other);
    return value;
  }

 private:
  using RowDivergence<T>::divergence_;
  using RowDivergence<T>::kernels_;
  using RowDivergence<T>::other_;
  using RowDivergence<T>::request_;
  using RowDivergence<T>::weigher_;
  using RowDivergence<T>::work_;

  // Of a small power, differences of probabilities are multiplied by its reciprocal.
  bool may_lie_apart() const {
    return divergence_.generator != Generator::kPowerDivergence || std::fabs(divergence_.parameter) >= 0.25;
  }

  // Whether a pass that took differences of probabilities as they stand lost nothing that would show.
  bool lies_apart(const SlopeSums& sums, bool gradients) const {
    if (!(sums.terms > kLeastApart)) return false;
    // How many times a probability its difference counts in a slope.
    const double w = divergence_.parameter;
    const double share = divergence_.generator == Generator::kJensenShannon ? w * (1 - w) : 1;
    return !gradients || sums.largest * kLostToDifference > share * std::max(1 / weigher_.sum, 1 / other_.sum);
  }

  SlopeSums second_pass(bool apart, T* weigher_slopes, T* other_slopes) {
    work_.slopes.resize(work_.student.sums.size());
    this->for_each_segment([&](int64_t begin, int64_t columns) {
      GeneratorTask<T> task;
      task.generator = divergence_.generator;
      task.parameter = divergence_.parameter;
      task.apart = apart;
      task.columns = columns;
      task.weigher = weigher_.segment(begin);
      task.other = other_.segment(begin);
      this->set_offset(task, weigher_.maximum, other_.maximum, other_.log_sum - weigher_.log_sum, 0);
      task.weigher_slopes = weigher_slopes == nullptr ? nullptr : weigher_slopes + begin;
      task.other_slopes = other_slopes == nullptr ? nullptr : other_slopes + begin;
      kernels_.generator(task);
      work_.slopes[static_cast<size_t>(begin / kSegmentColumns)] = {task.sum, task.weigher_sum, task.other_sum,
                                                                    task.excess, task.largest};
    });
    SlopeSums row = {0, 0, 0, 0, 0};
    for (const SlopeSums& segment : work_.slopes) {
      row.terms += segment.terms;
      row.weigher += segment.weigher;
      row.other += segment.other;
      row.excess += segment.excess;
      row.largest = std::max(row.largest, segment.largest);
    }
    // Softmaxes sum to 1. By how much b seems to sum to more is how much too large all log ratios are, which came with
    // the rounding of the log-sum-exps, and which the terms have followed along the slopes of b.
    const double followed = row.excess * row.other;
    if (std::isfinite(followed)) row.terms -= followed;
    return row;
  }

  // From slopes, in place, to the gradient for the logits of `side`.
  void centre(const SoftmaxRow<T>& side, T* gradient, double slope, double sum_of_slopes) {
    if (gradient == nullptr) return;
    const double scale = slope * inverse_temperature(side.scale);
    this->for_each_segment([&](int64_t begin, int64_t columns) {
      kernels_.correct_gradient({columns, side.exponentials + begin, static_cast<T>(sum_of_slopes * side.factor(begin)),
                                 static_cast<T>(scale), gradient + begin});
    });
  }

  // Renyi's divergence from the softmax of the mixture, which is neither side's.
  double mixed(T* student_gradient, T* teacher_gradient, double slope) {
    SoftmaxRow<T>& mixture = work_.mixture;
    T* const memory = work_.mixture_exponentials.template reserve<T>(request_.columns);
    mixture.logits = mixture.exponentials = memory;
    mixture.scale = softmax_scale<T>(1);
    mixture.prepare(request_.columns);
    this->for_each_segment([&](int64_t begin, int64_t columns) {
      MixtureTask<T> task;
      task.columns = columns;
      task.k = static_cast<T>(divergence_.parameter);
      task.weigher = weigher_.segment(begin);
      task.other = other_.segment(begin);
      task.logits = memory + begin;
      kernels_.mixture(task);
      this->exponentiate(mixture, begin, columns, static_cast<size_t>(begin / kSegmentColumns), memory + begin);
    });
    mixture.merge();
    write_difference(mixture, work_.student, student_gradient, slope * mixture_slope(divergence_, true));
    write_difference(mixture, work_.teacher, teacher_gradient, slope * mixture_slope(divergence_, false));
    // A column that only the other side lacks, where that is infinitely far; or no column that both have.
    const bool softmaxes = !std::isnan(weigher_.log_sum + other_.log_sum);
    if (softmaxes && std::isinf(mixture.maximum)) return std::numeric_limits<double>::infinity();
    return mixture.log_sum_exp() / (divergence_.renyi_order - 1);
  }

  // slope * (mixture - side) / T
  void write_difference(const SoftmaxRow<T>& mixture, const SoftmaxRow<T>& side, T* gradient, double slope) {
    if (gradient == nullptr) return;
    this->for_each_segment([&](int64_t begin, int64_t columns) {
      DifferenceTask<T> task;
      task.columns = columns;
      task.weigher_exponentials = side.exponentials + begin;
      task.other_exponentials = mixture.exponentials + begin;
      task.weigher_factor = static_cast<T>(side.factor(begin));
      task.other_factor = static_cast<T>(mixture.factor(begin));
      task.gradient_scale = static_cast<T>(slope * inverse_temperature(side.scale));
      task.gradient = gradient + begin;
      kernels_.difference_gradient(task);
    });
  }
};

}  // namespace kullback

#endif  // KULLBACK_CPU_SOFTMAX_DIVERGENCE_GENERATED_H
