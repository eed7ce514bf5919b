// softmax_divergence_side: one side (student or teacher) of all rows, as the request has it. Logits of the type that is
// computed in are read where they lie, and gradients of it written where they belong; all else goes through memory of
// the thread's own, row by row.
#ifndef KULLBACK_CPU_SOFTMAX_DIVERGENCE_SIDE_H
#define KULLBACK_CPU_SOFTMAX_DIVERGENCE_SIDE_H

#include <cstring>
#include <vector>

#include "../math/dtype.h"
#include "../math/log_ratio.h"
#include "kernels.h"
#include "scratch.h"

namespace kullback {

template <class T>
class StoredSide {
 public:
  static StoredSide student(const kullback_softmax_divergence_request& request) {
    StoredSide side(request, request.student, request.student_stride, request.student_gradient,
                    request.student_temperature, request.student_log_prior);
    side.finish();
    return side;
  }
  static StoredSide teacher(const kullback_softmax_divergence_request& request) {
    StoredSide side(request, request.teacher, request.teacher_stride, request.teacher_gradient,
                    request.teacher_temperature, request.teacher_log_prior);
    side.repeated_ = request.one_teacher != 0;
    side.probabilities_ = request.teacher_in_probabilities != 0;
    side.finish();
    return side;
  }

  double temperature() const { return temperature_; }
  bool probabilities() const { return probabilities_; }
  bool wants_gradient() const { return gradient_ != nullptr; }

  // The row's logits; `scratch` holds them where they must be made first, by stage().
  T* logits(int64_t row, Scratch& scratch) const {
    if (staged_) return scratch.template reserve<T>(columns_);
    return static_cast<T*>(const_cast<void*>(numbers_of(row)));
  }
  void stage(const Kernels<T>& kernels, int64_t row, int64_t begin, int64_t columns, T* logits) const {
    if (staged_) fetch(kernels, row, begin, columns, logits + begin);
  }
  // Logits from column `begin` on, which need not lie where they are used.
  void fetch(const Kernels<T>& kernels, int64_t row, int64_t begin, int64_t columns, T* to) const {
    StageTask<T> task;
    task.from = static_cast<const char*>(numbers_of(row)) + begin * element_bytes(dtype_);
    task.dtype = dtype_;
    task.probabilities = probabilities_;
    task.log_prior = log_prior_.empty() ? nullptr : log_prior_.data() + begin;
    task.temperature = static_cast<T>(temperature_);
    task.columns = columns;
    task.to = to;
    kernels.stage(task);
  }

  // Where the row's gradient is computed: `scratch` if it is to be emitted from there; NULL where none is wanted.
  T* gradient(int64_t row, Scratch& scratch) const {
    if (gradient_ == nullptr) return nullptr;
    if (emitted_) return scratch.template reserve<T>(columns_);
    return static_cast<T*>(gradient_of(row));
  }
  bool emits() const { return gradient_ != nullptr && emitted_; }
  void emit(const Kernels<T>& kernels, int64_t row, int64_t begin, int64_t columns, const T* gradient) const {
    if (!emits()) return;
    char* const to = static_cast<char*>(gradient_of(row)) + begin * element_bytes(dtype_);
    kernels.emit({gradient + begin, columns, dtype_, accumulate_, to});
  }
  // Zeros from column `begin` on, unless that is nothing to be added.
  void clear(int64_t row, int64_t begin) const {
    if (gradient_ == nullptr || accumulate_ || begin == stride_) return;
    const int64_t bytes = element_bytes(dtype_);
    std::memset(static_cast<char*>(gradient_of(row)) + begin * bytes, 0,
                static_cast<size_t>((stride_ - begin) * bytes));
  }

  // Whether a row's numbers are probabilities that sum to 1 as nearly as their rounding lets them.
  bool sums_to_one(const Kernels<T>& kernels, int64_t row, Scratch& scratch) const {
    ProbabilityTask<T> task;
    task.from = numbers_of(row);
    task.dtype = dtype_;
    task.columns = columns_;
    task.block = scratch.template reserve<T>(kBlockColumns);
    kernels.probabilities(task);
    return !task.negative && task.sum - 1 <= tolerance() && 1 - task.sum <= tolerance();
  }
  // What probabilities may be off by.
  double tolerance() const { return probability_tolerance(dtype_); }

 private:
  StoredSide(const kullback_softmax_divergence_request& request, const void* numbers, int64_t stride, void* gradient,
             double temperature, const double* log_prior)
      : numbers_(numbers),
        gradient_(gradient),
        columns_(request.columns),
        stride_(stride),
        dtype_(request.dtype),
        temperature_(temperature),
        accumulate_(request.accumulate != 0),
        repeated_(false),
        probabilities_(false) {
    if (log_prior == nullptr) return;
    log_prior_.resize(static_cast<size_t>(columns_));
    for (size_t i = 0; i < log_prior_.size(); ++i) log_prior_[i] = static_cast<T>(log_prior[i]);
  }

  void finish() {
    const bool halves = element_bytes(dtype_) == 2;
    // Gradients written over logits would be read as such by a later pass.
    staged_ = halves || probabilities_ || !log_prior_.empty() || (gradient_ == numbers_ && gradient_ != nullptr);
    emitted_ = halves || accumulate_;
  }

  const void* numbers_of(int64_t row) const {
    const int64_t offset = repeated_ ? 0 : row * stride_;
    return static_cast<const char*>(numbers_) + offset * element_bytes(dtype_);
  }
  void* gradient_of(int64_t row) const { return static_cast<char*>(gradient_) + row * stride_ * element_bytes(dtype_); }

  const void* numbers_;
  void* gradient_;
  int64_t columns_, stride_;
  kullback_dtype dtype_;
  double temperature_;
  bool accumulate_, repeated_, probabilities_, staged_, emitted_;
  std::vector<T> log_prior_;
};

}  // namespace kullback

#endif  // KULLBACK_CPU_SOFTMAX_DIVERGENCE_SIDE_H
