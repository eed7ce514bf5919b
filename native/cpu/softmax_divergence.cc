// The driver of softmax_divergence on the CPU: rows over threads, or the segments of few long rows over threads. A row
// is softmax_divergence_row.h's, the arithmetic on its columns softmax_divergence.inl.h's.
#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

#include "../math/sum.h"
#include "backend.h"
#include "dispatch.h"
#include "softmax_divergence_generated.h"

namespace kullback {
namespace {

using Request = kullback_softmax_divergence_request;

// Below this many logits of one side the work is done before a second thread could wake up.
constexpr int64_t kParallelColumns = 1 << 15;
// Up to here scratch memory is small enough to be kept, and looking whether it is would cost a short row too much.
constexpr int64_t kKeptColumns = 1 << 20;
// What one thread takes at a time where rows are short.
constexpr int64_t kColumnsPerTask = 1 << 14;

template <class T>
class SoftmaxDivergence {
 public:
  SoftmaxDivergence(const Request& request, const kullback_control* control)
      : request_(request),
        student_(StoredSide<T>::student(request)),
        teacher_(StoredSide<T>::teacher(request)),
        divergence_(divergence_of(request.divergence, request.parameter)),
        kernels_(kernels_of<T>(*active_instruction_set().kernels)),
        stop_(control) {}

  kullback_status run() {
    if (teacher_.probabilities() && !sum_to_one()) return stop_.asked() ? KULLBACK_CANCELLED : KULLBACK_BAD_VALUES;
    std::vector<double> values(static_cast<size_t>(request_.rows));
    ThreadPool& pool = ThreadPool::instance();
    const int64_t threads = pool.thread_count();
    if (!alone() && request_.columns > kSegmentColumns && request_.rows < 2 * threads) {
      for (int64_t row = 0; row < request_.rows; ++row) values[static_cast<size_t>(row)] = row_value(row, &pool);
    } else {
      for_each_row(request_.rows, [&](int64_t row) { values[static_cast<size_t>(row)] = row_value(row, nullptr); });
    }
    if (stop_.asked()) return KULLBACK_CANCELLED;
    if (request_.values != nullptr) std::copy(values.begin(), values.end(), request_.values);
    if (request_.value != nullptr) *request_.value = sum_pairwise(values.data(), request_.rows);
    return KULLBACK_OK;
  }

 private:
  bool alone() const {
    return ThreadPool::instance().thread_count() <= 1 || request_.rows * request_.columns < kParallelColumns;
  }

  // body(row) for each row, some at a time on one thread.
  template <class Body>
  void for_each_row(int64_t rows, const Body& body) const {
    const int64_t rows_per_task = std::max<int64_t>(1, kColumnsPerTask / request_.columns);
    const auto task = [&](int64_t index) {
      const int64_t end = std::min(rows, (index + 1) * rows_per_task);
      for (int64_t row = index * rows_per_task; row < end; ++row) body(row);
    };
    const int64_t tasks = ceil_divide(rows, rows_per_task);
    if (alone()) {
      for (int64_t index = 0; index < tasks; ++index) task(index);
    } else {
      ThreadPool::instance().parallel_for(tasks, task);
    }
  }

  // Before anything is written: whether all rows of the teacher's that count are probabilities.
  bool sum_to_one() {
    std::atomic<bool> all{true};
    const int64_t rows = request_.rows == 0 ? 0 : teacher_.rows(request_.rows);
    for_each_row(rows, [&](int64_t row) {
      if (stop_.asked() || (request_.one_teacher == 0 && left_out(row))) return;
      Scratch& scratch = Workspace<T>::of_this_thread().teacher_logits;
      if (!teacher_.sums_to_one(kernels_, row, scratch)) all.store(false, std::memory_order_relaxed);
    });
    return all.load() && !stop_.asked();
  }

  bool left_out(int64_t row) const { return request_.row_mask != nullptr && request_.row_mask[row] == 0; }

  // A row's share of the result: writes its gradients and statistics, returns its weighted divergence.
  double row_value(int64_t row, ThreadPool* pool) {
    if (stop_.asked()) return 0;
    if (left_out(row)) {
      student_.clear(row, 0);
      teacher_.clear(row, 0);
      clear_statistics(row);
      return 0;
    }
    Workspace<T>& work = Workspace<T>::of_this_thread();
    const double weight = request_.row_weights == nullptr ? 1 : request_.row_weights[row];
    const double scale = weight * request_.scale;
    const double slope =
        scale == 0 ? 0 : scale * (request_.grad_outputs == nullptr ? request_.grad_output : request_.grad_outputs[row]);
    GeneratedRowDivergence<T> divergence_of_row(request_, student_, teacher_, kernels_, stop_, pool, work, divergence_,
                                                row);
    T* const student_gradient = slope == 0 ? nullptr : student_.gradient(row, work.student_gradient);
    T* const teacher_gradient = slope == 0 ? nullptr : teacher_.gradient(row, work.teacher_gradient);
    const bool differentiate = student_gradient != nullptr || teacher_gradient != nullptr;
    double divergence;
    if (generated()) {
      divergence = divergence_of_row.generated(student_gradient, teacher_gradient, slope);
    } else if (differentiate || divergence_of_row.wants_entropy()) {
      divergence_of_row.take_exponentials(memory_for(student_gradient, work.student_exponentials),
                                          memory_for(teacher_gradient, work.teacher_exponentials));
      if (stop_.asked()) return 0;
      divergence_of_row.write_entropies();
      divergence = divergence_of_row.divergence_and_gradients(student_gradient, teacher_gradient, slope);
    } else {
      divergence = divergence_of_row.value_alone();
    }
    if (stop_.asked()) return 0;
    if (differentiate && (student_.emits() || teacher_.emits())) {
      divergence_of_row.emit(student_gradient, teacher_gradient);
    }
    student_.clear(row, slope == 0 ? 0 : request_.columns);
    teacher_.clear(row, slope == 0 ? 0 : request_.columns);
    write_statistics(work, row);
    if (request_.columns > kKeptColumns) work.trim();
    // Of nothing, the last rounding may leave less than nothing.
    if (divergence < 0) divergence = 0;
    if (request_.divergences != nullptr) request_.divergences[row] = divergence;
    return scale == 0 ? 0 : scale * divergence;
  }

  bool generated() const {
    return divergence_.generator != Generator::kKullbackLeibler && divergence_.generator != Generator::kCrossEntropy;
  }

  T* memory_for(T* gradient, Scratch& scratch) const {
    return gradient != nullptr ? gradient : scratch.template reserve<T>(request_.columns);
  }

  void write_statistics(const Workspace<T>& work, int64_t row) {
    if (request_.student_log_sum_exp != nullptr) request_.student_log_sum_exp[row] = work.student.log_sum_exp();
    if (request_.teacher_log_sum_exp != nullptr) request_.teacher_log_sum_exp[row] = work.teacher.log_sum_exp();
    if (request_.argmax_agreement != nullptr) {
      const int64_t student = work.student.argmax(request_.columns), teacher = work.teacher.argmax(request_.columns);
      request_.argmax_agreement[row] = student >= 0 && student == teacher ? 1 : 0;
    }
  }

  void clear_statistics(int64_t row) {
    for (double* statistic : {request_.divergences, request_.student_log_sum_exp, request_.teacher_log_sum_exp,
                              request_.student_entropy, request_.teacher_entropy}) {
      if (statistic != nullptr) statistic[row] = 0;
    }
    if (request_.argmax_agreement != nullptr) request_.argmax_agreement[row] = 0;
  }

  const Request& request_;
  const StoredSide<T> student_, teacher_;
  const Divergence divergence_;
  const Kernels<T>& kernels_;
  Stop stop_;
};

}  // namespace

kullback_status softmax_divergence_cpu(const Request* request, const kullback_control* control) {
  try {
    switch (request->dtype) {
      case KULLBACK_FLOAT32:
      case KULLBACK_FLOAT16:
      case KULLBACK_BFLOAT16:
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
