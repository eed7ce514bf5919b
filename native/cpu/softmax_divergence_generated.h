// softmax_divergence_generated: one row under a divergence that a generator makes (math/generators.inl.h).
//
//   first pass    as everywhere: exponentials of both sides and their sums, here always in memory of their own
//   second pass   each column's term and slopes, the latter in the gradients' memory
//   third pass    gradient = slope - probability * (sum of slopes)
//
// The power family knows a shorter way where its sides lie apart: the first pass sums their mixture m = a^(1 - k) b^k
// too, which is 1 + k (k - 1) times the divergence, and gradients are differences of m and a side.
//
// Renyi's divergence is a logarithm of that sum. Where it is far from its middle, and would lose digits or leave the
// format, the softmax of the mixture's logarithms takes the place of the second and third pass.
#ifndef KULLBACK_CPU_SOFTMAX_DIVERGENCE_GENERATED_H
#define KULLBACK_CPU_SOFTMAX_DIVERGENCE_GENERATED_H

#include <algorithm>
#include <cmath>
#include <limits>

#include "softmax_divergence_row.h"

namespace kullback {

template <class T>
class GeneratedRowDivergence : public RowDivergence<T> {
  // What a divergence must be at least for the roundings of all probabilities, which it sums, not to show.
  static constexpr double kLeastApart = 0.05;
  // How many times what a mixture's sum is more or less than 1 that sum may be.
  static constexpr double kLostInMixture = 32;

 public:
  using RowDivergence<T>::RowDivergence;

  // The divergence; and the gradients where they are not NULL.
  double generated(T* student_gradient, T* teacher_gradient, double slope) {
    T*& weigher_gradient = divergence_.student_weighs ? student_gradient : teacher_gradient;
    T*& other_gradient = divergence_.student_weighs ? teacher_gradient : student_gradient;
    first_pass(student_gradient != nullptr || teacher_gradient != nullptr);
    if (stop_.asked()) return 0;
    this->write_entropies();
    double value = 0;
    const bool found = mixing_ && of_mixture(weigher_gradient, other_gradient, slope, value);
    if (found && weigher_gradient == nullptr && other_gradient == nullptr) return value;
    SlopeSums sums;
    const bool far = !mixes() && may_lie_apart() && this->far_apart();
    if (far) sums = second_pass(true, weigher_gradient, other_gradient);
    if (!far || !lies_apart(sums, weigher_gradient != nullptr || other_gradient != nullptr)) {
      sums = second_pass(false, weigher_gradient, other_gradient);
    }
    double outer, value_of_sums;
    if (finish(sums.terms, value_of_sums, outer)) {
      centre(weigher_, weigher_gradient, slope * outer, sums.weigher);
      centre(other_, other_gradient, slope * outer, sums.other);
    } else {
      value_of_sums = mixed(student_gradient, teacher_gradient, slope);
    }
    return found ? value : value_of_sums;
  }

 private:
  using RowDivergence<T>::divergence_;
  using RowDivergence<T>::kernels_;
  using RowDivergence<T>::other_;
  using RowDivergence<T>::request_;
  using RowDivergence<T>::stop_;
  using RowDivergence<T>::weigher_;
  using RowDivergence<T>::work_;

  // From what the generator's terms sum up to: the divergence, and its derivative for that. False where Renyi's
  // divergence has to be found otherwise.
  bool finish(double terms, double& value, double& outer) const {
    const double order = divergence_.renyi_order;
    value = divergence_.factor * terms;
    outer = divergence_.factor;
    if (order == 0) return true;
    const double excess = mixture_excess(divergence_, terms);
    if (!excess_serves(excess)) return false;
    value = std::log1p(excess) / (order - 1);
    outer = order / (1 + excess);
    return true;
  }

  // Of a small power, differences of probabilities are multiplied by its reciprocal.
  bool may_lie_apart() const {
    return divergence_.generator != Generator::kPowerDivergence || std::fabs(divergence_.parameter) >= 0.25;
  }

  bool mixes() const { return divergence_.generator == Generator::kPowerDivergence && may_lie_apart(); }

  // The first pass, in memory that is no gradient's: the last one wants both side by side. Its first segment decides
  // whether the mixture is worth its exponentials in the others.
  void first_pass(bool differentiate) {
    T* const student = work_.student_exponentials.template reserve<T>(request_.columns);
    T* const teacher = work_.teacher_exponentials.template reserve<T>(request_.columns);
    if (!mixes()) return RowDivergence<T>::take_exponentials(student, teacher);
    SoftmaxRow<T>& mixture = work_.mixture;
    mixture.exponentials = differentiate ? work_.mixture_exponentials.template reserve<T>(request_.columns) : nullptr;
    mixture.scale = softmax_scale<T>(1);
    mixture.prepare(request_.columns);
    this->begin_first_pass(student, teacher);
    const int64_t first = std::min(kSegmentColumns, request_.columns);
    this->stage(0, first);
    exponentiate_mixed(0, first, 0);
    const double k = divergence_.parameter;
    const double sum = mixture.sums[0] / (std::pow(weigher_.sums[0], 1 - k) * std::pow(other_.sums[0], k));
    mixing_ = far_from_one(sum, 2 * kLostInMixture);
    this->for_each_segment([&](int64_t begin, int64_t columns) {
      if (begin == 0) return;
      this->stage(begin, columns);
      const size_t segment = static_cast<size_t>(begin / kSegmentColumns);
      if (mixing_) {
        exponentiate_mixed(begin, columns, segment);
      } else {
        this->exponentiate_pair(begin, columns, segment);
      }
    });
    this->end_first_pass();
  }

  // Whether a sum of mixtures differs from 1 by so much that its roundings do not show.
  static bool far_from_one(double sum, double lost) {
    return sum > 0 && !std::isinf(sum) && std::fabs(sum - 1) * lost > 1 + sum;
  }

  // The first look at one segment of both sides and of their mixture.
  void exponentiate_mixed(int64_t begin, int64_t columns, size_t segment) {
    const double k = divergence_.parameter;
    MixedExponentialsTask<T> task;
    split((1 - k) * kPowerOfE * inverse_temperature(weigher_.scale), task.weigher_scale, task.weigher_scale_low);
    split(k * kPowerOfE * inverse_temperature(other_.scale), task.other_scale, task.other_scale_low);
    task.mixture = work_.mixture.exponentials == nullptr ? nullptr : work_.mixture.exponentials + begin;
    if (this->describe_first(task, begin, columns)) {
      kernels_.mixed_exponentials(task);
    } else {
      // Without probability on a side here: for the generator's pass to look at.
      kernels_.exponentials(task.weigher);
      kernels_.exponentials(task.other);
      task.sum = std::numeric_limits<double>::quiet_NaN();
    }
    weigher_.take(segment, task.weigher);
    other_.take(segment, task.other);
    work_.mixture.sums[segment] = task.sum;
  }

  // The divergence by the mixture, false where that would lose digits; and those gradients that lose none, whose
  // pointers become NULL. Which way each is found must not depend on what else is asked for.
  bool of_mixture(T*& weigher_gradient, T*& other_gradient, double slope, double& value) {
    SoftmaxRow<T>& mixture = work_.mixture;
    const double k = divergence_.parameter;
    // A segment's mixture is relative to its sides' maxima.
    for (size_t i = 0; i < mixture.maxima.size(); ++i) {
      mixture.maxima[i] = static_cast<T>((1 - k) * weigher_.below_maximum(i) + k * other_.below_maximum(i));
    }
    mixture.merge();
    const double sum = std::exp(mixture.log_sum_exp() - ((1 - k) * weigher_.log_sum + k * other_.log_sum));
    if (!far_from_one(sum, kLostInMixture)) return false;
    double outer;
    if (!finish((sum - 1) / (k * (k - 1)), value, outer)) return false;
    if (write_difference(mixture, weigher_, weigher_gradient, -slope * outer * sum / k)) weigher_gradient = nullptr;
    if (write_difference(mixture, other_, other_gradient, slope * outer * sum / (k - 1))) other_gradient = nullptr;
    return true;
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
    if (apart) {
      row.terms += lost_to_log_sums();
      return row;
    }
    // Softmaxes sum to 1. By how much b seems to sum to more is how much too large all log ratios are, which came with
    // the rounding of the log-sum-exps, and which the terms have followed along the slopes of b.
    const double followed = row.excess * row.other;
    if (std::isfinite(followed)) row.terms -= followed;
    return row;
  }

  // What the rounding of the log-sum-exps, which all columns share, has taken from terms that are made of logarithms.
  double lost_to_log_sums() const {
    const auto rounding = [](const SoftmaxRow<T>& side) {
      return static_cast<double>(static_cast<T>(side.log_sum)) - side.log_sum;
    };
    switch (divergence_.generator) {
      case Generator::kJensenShannon:
        return divergence_.parameter * rounding(weigher_) + (1 - divergence_.parameter) * rounding(other_);
      case Generator::kSkew:
        return rounding(weigher_);
      default:
        return 0;  // differences of them, weighed by what sums to 0
    }
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

  // slope * (mixture - side) / T. Returns false where that is so small beside the side that its roundings show.
  bool write_difference(const SoftmaxRow<T>& mixture, const SoftmaxRow<T>& side, T* gradient, double slope) {
    if (gradient == nullptr) return true;
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
      work_.partials[static_cast<size_t>(begin / kSegmentColumns)] = task.largest;
    });
    const double largest = *std::max_element(work_.partials.begin(), work_.partials.end());
    return largest * kLostToDifference > 1 / side.sum;
  }

  bool mixing_ = false;  // whether the first pass has summed the row's mixture
};

}  // namespace kullback

#endif  // KULLBACK_CPU_SOFTMAX_DIVERGENCE_GENERATED_H
