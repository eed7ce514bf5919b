// The driver of linear_softmax_divergence on the CPU: rows in chunks that the memory budget allows. Of each chunk
// matrix_product makes logits, softmax_divergence (or token_log_probs, where there are labels) writes the gradient over
// them, and two more products make the gradients of hidden states and weights out of that.
//
// What a chunk adds to the weights' gradient goes on with the chain of additions where the chunk before has ended, so
// results do not depend on where chunks begin.
#include "linear_softmax_divergence.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "backend.h"
// After what includes kullback_backend.h.
#include "../math/linear_rows.h"
#include "../math/sum.h"
#include "dispatch.h"
#include "element_types.h"
#include "matrix_product.h"
#include "thread_pool.h"

namespace kullback {
namespace {

using Request = kullback_linear_softmax_divergence_request;

// Rows of the vocabulary's length that one thread may hold for the row that it works on: softmax_divergence_row.h's
// Workspace has a copy of logits, exponentials of both sides, and those of a mixture.
constexpr int64_t kRowsOfThread = 4;
// Of the bias' gradient, what one thread sums.
constexpr int64_t kSumColumns = 1024;

template <class T>
class LinearSoftmaxDivergence {
 public:
  LinearSoftmaxDivergence(const Request& request, const kullback_control* control)
      : request_(request),
        control_(control),
        columns_(request.columns),
        width_(request.student.width),
        kernels_(kernels_of<T>(*active_instruction_set().kernels)),
        stop_(control),
        product_(kernels_, stop_),
        rows_(request) {}

  kullback_status run() {
    expect_products();
    const int64_t least = fixed_bytes() + bytes_of_row();
    const int64_t budget =
        request_.memory_budget > 0 ? request_.memory_budget : std::max<int64_t>(KULLBACK_MEMORY_BUDGET, least);
    if (budget < least) {
      *request_.value = static_cast<double>(least);
      return KULLBACK_SMALL_BUDGET;
    }
    const int64_t rows_of_chunk = rows_.rows_of_chunk(budget - fixed_bytes(), bytes_of_row());
    reserve(rows_of_chunk);
    clear_gradients();
    for (int64_t first = 0; first < rows_.count(); first += rows_of_chunk) {
      const kullback_status status = run_chunk(first, std::min(rows_of_chunk, rows_.count() - first));
      if (status != KULLBACK_OK) return status;
      if (stop_.asked()) return KULLBACK_CANCELLED;
    }
    std::transform(bias_sums_.begin(), bias_sums_.end(), static_cast<T*>(request_.bias_gradient),
                   [](double sum) { return static_cast<T>(sum); });
    if (request_.values != nullptr) std::copy(rows_.values().begin(), rows_.values().end(), request_.values);
    *request_.value = sum_pairwise(rows_.values().data(), request_.rows);
    return KULLBACK_OK;
  }

 private:
  bool has_linear_teacher() const { return request_.teacher.hidden != nullptr; }
  bool copies_hidden() const {
    return rows_.any_left_out() || (rows_.any_still() && request_.weights_gradient != nullptr);
  }
  bool has_teacher_chunk() const {
    return has_linear_teacher() || (request_.teacher_logits != nullptr && rows_.any_left_out());
  }

  void expect_products() {
    product_.expect(rows_.count(), columns_, width_);
    if (has_linear_teacher()) product_.expect(rows_.count(), columns_, request_.teacher.width);
    if (request_.hidden_gradient != nullptr) product_.expect(rows_.count(), width_, columns_);
    if (request_.weights_gradient != nullptr) product_.expect(columns_, width_, rows_.count());
  }

  // What is held whatever the chunk.
  int64_t fixed_bytes() const {
    const int64_t threads = std::min<int64_t>(std::max(1, ThreadPool::instance().thread_count()), rows_.count());
    const int64_t rows_of_threads = threads * kRowsOfThread * columns_ * static_cast<int64_t>(sizeof(T));
    const int64_t sums = request_.bias_gradient == nullptr ? 0 : columns_ * static_cast<int64_t>(sizeof(double));
    return product_.bytes() + rows_of_threads + sums + rows_.bytes();
  }

  int64_t bytes_of_row() const {
    int64_t elements = columns_;
    if (has_teacher_chunk()) elements += columns_;
    if (copies_hidden()) elements += width_;
    if (has_linear_teacher() && rows_.any_left_out()) elements += request_.teacher.width;
    return elements * static_cast<int64_t>(sizeof(T)) + LinearRows::kBytesOfRow;
  }

  void reserve(int64_t rows) {
    logits_ = logits_memory_.template reserve<T>(rows * columns_);
    if (has_teacher_chunk()) teacher_ = teacher_memory_.template reserve<T>(rows * columns_);
    if (copies_hidden()) hidden_ = hidden_memory_.template reserve<T>(rows * width_);
    if (has_linear_teacher() && rows_.any_left_out()) {
      teacher_hidden_ = teacher_hidden_memory_.template reserve<T>(rows * request_.teacher.width);
    }
  }

  // The gradients of what no row changes.
  void clear_gradients() {
    if (request_.hidden_gradient != nullptr && rows_.any_left_out()) {
      std::memset(request_.hidden_gradient, 0, static_cast<size_t>(request_.rows * width_) * sizeof(T));
    }
    if (request_.weights_gradient != nullptr && rows_.count() == 0) {
      std::memset(request_.weights_gradient, 0, static_cast<size_t>(columns_ * width_) * sizeof(T));
    }
    if (request_.bias_gradient != nullptr) bias_sums_.assign(static_cast<size_t>(columns_), 0.0);
  }

  // Rows of the chunk side by side: where they lie, or copied where some between them are left out.
  const T* together(const void* from, int64_t width, int64_t first, bool copies, T* to) const {
    if (!copies) return static_cast<const T*>(from) + first * width;
    rows_.gather(from, width, to);
    return to;
  }

  kullback_status run_chunk(int64_t first, int64_t rows) {
    rows_.begin_chunk(first, rows);
    const T* const hidden = together(request_.student.hidden, width_, first, copies_hidden(), hidden_);
    make_logits(request_.student, hidden, rows, logits_);
    const kullback_status status = request_.labels != nullptr ? compare_labels() : compare(first, rows);
    if (status != KULLBACK_OK) return status;
    rows_.end_chunk();
    if (rows_.differentiates()) differentiate(first, rows, hidden);
    return KULLBACK_OK;
  }

  void make_logits(const kullback_linear_logits& side, const T* hidden, int64_t rows, T* logits) {
    product_.multiply(rows, columns_, side.width, {hidden, side.width, 1},
                      {static_cast<const T*>(side.weights), side.width, 1}, {static_cast<const T*>(side.bias), 0},
                      SumOrder::kInParts, logits, columns_);
  }

  kullback_status compare(int64_t first, int64_t rows) {
    const T* teacher = teacher_;
    if (has_linear_teacher()) {
      const T* const hidden =
          together(request_.teacher.hidden, request_.teacher.width, first, rows_.any_left_out(), teacher_hidden_);
      make_logits(request_.teacher, hidden, rows, teacher_);
    } else {
      teacher = together(request_.teacher_logits, columns_, first, rows_.any_left_out(), teacher_);
    }
    const kullback_softmax_divergence_request request = rows_.divergence(logits_, teacher);
    return softmax_divergence_cpu(&request, control_);
  }

  kullback_status compare_labels() {
    const kullback_token_log_probs_request request = rows_.log_probs(logits_);
    return token_log_probs_cpu(&request, control_);
  }

  // Out of the logits' gradient, which has taken their place.
  void differentiate(int64_t first, int64_t rows, const T* hidden) {
    if (request_.bias_gradient != nullptr) {
      ThreadPool::instance().parallel_for(ceil_divide(columns_, kSumColumns), [&](int64_t index) {
        const int64_t begin = index * kSumColumns;
        kernels_.column_sums(
            {logits_ + begin, columns_, rows, std::min(kSumColumns, columns_ - begin), bias_sums_.data() + begin});
      });
    }
    if (request_.weights_gradient != nullptr) {
      rows_.clear_still(hidden_, width_);
      T* const gradient = static_cast<T*>(request_.weights_gradient);
      product_.multiply(columns_, width_, rows, {logits_, 1, columns_}, {hidden, 1, width_},
                        {first == 0 ? nullptr : gradient, width_}, SumOrder::kInAChain, gradient, width_);
    }
    if (request_.hidden_gradient != nullptr) {
      // The copies have done their work.
      T* const gradient = rows_.any_left_out() ? hidden_ : static_cast<T*>(request_.hidden_gradient) + first * width_;
      product_.multiply(rows, width_, columns_, {logits_, columns_, 1},
                        {static_cast<const T*>(request_.student.weights), 1, width_}, {nullptr, 0}, SumOrder::kInParts,
                        gradient, width_);
      rows_.clear_still(gradient, width_);
      if (rows_.any_left_out()) rows_.scatter(gradient, width_, request_.hidden_gradient);
    }
  }

  const Request& request_;
  const kullback_control* control_;
  const int64_t columns_, width_;
  const Kernels<T>& kernels_;
  Stop stop_;
  MatrixProduct<T> product_;
  LinearRows rows_;

  // Of a chunk.
  Scratch logits_memory_, teacher_memory_, hidden_memory_, teacher_hidden_memory_;
  T *logits_ = nullptr, *teacher_ = nullptr, *hidden_ = nullptr, *teacher_hidden_ = nullptr;
  std::vector<double> bias_sums_;
};

}  // namespace

kullback_status linear_softmax_divergence_cpu(const Request* request, const kullback_control* control) {
  return in_full_width(request->dtype, [&]<class T>() { return LinearSoftmaxDivergence<T>(*request, control).run(); });
}

}  // namespace kullback
