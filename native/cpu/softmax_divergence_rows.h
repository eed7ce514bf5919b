// softmax_divergence_rows: all rows whose sides have one and the same columns, each with its weight and its statistics.
#ifndef KULLBACK_CPU_SOFTMAX_DIVERGENCE_ROWS_H
#define KULLBACK_CPU_SOFTMAX_DIVERGENCE_ROWS_H

#include "dispatch.h"
#include "softmax_divergence_generated.h"

namespace kullback {

// Up to here scratch memory is small enough to be kept, and looking whether it is would cost a short row too much.
constexpr int64_t kKeptColumns = 1 << 20;

// What a row's divergence and its derivatives are multiplied by.
struct RowFactors {
  double scale, slope;
};
inline RowFactors row_factors(const kullback_softmax_divergence_request& request, int64_t row) {
  const double scale = (request.row_weights == nullptr ? 1 : request.row_weights[row]) * request.scale;
  const double grad_output = request.grad_outputs == nullptr ? request.grad_output : request.grad_outputs[row];
  return {scale, scale == 0 ? 0 : scale * grad_output};
}

inline bool left_out(const kullback_softmax_divergence_request& request, int64_t row) {
  return request.row_mask != nullptr && request.row_mask[row] == 0;
}

template <class T>
class SoftmaxRows {
 public:
  SoftmaxRows(const kullback_softmax_divergence_request& request, Stop& stop)
      : request_(request),
        student_(StoredSide<T>::student(request)),
        teacher_(StoredSide<T>::teacher(request)),
        divergence_(divergence_of(request.divergence, request.parameter)),
        kernels_(kernels_of<T>(*active_instruction_set().kernels)),
        stop_(stop) {}

  // Whether teachers must be looked at before anything is written, and what it says of one.
  bool must_be_proper() const { return teacher_.probabilities(); }
  bool is_proper(int64_t row) const {
    return teacher_.sums_to_one(kernels_, row, Workspace<T>::of_this_thread().teacher_logits);
  }

  // A row's share of the result: writes its gradients and statistics, returns its weighted divergence.
  double value(int64_t row, ThreadPool* pool) {
    if (stop_.asked()) return 0;
    if (left_out(request_, row)) {
      student_.clear(row, 0);
      teacher_.clear(row, 0);
      clear_statistics(row);
      return 0;
    }
    Workspace<T>& work = Workspace<T>::of_this_thread();
    const auto [scale, slope] = row_factors(request_, row);
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

 private:
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

  const kullback_softmax_divergence_request& request_;
  const StoredSide<T> student_, teacher_;
  const Divergence divergence_;
  const Kernels<T>& kernels_;
  Stop& stop_;
};

}  // namespace kullback

#endif  // KULLBACK_CPU_SOFTMAX_DIVERGENCE_ROWS_H
