// The driver of softmax_divergence on the CPU: rows over threads, segments of few long rows over threads, and what
// the segments' partial results mean together. The arithmetic on columns is in softmax_divergence.inl.h.
#include "softmax_divergence.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>
#include <vector>

#include "backend.h"
#include "dispatch.h"
#include "scratch.h"
#include "softmax_row.h"
#include "thread_pool.h"

namespace kullback {
namespace {

using Request = kullback_softmax_divergence_request;

// Below this many logits of one side the work is done before a second thread could wake up.
constexpr int64_t kParallelColumns = 1 << 15;
// What one thread takes at a time where rows are short.
constexpr int64_t kColumnsPerTask = 1 << 14;
// Up to here -sum a u, nearly the divergence, says that the sides lie near each other.
constexpr double kNearMoment = 0.25;
// Beyond this difference of maxima, log ratios have no small digits left.
constexpr double kFarShift = 1 << 20;
constexpr double kPowerOfE = 1.4426950408889634;  // log2(e)
// A segment's terms may be so many times its divergence before they are taken again with a better constant.
constexpr double kDigitsLost = 8;

class Stop {
 public:
  explicit Stop(const kullback_control* control) : control_(control) {}
  // Once true it stays so.
  bool asked() {
    if (control_ == nullptr) return false;
    if (!asked_.load(std::memory_order_relaxed) && control_->cancelled(control_->context) != 0) {
      asked_.store(true, std::memory_order_relaxed);
    }
    return asked_.load(std::memory_order_relaxed);
  }

 private:
  const kullback_control* control_;
  std::atomic<bool> asked_{false};
};

// What the second pass found in a segment, of a row whose softmaxes are known.
struct SegmentSums {
  double terms, moment, weight, excess;
};

// What a thread works with. A row's sides belong to the thread that the row was given to; exponentials of segments that
// are looked at alone, to the thread that looks.
template <class T>
struct Workspace {
  SoftmaxRow<T> student, teacher;
  Scratch student_exponentials, teacher_exponentials;
  std::vector<double> partials;                // one per segment
  std::vector<SegmentDivergence> divergences;  // one per segment
  std::vector<SegmentSums> sums;               // one per segment

  static Workspace& of_this_thread() {
    static thread_local Workspace workspace;
    return workspace;
  }
};

template <class T>
class SoftmaxDivergence {
 public:
  SoftmaxDivergence(const Request& request, const kullback_control* control)
      : request_(request), kernels_(kernels_of<T>(*active_instruction_set().kernels)), stop_(control) {}

  kullback_status run() {
    std::vector<double> values(static_cast<size_t>(request_.rows));
    ThreadPool& pool = ThreadPool::instance();
    const int64_t threads = pool.thread_count();
    const bool alone = threads <= 1 || request_.rows * request_.columns < kParallelColumns;
    if (!alone && request_.columns > kSegmentColumns && request_.rows < 2 * threads) {
      for (int64_t row = 0; row < request_.rows; ++row) values[static_cast<size_t>(row)] = row_value(row, &pool);
    } else {
      const int64_t rows_per_task = std::max<int64_t>(1, kColumnsPerTask / request_.columns);
      const auto task = [&](int64_t index) {
        const int64_t end = std::min(request_.rows, (index + 1) * rows_per_task);
        for (int64_t row = index * rows_per_task; row < end; ++row) {
          values[static_cast<size_t>(row)] = row_value(row, nullptr);
        }
      };
      const int64_t tasks = ceil_divide(request_.rows, rows_per_task);
      if (alone) {
        for (int64_t index = 0; index < tasks; ++index) task(index);
      } else {
        pool.parallel_for(tasks, task);
      }
    }
    if (stop_.asked()) return KULLBACK_CANCELLED;
    if (request_.values != nullptr) std::copy(values.begin(), values.end(), request_.values);
    if (request_.value != nullptr) *request_.value = sum_pairwise(values.data(), request_.rows);
    return KULLBACK_OK;
  }

 private:
  static double sum_pairwise(const double* values, int64_t count) {
    if (count <= 8) {
      double sum = 0;
      for (int64_t i = 0; i < count; ++i) sum += values[i];
      return sum;
    }
    const int64_t half = count / 2;
    return sum_pairwise(values, half) + sum_pairwise(values + half, count - half);
  }

  // body(first column, columns) for each segment of a row, on the pool where there is one.
  template <class Body>
  void for_each_segment(ThreadPool* pool, const Body& body) {
    const auto segment = [&](int64_t index) {
      if (stop_.asked()) return;
      const int64_t begin = index * kSegmentColumns;
      body(begin, std::min(kSegmentColumns, request_.columns - begin));
    };
    const int64_t segments = ceil_divide(request_.columns, kSegmentColumns);
    if (pool != nullptr) {
      pool->parallel_for(segments, segment);
    } else {
      for (int64_t index = 0; index < segments; ++index) segment(index);
    }
  }

  // A row's share of the result: writes its gradients and statistics, returns its weighted divergence.
  double row_value(int64_t row, ThreadPool* pool) {
    T* const student_gradient = row_of(request_.student_gradient, request_.student_stride, row);
    T* const teacher_gradient = row_of(request_.teacher_gradient, request_.teacher_stride, row);
    if (stop_.asked()) return 0;
    if (request_.row_mask != nullptr && request_.row_mask[row] == 0) {
      clear(student_gradient, 0, request_.student_stride);
      clear(teacher_gradient, 0, request_.teacher_stride);
      clear_statistics(row);
      return 0;
    }
    Workspace<T>& work = Workspace<T>::of_this_thread();
    const double weight = request_.row_weights == nullptr ? 1 : request_.row_weights[row];
    const double scale = weight * request_.scale;
    const double slope =
        scale == 0 ? 0 : scale * (request_.grad_outputs == nullptr ? request_.grad_output : request_.grad_outputs[row]);
    begin_side(work.student, request_.student, request_.student_stride, row, request_.student_temperature);
    begin_side(work.teacher, request_.teacher, request_.teacher_stride, row, request_.teacher_temperature);
    const bool differentiate = slope != 0 && (student_gradient != nullptr || teacher_gradient != nullptr);
    const bool whole = differentiate || request_.student_entropy != nullptr || request_.teacher_entropy != nullptr;
    double divergence;
    if (whole) {
      // The exponentials live in the gradient's memory where there is one, which saves a row of cache.
      work.student.exponentials = student_gradient != nullptr
                                      ? student_gradient
                                      : work.student_exponentials.template reserve<T>(request_.columns);
      work.teacher.exponentials = teacher_gradient != nullptr
                                      ? teacher_gradient
                                      : work.teacher_exponentials.template reserve<T>(request_.columns);
      divergence = divergence_by_passes(work, row, slope, pool);
      work.student_exponentials.trim();
      work.teacher_exponentials.trim();
    } else {
      divergence = divergence_by_segments(work, pool);
    }
    if (stop_.asked()) return 0;
    clear(student_gradient, slope == 0 ? 0 : request_.columns, request_.student_stride);
    clear(teacher_gradient, slope == 0 ? 0 : request_.columns, request_.teacher_stride);
    write_statistics(work, row);
    // Of nothing, the last rounding may leave less than nothing.
    return scale == 0 ? 0 : scale * (divergence < 0 ? 0 : divergence);
  }

  static T* row_of(void* gradient, int64_t stride, int64_t row) {
    return gradient == nullptr ? nullptr : static_cast<T*>(gradient) + row * stride;
  }

  static void clear(T* gradient, int64_t begin, int64_t end) {
    if (gradient != nullptr) std::fill(gradient + begin, gradient + end, T{0});
  }

  static void begin_side(SoftmaxRow<T>& side, const void* logits, int64_t stride, int64_t row, double temperature) {
    side.logits = static_cast<const T*>(logits) + row * stride;
    split(1 / temperature, side.scale.inverse_temperature, side.scale.inverse_temperature_low);
    side.scale.power_scale = static_cast<T>(kPowerOfE / temperature);
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
    side.maxima[segment] = task.maximum;
    side.sums[segment] = task.sum;
  }

  bool wants_statistics() const {
    return request_.student_log_sum_exp != nullptr || request_.teacher_log_sum_exp != nullptr ||
           request_.argmax_agreement != nullptr;
  }
  bool student_weighs() const { return request_.divergence == KULLBACK_REVERSE_KL; }
  bool cross_entropy() const { return request_.divergence == KULLBACK_CROSS_ENTROPY; }

  // The value alone: one look at memory. Each segment is looked at on its own, and what was found is merged afterwards.
  double divergence_by_segments(Workspace<T>& work, ThreadPool* pool) {
    work.student.prepare(request_.columns);
    work.teacher.prepare(request_.columns);
    work.divergences.resize(work.student.sums.size());
    SoftmaxRow<T>& weigher = student_weighs() ? work.student : work.teacher;
    SoftmaxRow<T>& other = student_weighs() ? work.teacher : work.student;
    for_each_segment(pool, [&](int64_t begin, int64_t columns) {
      work.divergences[static_cast<size_t>(begin / kSegmentColumns)] =
          divergence_of_segment(weigher, other, begin, columns);
    });
    if (stop_.asked()) return 0;
    // One segment is the row, unless a side of it is empty or holds a NaN; statistics want more.
    const bool alone = work.divergences.size() == 1 && weigher.sums[0] > 0 && other.sums[0] > 0;
    if (!alone || wants_statistics()) {
      work.student.merge();
      work.teacher.merge();
    }
    if (!alone) return merge_divergences(weigher, other, work.divergences, cross_entropy());
    const SegmentDivergence& whole = work.divergences[0];
    return cross_entropy() ? whole.terms : whole.terms - minus_log1p(whole.excess);
  }

  SegmentDivergence divergence_of_segment(SoftmaxRow<T>& weigher, SoftmaxRow<T>& other, int64_t begin,
                                          int64_t columns) {
    const size_t segment = static_cast<size_t>(begin / kSegmentColumns);
    ValueTask<T> task;
    task.cross_entropy = cross_entropy();
    task.columns = columns;
    task.weigher = {weigher.logits + begin, weigher.scale, 0};
    task.other = {other.logits + begin, other.scale, 0};
    kernels_.largest(task.weigher.logits, columns, task.weigher.maximum);
    kernels_.largest(task.other.logits, columns, task.other.maximum);
    const T lowest = -std::numeric_limits<T>::infinity();
    if (task.weigher.maximum == lowest || task.other.maximum == lowest) {
      // A side without probability here has no softmax to compare, which merge_divergences sees by its sum.
      T* const unused = Workspace<T>::of_this_thread().student_exponentials.template reserve<T>(columns);
      exponentiate(weigher, begin, columns, segment, unused);
      exponentiate(other, begin, columns, segment, unused);
      return {0, 0, 0};
    }
    weigher.maxima[segment] = task.weigher.maximum;
    other.maxima[segment] = task.other.maximum;
    // The other side's logarithm of a sum, less the weighing one's: as if the maxima said it all, which then is put
    // right by what the pass has found if it was so far off that digits were lost.
    double log_sums = 0;
    SegmentDivergence divergence;
    for (bool again : {false, true}) {
      task.power_shift = static_cast<T>(-log_sums * kPowerOfE);
      divergence.constant = set_offset(task, task.weigher.maximum, task.other.maximum, -task.power_shift / kPowerOfE);
      kernels_.divergence_value(task);
      weigher.sums[segment] = task.weigher_sum;
      other.sums[segment] = task.power_shift == 0 ? task.other_sum : task.other_sum * std::exp2(-task.power_shift);
      divergence.terms = task.sum / task.weigher_sum;
      if (cross_entropy()) {
        divergence.terms += std::log(other.sums[segment]);
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

  // Value, gradients and entropies: the exponentials of the whole row are kept, for one or two further passes.
  double divergence_by_passes(Workspace<T>& work, int64_t row, double slope, ThreadPool* pool) {
    work.student.prepare(request_.columns);
    work.teacher.prepare(request_.columns);
    work.partials.resize(work.student.sums.size());
    for_each_segment(pool, [&](int64_t begin, int64_t columns) {
      const size_t segment = static_cast<size_t>(begin / kSegmentColumns);
      for (SoftmaxRow<T>* side : {&work.student, &work.teacher}) {
        exponentiate(*side, begin, columns, segment, side->exponentials + begin);
      }
    });
    if (stop_.asked()) return 0;
    for (SoftmaxRow<T>* side : {&work.student, &work.teacher}) {
      side->merge();
    }
    if (request_.student_entropy != nullptr) request_.student_entropy[row] = entropy_of(work, work.student, pool);
    if (request_.teacher_entropy != nullptr) request_.teacher_entropy[row] = entropy_of(work, work.teacher, pool);
    return divergence_and_gradients(work, row, slope, pool);
  }

  // The sum over segments, in their order, of what of_segment(first column, columns) returns.
  template <class Body>
  double sum_over_segments(Workspace<T>& work, ThreadPool* pool, const Body& of_segment) {
    for_each_segment(pool, [&](int64_t begin, int64_t columns) {
      work.partials[static_cast<size_t>(begin / kSegmentColumns)] = of_segment(begin, columns);
    });
    double sum = 0;
    for (const double partial : work.partials) sum += partial;
    return sum;
  }

  // Tells a pass how to form log ratios, given the sides' maxima and the difference of their log_sums. Returns the
  // latter as the pass will have it.
  template <class Task>
  static double set_offset(Task& task, double weigher_maximum, double other_maximum, double log_sums) {
    const double scale = task.other.scale.inverse_temperature;
    const bool same_temperature = scale == static_cast<double>(task.weigher.scale.inverse_temperature);
    const double shift = other_maximum - weigher_maximum;
    RatioOffset<T>& ratio = task.ratio;
    ratio.distance = !same_temperature || !(std::fabs(shift) <= kFarShift) ? Distance::kApart
                     : std::fabs(shift * scale) <= close_shift(log_sums)   ? Distance::kClose
                                                                           : Distance::kShifted;
    split(shift, ratio.shift_high, ratio.shift_low);
    const double folded = ratio.distance == Distance::kClose ? shift * scale : 0;
    split(folded + log_sums, ratio.offset_high, ratio.offset_low);
    return static_cast<double>(ratio.offset_high) - folded + static_cast<double>(ratio.offset_low);
  }

  static void split(double number, T& high, T& low) {
    high = static_cast<T>(number);
    low = static_cast<T>(number - static_cast<double>(high));
  }

  // Up to which difference of maxima the rounding of two logits' difference is small beside the log ratios: those of
  // the largest logits are log_sums, and where that is much, the others are not little.
  static double close_shift(double log_sums) { return std::fabs(log_sums) > 0.25 ? 2 : 1.0 / 16; }

  void write_statistics(const Workspace<T>& work, int64_t row) {
    if (request_.student_log_sum_exp != nullptr) request_.student_log_sum_exp[row] = work.student.log_sum_exp();
    if (request_.teacher_log_sum_exp != nullptr) request_.teacher_log_sum_exp[row] = work.teacher.log_sum_exp();
    if (request_.argmax_agreement != nullptr) {
      const int64_t student = work.student.argmax(request_.columns), teacher = work.teacher.argmax(request_.columns);
      request_.argmax_agreement[row] = student >= 0 && student == teacher ? 1 : 0;
    }
  }

  void clear_statistics(int64_t row) {
    for (double* statistic : {request_.student_log_sum_exp, request_.teacher_log_sum_exp, request_.student_entropy,
                              request_.teacher_entropy}) {
      if (statistic != nullptr) statistic[row] = 0;
    }
    if (request_.argmax_agreement != nullptr) request_.argmax_agreement[row] = 0;
  }

  double entropy_of(Workspace<T>& work, const SoftmaxRow<T>& side, ThreadPool* pool) {
    return sum_over_segments(work, pool, [&](int64_t begin, int64_t columns) {
      EntropyTask<T> task;
      task.side = side.segment(begin);
      task.columns = columns;
      kernels_.entropy(task);
      return task.entropy;
    });
  }

  // `slope` is what the divergence's derivatives are multiplied by: grad_output, weight and scale together.
  double divergence_and_gradients(Workspace<T>& work, int64_t row, double slope, ThreadPool* pool) {
    SoftmaxRow<T>& weigher = student_weighs() ? work.student : work.teacher;
    SoftmaxRow<T>& other = student_weighs() ? work.teacher : work.student;
    T* const student_gradient = row_of(request_.student_gradient, request_.student_stride, row);
    T* const teacher_gradient = row_of(request_.teacher_gradient, request_.teacher_stride, row);
    T* const weigher_gradient = student_weighs() ? student_gradient : teacher_gradient;
    T* const other_gradient = student_weighs() ? teacher_gradient : student_gradient;
    // What both passes are told alike.
    const auto describe = [&](auto& task, int64_t begin, int64_t columns, const SoftmaxRow<T>& side, T* gradient) {
      task.cross_entropy = cross_entropy();
      task.columns = columns;
      task.weigher = weigher.segment(begin);
      task.other = other.segment(begin);
      set_offset(task, weigher.maximum, other.maximum, other.log_sum - weigher.log_sum);
      task.gradient_scale = static_cast<T>(slope * static_cast<double>(side.scale.inverse_temperature));
      task.gradient = gradient == nullptr || slope == 0 ? nullptr : gradient + begin;
    };
    work.sums.resize(work.student.sums.size());
    for_each_segment(pool, [&](int64_t begin, int64_t columns) {
      DivergenceTask<T> task;
      describe(task, begin, columns, other, other_gradient);
      task.group = weigher_gradient != nullptr ? 1 : kGroupVectors;
      kernels_.divergence(task);
      work.sums[static_cast<size_t>(begin / kSegmentColumns)] = {task.sum, task.moment, task.weight, task.excess};
    });
    double divergence = 0, moment = 0, weight = 0, excess = 0;
    for (const SegmentSums& segment : work.sums) {
      divergence += segment.terms;
      moment += segment.moment;
      weight += segment.weight;
      excess += segment.excess;
    }
    if (other_gradient != nullptr && slope != 0 && std::fabs(moment) < kNearMoment) {
      // The gradient b - a sums to 0. What it sums to is the error of log ratios, all by the same little, which came
      // with the rounding of the log-sum-exps: beside a difference of a and b that is small itself, it would be large.
      for_each_segment(pool, [&](int64_t begin, int64_t columns) {
        const SoftmaxSide<T> side = weigher.segment(begin);
        const double scale = slope * static_cast<double>(other.scale.inverse_temperature);
        kernels_.correct_gradient(
            {columns, side.exponentials, static_cast<T>(excess * scale * side.factor), other_gradient + begin});
      });
    }
    if (weigher_gradient != nullptr && slope != 0) {
      // The mean of the score is the divergence; but only sums with the gradient's own roundings make its sum 0.
      const double mean = (cross_entropy() ? divergence : -moment) / weight;
      for_each_segment(pool, [&](int64_t begin, int64_t columns) {
        CentredGradientTask<T> task;
        describe(task, begin, columns, weigher, weigher_gradient);
        task.mean_high = static_cast<T>(mean);
        task.mean_low = static_cast<T>(mean - static_cast<double>(task.mean_high));
        kernels_.centred_gradient(task);
      });
    }
    return divergence;
  }

  const Request& request_;
  const Kernels<T>& kernels_;
  Stop stop_;
};

}  // namespace

kullback_status softmax_divergence_cpu(const Request* request, const kullback_control* control) {
  try {
    switch (request->dtype) {
      case KULLBACK_FLOAT32:
        return SoftmaxDivergence<float>(*request, control).run();
      case KULLBACK_FLOAT64:
        return SoftmaxDivergence<double>(*request, control).run();
    }
    return KULLBACK_UNSUPPORTED;
  } catch (const std::bad_alloc&) {
    return KULLBACK_OUT_OF_MEMORY;
  }
}

}  // namespace kullback
