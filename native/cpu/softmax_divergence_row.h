// softmax_divergence_row: one row, from its logits to its divergence, its gradients and its two softmaxes.
//
// Where only the value is wanted, each segment is looked at once and on its own, and what was found is merged. Else the
// row's exponentials are kept, and what happens next depends on how far apart the sides are:
//
//   first pass    exponentials, their sums, and the moments that say how far
//   far apart     the value follows from the moments; the other side's gradient is the difference of the softmaxes
//   else          second pass: the value and that gradient term by term, from log ratios
//   third pass    the gradient of the side that weighs, which needs the row's sums
#ifndef KULLBACK_CPU_SOFTMAX_DIVERGENCE_ROW_H
#define KULLBACK_CPU_SOFTMAX_DIVERGENCE_ROW_H

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels.h"
#include "scratch.h"
#include "segments.h"
#include "softmax_divergence_side.h"
#include "softmax_row.h"

namespace kullback {

// So many times a divergence may the parts be whose sum it is, and a softmax's largest probability a gradient's largest
// element: what that loses of a float32's digits stays within the documented bounds.
constexpr double kLostInSums = 7, kLostToDifference = 4;
// A difference of maxima whose rounding hardly shows in a value: that of all columns' log ratios sums to nearly
// nothing.
constexpr double kCloseShift = 1.0 / 16;
// A segment's terms may be so many times its divergence before they are taken again with a better constant.
constexpr double kDigitsLost = 3;

// What the second pass found, of a row whose softmaxes are known.
struct SegmentSums {
  double terms, moment, weight, excess;
};

// What the second pass by a generator found.
struct SlopeSums {
  double terms, weigher, other, excess, largest;
};

// What the first pass found in a segment: the moments of PairExponentialsTask.
struct SegmentMoments {
  double ratio, other;
};

// What a thread works with. A row's sides belong to the thread that the row was given to; exponentials of segments that
// are looked at alone, to the thread that looks.
template <class T>
struct Workspace {
  SoftmaxRow<T> student, teacher;
  Scratch student_logits, teacher_logits;  // where the caller has something else
  Scratch student_gradient, teacher_gradient;
  Scratch student_exponentials, teacher_exponentials;
  std::vector<double> partials;                // one per segment
  std::vector<SegmentDivergence> divergences;  // one per segment
  std::vector<SegmentMoments> moments;         // one per segment
  std::vector<SegmentSums> sums;               // one per segment
  std::vector<SlopeSums> slopes;               // one per segment
  SoftmaxRow<T> mixture;                       // of Renyi's divergence
  Scratch mixture_exponentials;

  // Gives back what a thread should not hold on to between calls.
  void trim() {
    for (Scratch* scratch : {&student_logits, &teacher_logits, &student_gradient, &teacher_gradient,
                             &student_exponentials, &teacher_exponentials, &mixture_exponentials}) {
      scratch->trim();
    }
  }

  static Workspace& of_this_thread() {
    static thread_local Workspace workspace;
    return workspace;
  }
};

template <class T>
class RowDivergence {
 public:
  // `pool`, if not NULL, works on the row's segments.
  RowDivergence(const kullback_softmax_divergence_request& request, const StoredSide<T>& student,
                const StoredSide<T>& teacher, const Kernels<T>& kernels, Stop& stop, ThreadPool* pool,
                Workspace<T>& work, const Divergence& divergence, int64_t row)
      : request_(request),
        stored_student_(student),
        stored_teacher_(teacher),
        row_(row),
        kernels_(kernels),
        stop_(stop),
        pool_(pool),
        work_(work),
        divergence_(divergence),
        weigher_(divergence.student_weighs ? work.student : work.teacher),
        other_(divergence.student_weighs ? work.teacher : work.student) {
    begin_side(work.student, student, work.student_logits);
    begin_side(work.teacher, teacher, work.teacher_logits);
  }

  // The value alone: one look at memory. Each segment is looked at on its own, and what was found is merged afterwards.
  double value_alone() {
    work_.student.prepare(request_.columns);
    work_.teacher.prepare(request_.columns);
    work_.divergences.resize(work_.student.sums.size());
    for_each_segment([&](int64_t begin, int64_t columns) {
      stage(begin, columns);
      work_.divergences[static_cast<size_t>(begin / kSegmentColumns)] = divergence_of_segment(begin, columns);
    });
    if (stop_.asked()) return 0;
    // One segment is the row, unless a side of it is empty or holds a NaN; statistics want more.
    const bool alone = work_.divergences.size() == 1 && weigher_.sums[0] > 0 && other_.sums[0] > 0;
    if (!alone || wants_statistics()) {
      work_.student.merge();
      work_.teacher.merge();
    }
    if (!alone) return merge_divergences(weigher_, other_, work_.divergences, cross_entropy());
    const SegmentDivergence& whole = work_.divergences[0];
    return cross_entropy() ? whole.terms : whole.terms - minus_log1p(whole.excess);
  }

  // The first pass: both softmaxes, of which the exponentials stay in the memory given. That is the gradient's where
  // there is one, which saves a row of cache.
  void take_exponentials(T* student_memory, T* teacher_memory) {
    begin_first_pass(student_memory, teacher_memory);
    work_.moments.resize(work_.student.sums.size());
    for_each_segment([&](int64_t begin, int64_t columns) {
      stage(begin, columns);
      const size_t segment = static_cast<size_t>(begin / kSegmentColumns);
      work_.moments[segment] = exponentiate_pair(begin, columns, segment);
    });
    end_first_pass();
  }

  // The gradients, once they are computed, as the caller wants them; NULL: not wanted.
  void emit(const T* student_gradient, const T* teacher_gradient) {
    for_each_segment([&](int64_t begin, int64_t columns) {
      if (student_gradient != nullptr) stored_student_.emit(kernels_, row_, begin, columns, student_gradient);
      if (teacher_gradient != nullptr) stored_teacher_.emit(kernels_, row_, begin, columns, teacher_gradient);
    });
  }

  bool wants_entropy() const { return request_.student_entropy != nullptr || request_.teacher_entropy != nullptr; }
  // After take_exponentials, and before gradients overwrite them.
  void write_entropies() {
    if (request_.student_entropy != nullptr) request_.student_entropy[row_] = entropy_of(work_.student);
    if (request_.teacher_entropy != nullptr) request_.teacher_entropy[row_] = entropy_of(work_.teacher);
  }

  // After take_exponentials: the divergence; and the gradients, in the memory of the exponentials, where they are not
  // NULL. `slope` is what the divergence's derivatives are multiplied by: grad_output, weight and scale together.
  double divergence_and_gradients(T* student_gradient, T* teacher_gradient, double slope) {
    T* const weigher_gradient = divergence_.student_weighs ? student_gradient : teacher_gradient;
    T* const other_gradient = divergence_.student_weighs ? teacher_gradient : student_gradient;
    const double divergence_in_sums = divergence_of_moments();
    const bool in_sums = !std::isnan(divergence_in_sums);
    SegmentSums sums;
    if (in_sums) sums = {divergence_in_sums, -divergence_in_sums, 1, 0};
    const bool written = other_gradient == nullptr || (in_sums && write_difference(slope));
    if (!in_sums || !written) {
      sums = second_pass(slope, weigher_gradient != nullptr, written ? nullptr : other_gradient);
    }
    if (weigher_gradient != nullptr) write_centred(slope, sums, weigher_gradient);
    return in_sums ? divergence_in_sums : sums.terms;
  }

 protected:
  // Before and after both sides of each segment are looked at for the first time.
  void begin_first_pass(T* student_memory, T* teacher_memory) {
    work_.student.exponentials = student_memory;
    work_.teacher.exponentials = teacher_memory;
    work_.student.prepare(request_.columns);
    work_.teacher.prepare(request_.columns);
    work_.partials.resize(work_.student.sums.size());
  }
  void end_first_pass() {
    if (stop_.asked()) return;
    work_.student.merge();
    work_.teacher.merge();
  }

  // What a first pass over a segment of both sides is told of each; whether both have any probability there.
  template <class Task>
  bool describe_first(Task& task, int64_t begin, int64_t columns) {
    const auto describe = [&](ExponentialsTask<T>& of, const SoftmaxRow<T>& side) {
      of = {side.logits + begin, columns, side.scale, 0, side.exponentials + begin, 0};
      kernels_.largest(of.logits, columns, of.maximum);
    };
    task.columns = columns;
    describe(task.weigher, weigher_);
    describe(task.other, other_);
    const T lowest = -std::numeric_limits<T>::infinity();
    return task.weigher.maximum != lowest && task.other.maximum != lowest;
  }

  // The other side's 1 / T divided by the weighing side's.
  double scale_ratio() const { return inverse_temperature(other_.scale) / inverse_temperature(weigher_.scale); }
  bool wants_other_moment() const { return cross_entropy() || !same_temperature(weigher_.scale, other_.scale); }
  bool cross_entropy() const { return divergence_.generator == Generator::kCrossEntropy; }

  void begin_side(SoftmaxRow<T>& side, const StoredSide<T>& stored, Scratch& scratch) const {
    side.logits = stored.logits(row_, scratch);
    side.scale = softmax_scale<T>(stored.temperature());
  }

  // The logits of a segment, where they are not there yet. Comes before every first look at one.
  void stage(int64_t begin, int64_t columns) const {
    stored_student_.stage(kernels_, row_, begin, columns, const_cast<T*>(work_.student.logits));
    stored_teacher_.stage(kernels_, row_, begin, columns, const_cast<T*>(work_.teacher.logits));
  }

  // body(first column, columns) for each segment of a row, on the pool where there is one.
  template <class Body>
  void for_each_segment(const Body& body) {
    kullback::for_each_segment(request_.columns, pool_, stop_, body);
  }

  double entropy_of(const SoftmaxRow<T>& side) {
    for_each_segment([&](int64_t begin, int64_t columns) {
      EntropyTask<T> task;
      task.side = side.segment(begin);
      task.columns = columns;
      kernels_.entropy(task);
      work_.partials[static_cast<size_t>(begin / kSegmentColumns)] = task.entropy;
    });
    return std::accumulate(work_.partials.begin(), work_.partials.end(), 0.0);
  }

  // The first look at one segment of one side.
  void exponentiate(SoftmaxRow<T>& side, int64_t begin, int64_t columns, size_t segment, T* exponentials) {
    ExponentialsTask<T> task;
    task.logits = side.logits + begin;
    task.columns = columns;
    task.scale = side.scale;
    task.exponentials = exponentials;
    kernels_.largest(task.logits, columns, task.maximum);
    kernels_.exponentials(task);
    side.take(segment, task);
  }

  bool wants_statistics() const {
    return request_.student_log_sum_exp != nullptr || request_.teacher_log_sum_exp != nullptr ||
           request_.argmax_agreement != nullptr;
  }

  // What one pass over a segment says of the divergence; a second pass only where the first lost digits.
  SegmentDivergence divergence_of_segment(int64_t begin, int64_t columns) {
    const size_t segment = static_cast<size_t>(begin / kSegmentColumns);
    ValueTask<T> task;
    task.cross_entropy = cross_entropy();
    task.columns = columns;
    task.weigher = {weigher_.logits + begin, weigher_.scale, 0};
    task.other = {other_.logits + begin, other_.scale, 0};
    kernels_.largest(task.weigher.logits, columns, task.weigher.maximum);
    kernels_.largest(task.other.logits, columns, task.other.maximum);
    const T lowest = -std::numeric_limits<T>::infinity();
    if (task.weigher.maximum == lowest || task.other.maximum == lowest) {
      // A side without probability here has no softmax to compare, which merge_divergences sees by its sum.
      T* const unused = Workspace<T>::of_this_thread().student_exponentials.template reserve<T>(columns);
      exponentiate(weigher_, begin, columns, segment, unused);
      exponentiate(other_, begin, columns, segment, unused);
      return {0, 0, 0};
    }
    weigher_.maxima[segment] = task.weigher.maximum;
    other_.maxima[segment] = task.other.maximum;
    // The other side's logarithm of a sum, less the weighing one's: as if the maxima said it all, which then is put
    // right by what the pass has found if it was so far off that digits were lost.
    double log_sums = 0;
    SegmentDivergence divergence;
    for (bool again : {false, true}) {
      task.other_factor = static_cast<T>(std::exp(-log_sums));
      task.log_other_factor = std::log(static_cast<double>(task.other_factor));
      divergence.constant =
          set_offset(task, task.weigher.maximum, task.other.maximum, -task.log_other_factor, kCloseShift);
      kernels_.divergence_value(task);
      weigher_.sums[segment] = task.weigher_sum;
      other_.sums[segment] = task.other_sum / static_cast<double>(task.other_factor);
      divergence.terms = task.sum / task.weigher_sum;
      if (cross_entropy()) {
        divergence.terms += std::log(other_.sums[segment]);
        break;
      }
      // Beside a large divergence the difference is the more exact.
      divergence.excess = divergence.terms < 1 ? divergence.terms + task.moment / task.weigher_sum
                                               : task.other_sum / task.weigher_sum - 1;
      const double lost = minus_log1p(divergence.excess);
      if (again || !(lost > divergence.terms * (1 - 1 / kDigitsLost))) break;
      log_sums = std::log1p(divergence.excess);
    }
    return divergence;
  }

  // The first look at one segment of both sides.
  SegmentMoments exponentiate_pair(int64_t begin, int64_t columns, size_t segment) {
    PairExponentialsTask<T> task;
    task.wants_other_moment = wants_other_moment();
    task.scale_ratio = static_cast<T>(scale_ratio());
    if (describe_first(task, begin, columns)) {
      kernels_.pair_exponentials(task);
    } else {
      kernels_.exponentials(task.weigher);
      kernels_.exponentials(task.other);
      task.moment = task.other_moment = std::numeric_limits<double>::quiet_NaN();
    }
    weigher_.take(segment, task.weigher);
    other_.take(segment, task.other);
    return {task.moment, task.other_moment};
  }

  // The divergence of a row whose sides lie so far apart that sums have digits enough; NaN where they do not.
  double divergence_of_moments() const {
    const SoftmaxRow<T>&a = weigher_, &b = other_;
    // The means under a of log b - log a and of log b, the latter relative to what the whole row adds to it.
    double log_ratio = 0, log_b = 0;
    const double ratio_low = scale_ratio() - static_cast<double>(static_cast<T>(scale_ratio()));
    for (size_t i = 0; i < work_.moments.size(); ++i) {
      if (a.shares[i] == 0) continue;
      const double factor = a.shares[i] / a.sums[i];
      const SegmentMoments& moments = work_.moments[i];
      const double ratio = moments.ratio + (wants_other_moment() ? ratio_low * moments.other : 0);
      log_ratio +=
          ratio * factor * inverse_temperature(a.scale) + a.shares[i] * (b.below_maximum(i) - a.below_maximum(i));
      log_b += moments.other * factor * inverse_temperature(b.scale) + a.shares[i] * b.below_maximum(i);
    }
    const double divergence = (b.log_sum - a.log_sum) - log_ratio;
    const double summed = 2 + std::fabs(log_ratio);
    if (!(divergence * kLostInSums > summed) || std::isinf(divergence)) {
      return std::numeric_limits<double>::quiet_NaN();
    }
    return cross_entropy() ? b.log_sum - log_b : divergence;
  }

  bool far_apart() const { return !std::isnan(divergence_of_moments()); }

  // Writes the gradient as the difference of the softmaxes. Returns false where it is so small beside them that their
  // roundings show; the other side's exponentials are as the first pass left them all the same.
  bool write_difference(double slope) {
    for_each_segment([&](int64_t begin, int64_t columns) {
      DifferenceTask<T> task;
      task.columns = columns;
      task.weigher_exponentials = weigher_.exponentials + begin;
      task.other_exponentials = task.gradient = other_.exponentials + begin;
      task.weigher_factor = static_cast<T>(weigher_.factor(begin));
      task.other_factor = static_cast<T>(other_.factor(begin));
      task.gradient_scale = static_cast<T>(slope * inverse_temperature(other_.scale));
      kernels_.difference_gradient(task);
      work_.partials[static_cast<size_t>(begin / kSegmentColumns)] = task.largest;
    });
    const double largest = *std::max_element(work_.partials.begin(), work_.partials.end());
    // The largest probability of a side is 1 / sum.
    if (largest * kLostToDifference > std::max(1 / weigher_.sum, 1 / other_.sum)) return true;
    for_each_segment([&](int64_t begin, int64_t columns) {
      exponentiate(other_, begin, columns, static_cast<size_t>(begin / kSegmentColumns), other_.exponentials + begin);
    });
    return false;
  }

  // Tells a pass how to form log ratios, given the sides' maxima and the difference of their log_sums. Returns the
  // latter as the pass will have it.
  template <class Task>
  static double set_offset(Task& task, double weigher_maximum, double other_maximum, double log_sums,
                           double close_shift) {
    RatioOffset<T>& ratio = task.ratio;
    ratio = ratio_offset(weigher_maximum, other_maximum, log_sums, close_shift, task.weigher.scale, task.other.scale);
    const double shift = (other_maximum - weigher_maximum) * inverse_temperature(task.other.scale);
    const double folded = ratio.distance == Distance::kClose ? shift : 0;
    return static_cast<double>(ratio.offset_high) - folded + static_cast<double>(ratio.offset_low);
  }

  // What the second and the third pass are told alike.
  template <class Task>
  void describe(Task& task, int64_t begin, int64_t columns) const {
    task.cross_entropy = cross_entropy();
    task.columns = columns;
    task.weigher = weigher_.segment(begin);
    task.other = other_.segment(begin);
    set_offset(task, weigher_.maximum, other_.maximum, other_.log_sum - weigher_.log_sum, 0);
  }

  // Sums, term by term, over the row; and the other side's gradient where there is one. `fine` for sums that the
  // weighing side's gradient needs.
  SegmentSums second_pass(double slope, bool fine, T* gradient) {
    const double gradient_scale = slope * inverse_temperature(other_.scale);
    work_.sums.resize(work_.student.sums.size());
    for_each_segment([&](int64_t begin, int64_t columns) {
      DivergenceTask<T> task;
      describe(task, begin, columns);
      task.gradient_scale = static_cast<T>(gradient_scale);
      task.gradient = gradient == nullptr ? nullptr : gradient + begin;
      task.group = fine ? 1 : kGroupVectors;
      kernels_.divergence(task);
      work_.sums[static_cast<size_t>(begin / kSegmentColumns)] = {task.sum, task.moment, task.weight, task.excess};
    });
    SegmentSums row = {0, 0, 0, 0};
    for (const SegmentSums& segment : work_.sums) {
      row.terms += segment.terms;
      row.moment += segment.moment;
      row.weight += segment.weight;
      row.excess += segment.excess;
    }
    if (gradient != nullptr) {
      // The gradient b - a sums to 0. What it sums to is the error of log ratios, all by the same little, which came
      // with the rounding of the log-sum-exps: beside a difference of a and b that is small itself, it would be large.
      for_each_segment([&](int64_t begin, int64_t columns) {
        const double coefficient = row.excess * gradient_scale * weigher_.factor(begin);
        kernels_.correct_gradient(
            {columns, weigher_.exponentials + begin, static_cast<T>(coefficient), T{1}, gradient + begin});
      });
    }
    return row;
  }

  // The gradient of the side that weighs.
  void write_centred(double slope, const SegmentSums& sums, T* gradient) {
    // The mean of the score is the divergence; but only sums with the gradient's own roundings make its sum 0.
    const double mean = (cross_entropy() ? sums.terms : -sums.moment) / sums.weight;
    for_each_segment([&](int64_t begin, int64_t columns) {
      CentredGradientTask<T> task;
      describe(task, begin, columns);
      split(mean, task.mean_high, task.mean_low);
      task.gradient_scale = static_cast<T>(slope * inverse_temperature(weigher_.scale));
      task.gradient = gradient + begin;
      kernels_.centred_gradient(task);
    });
  }

  const kullback_softmax_divergence_request& request_;
  const StoredSide<T>&stored_student_, &stored_teacher_;
  const int64_t row_;
  const Kernels<T>& kernels_;
  Stop& stop_;
  ThreadPool* pool_;
  Workspace<T>& work_;
  const Divergence& divergence_;
  SoftmaxRow<T>& weigher_;
  SoftmaxRow<T>& other_;
};

}  // namespace kullback

#endif  // KULLBACK_CPU_SOFTMAX_DIVERGENCE_ROW_H
