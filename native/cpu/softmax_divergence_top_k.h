// softmax_divergence_top_k: rows whose teacher names K of the columns. Gathered, they are coarse rows of K columns, or
// of K + 1 where all others are one (kullback_tail): short, so that they are compared in float64 as rows of their own
// (softmax_divergence_rows.h). The gradient of a coarse column is that of its column; of the last, each column outside
// has its share.
//
//   gather    the named logits out of the row, whose place -inf takes: it is the row outside
//   outside   its exponentials and their sums, in the gradient's memory where there is one
//   coarse    both sides of K or K + 1 columns, value and gradient
//   scatter   exponentials times the tail's gradient, and the named columns' gradients in their places
#ifndef KULLBACK_CPU_SOFTMAX_DIVERGENCE_TOP_K_H
#define KULLBACK_CPU_SOFTMAX_DIVERGENCE_TOP_K_H

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "../math/top_k_row.h"
#include "softmax_divergence_rows.h"

namespace kullback {

// What a thread works with beside what the coarse rows take.
template <class T>
struct TopKWorkspace {
  SoftmaxRow<T> outside;
  Scratch outside_exponentials, teacher_log_probs;
  Scratch student, teacher, gradient;  // coarse

  void trim() {
    for (Scratch* scratch : {&outside_exponentials, &teacher_log_probs, &student, &teacher, &gradient}) scratch->trim();
  }

  static TopKWorkspace& of_this_thread() {
    static thread_local TopKWorkspace workspace;
    return workspace;
  }
};

template <class T>
class TopKRows {
 public:
  TopKRows(const kullback_softmax_divergence_request& request, Stop& stop)
      : request_(request),
        student_(StoredSide<T>::student(request)),
        teacher_(StoredSide<T>::teacher(request)),
        kernels_(kernels_of<T>(*active_instruction_set().kernels)),
        stop_(stop) {}

  bool must_be_proper() const { return true; }
  bool is_proper(int64_t row) const {
    const int32_t* const ids = ids_of(row);
    const T* const log_probs = log_probs_of(row, TopKWorkspace<T>::of_this_thread());
    double sum = 0;
    for (int64_t slot = 0; slot < slots(); ++slot) {
      if (ids[slot] < 0) continue;
      const double log_prob = static_cast<double>(log_probs[slot]);
      if (!(log_prob <= teacher_.tolerance())) return false;
      sum += std::exp(log_prob);
    }
    return sum <= 1 + teacher_.tolerance();
  }

  // A row's share of the result: writes its gradient and statistics, returns its weighted divergence.
  double value(int64_t row, ThreadPool* pool) {
    if (stop_.asked()) return 0;
    kullback_softmax_divergence_request coarse = coarse_request(row);
    if (left_out(request_, row)) {
      student_.clear(row, 0);
      return SoftmaxRows<double>(coarse, stop_).value(0, nullptr);
    }
    TopKWorkspace<T>& work = TopKWorkspace<T>::of_this_thread();
    const auto [scale, slope] = row_factors(request_, row);
    const int64_t coarse_count = coarse.columns;
    auto* const student = work.student.template reserve<double>(coarse_count);
    auto* const teacher = work.teacher.template reserve<double>(coarse_count);
    T* const gradient = slope == 0 ? nullptr : student_.gradient(row, work.outside_exponentials);
    T* const outside = gradient != nullptr ? gradient : outside_memory(work);
    double log_outside = -std::numeric_limits<double>::infinity();
    if (reads_outside(request_.tail)) {
      gather(row, pool, outside, student);
      log_outside = exponentiate(pool, outside, work);
    } else {
      gather_named(row, student);
    }
    if (stop_.asked()) return 0;
    const double log_captured = read_teacher(row, work, teacher);
    coarse.student = student;
    coarse.teacher = teacher;
    // Truncation has a gradient outside, though no coarse column for it.
    coarse.student_gradient = gradient == nullptr ? nullptr : work.gradient.template reserve<double>(slots() + 1);
    if (has_tail_column(request_.tail)) {
      student[slots()] = log_outside * request_.student_temperature;
      teacher[slots()] = teacher_tail(request_.tail, log_captured, all_named(row));
    }
    const double value = request_.tail == KULLBACK_TAIL_TRUNCATE
                             ? truncated(row, pool, coarse, {scale, slope}, log_captured, log_outside)
                             : SoftmaxRows<double>(coarse, stop_).value(0, pool);
    if (stop_.asked()) return 0;
    if (gradient != nullptr) scatter(row, pool, work, static_cast<const double*>(coarse.student_gradient), gradient);
    student_.clear(row, gradient == nullptr ? 0 : request_.columns);
    work.trim();
    return value;
  }

 private:
  int64_t slots() const { return request_.teacher_stride; }
  const int32_t* ids_of(int64_t row) const {
    return request_.teacher_ids + (request_.one_teacher != 0 ? 0 : row * slots());
  }
  bool all_named(int64_t row) const {
    const int32_t* const ids = ids_of(row);
    return std::count_if(ids, ids + slots(), [](int32_t id) { return id >= 0; }) == request_.columns;
  }
  const T* log_probs_of(int64_t row, TopKWorkspace<T>& work) const {
    T* const log_probs = work.teacher_log_probs.template reserve<T>(slots());
    teacher_.fetch(kernels_, row, 0, slots(), log_probs);
    return log_probs;
  }
  T* outside_memory(TopKWorkspace<T>& work) const {
    if (!reads_outside(request_.tail)) return nullptr;
    return work.outside_exponentials.template reserve<T>(request_.columns);
  }

  template <class Body>
  void for_each_segment(ThreadPool* pool, const Body& body) {
    kullback::for_each_segment(request_.columns, pool, stop_, body);
  }

  // The row as one of a call of its own, in float64, with the same factors and statistics.
  kullback_softmax_divergence_request coarse_request(int64_t row) const {
    kullback_softmax_divergence_request coarse = request_;
    const auto shift = [row](auto*& array) {
      if (array != nullptr) array += row;
    };
    coarse.dtype = KULLBACK_FLOAT64;
    coarse.rows = 1;
    coarse.columns = coarse.student_stride = coarse.teacher_stride = coarse_columns(request_);
    coarse.tail = KULLBACK_NO_TAIL;
    coarse.student_log_prior = nullptr;
    coarse.student_gradient = nullptr;
    coarse.accumulate = 0;
    shift(coarse.row_weights);
    shift(coarse.row_mask);
    shift(coarse.grad_outputs);
    shift(coarse.divergences);
    shift(coarse.student_log_sum_exp);
    shift(coarse.teacher_log_sum_exp);
    shift(coarse.student_entropy);
    shift(coarse.teacher_entropy);
    shift(coarse.argmax_agreement);
    return coarse;
  }

  // The student's logits, the named ones apart.
  void gather(int64_t row, ThreadPool* pool, T* outside, double* named) {
    for_each_segment(
        pool, [&](int64_t begin, int64_t columns) { student_.fetch(kernels_, row, begin, columns, outside + begin); });
    const int32_t* const ids = ids_of(row);
    for (int64_t slot = 0; slot < slots(); ++slot) {
      const T nothing = -std::numeric_limits<T>::infinity();
      named[slot] = static_cast<double>(ids[slot] < 0 ? nothing : std::exchange(outside[ids[slot]], nothing));
    }
  }

  // Of the student's logits, only the named ones.
  void gather_named(int64_t row, double* named) const {
    const int32_t* const ids = ids_of(row);
    for (int64_t slot = 0; slot < slots(); ++slot) {
      T logit = -std::numeric_limits<T>::infinity();
      if (ids[slot] >= 0) student_.fetch(kernels_, row, ids[slot], 1, &logit);
      named[slot] = static_cast<double>(logit);
    }
  }

  // Exponentials in the place of logits; returns the log-sum-exp.
  double exponentiate(ThreadPool* pool, T* outside, TopKWorkspace<T>& work) {
    SoftmaxRow<T>& side = work.outside;
    side.logits = side.exponentials = outside;
    side.scale = softmax_scale<T>(request_.student_temperature);
    side.prepare(request_.columns);
    for_each_segment(pool, [&](int64_t begin, int64_t columns) {
      ExponentialsTask<T> task;
      task.logits = task.exponentials = outside + begin;
      task.columns = columns;
      task.scale = side.scale;
      kernels_.largest(task.logits, columns, task.maximum);
      kernels_.exponentials(task);
      side.take(static_cast<size_t>(begin / kSegmentColumns), task);
    });
    if (is_empty(side)) return -std::numeric_limits<double>::infinity();
    side.merge();
    return side.log_sum_exp();
  }

  // No column above -inf, which is no softmax, but may well be all that there is outside.
  static bool is_empty(const SoftmaxRow<T>& side) {
    return std::all_of(side.sums.begin(), side.sums.end(), [](double sum) { return sum == 0; });
  }

  // The teacher's log-probabilities; returns the logarithm of their probabilities' sum.
  double read_teacher(int64_t row, TopKWorkspace<T>& work, double* named) const {
    const int32_t* const ids = ids_of(row);
    const T* const log_probs = log_probs_of(row, work);
    const double nothing = -std::numeric_limits<double>::infinity();
    double largest = nothing, sum = 0;
    for (int64_t slot = 0; slot < slots(); ++slot) {
      named[slot] = ids[slot] < 0 ? nothing : static_cast<double>(log_probs[slot]);
      largest = std::max(largest, named[slot]);
    }
    if (largest == nothing) return nothing;
    for (int64_t slot = 0; slot < slots(); ++slot) sum += std::exp(named[slot] - largest);
    return largest + std::log(sum);
  }

  // The terms of the named columns as they are, from those of the rows that are normalised on them.
  double truncated(int64_t row, ThreadPool* pool, kullback_softmax_divergence_request coarse, RowFactors factors,
                   double log_captured, double log_outside) {
    double on_support = 0, log_support = 0;
    coarse.divergences = &on_support;
    if (coarse.student_log_sum_exp == nullptr) coarse.student_log_sum_exp = &log_support;
    SoftmaxRows<double>(coarse, stop_).value(0, pool);
    if (stop_.asked()) return 0;
    log_support = *coarse.student_log_sum_exp;
    const Truncation truncation =
        truncation_of(request_.divergence, on_support, log_captured, log_support, log_outside);
    const double divergence = truncation.factor * (on_support + truncation.constant);
    if (request_.divergences != nullptr) request_.divergences[row] = divergence;
    if (auto* const gradient = static_cast<double*>(coarse.student_gradient)) {
      const auto* const student = static_cast<const double*>(coarse.student);
      const double pull = truncation.pull * factors.slope / request_.student_temperature;
      for (int64_t slot = 0; slot < slots(); ++slot) {
        const double q = std::exp(student[slot] / request_.student_temperature - log_support);
        gradient[slot] = truncation.factor * (gradient[slot] + pull * q);
      }
      gradient[slots()] = -truncation.factor * pull;
    }
    return factors.scale == 0 ? 0 : factors.scale * divergence;
  }

  // From the coarse gradient to that of the row: the tail's over all columns outside, which hold their exponentials.
  void scatter(int64_t row, ThreadPool* pool, const TopKWorkspace<T>& work, const double* coarse, T* gradient) {
    const SoftmaxRow<T>& side = work.outside;
    const bool outside = reads_outside(request_.tail) && !is_empty(side);
    const int32_t* const ids = ids_of(row);
    for_each_segment(pool, [&](int64_t begin, int64_t columns) {
      if (!outside) return std::fill_n(gradient + begin, columns, T{0}), void();
      const T factor = static_cast<T>(coarse[slots()] * side.factor(begin));
      kernels_.correct_gradient({columns, gradient + begin, T{0}, factor, gradient + begin});
    });
    for (int64_t slot = 0; slot < slots(); ++slot) {
      if (ids[slot] >= 0) gradient[ids[slot]] = static_cast<T>(coarse[slot]);
    }
    for_each_segment(pool,
                     [&](int64_t begin, int64_t columns) { student_.emit(kernels_, row, begin, columns, gradient); });
  }

  const kullback_softmax_divergence_request& request_;
  const StoredSide<T> student_, teacher_;
  const Kernels<T>& kernels_;
  Stop& stop_;
};

}  // namespace kullback

#endif  // KULLBACK_CPU_SOFTMAX_DIVERGENCE_TOP_K_H
