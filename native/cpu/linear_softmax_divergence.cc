// The driver of linear_softmax_divergence on the CPU: rows in chunks that the memory budget allows. Of each chunk
// matrix_product makes logits, softmax_divergence (or token_log_probs, where there are labels) writes the gradient over
// them, and two more products make the gradients of hidden states and weights out of that.
//
// What a chunk adds to the weights' gradient goes on with the chain of additions where the chunk before has ended, so
// results do not depend on where chunks begin.
#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "../math/sum.h"
#include "backend.h"
#include "dispatch.h"
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
        product_(kernels_, stop_) {}

  kullback_status run() {
    std::vector<double> values(static_cast<size_t>(request_.rows), 0.0);
    choose_rows();
    const int64_t rows = static_cast<int64_t>(rows_.size());
    if (rows > 0) {
      expect_products();
      const int64_t least = fixed_bytes() + bytes_of_row();
      const int64_t budget =
          request_.memory_budget > 0 ? request_.memory_budget : std::max<int64_t>(KULLBACK_MEMORY_BUDGET, least);
      if (budget < least) {
        *request_.value = static_cast<double>(least);
        return KULLBACK_SMALL_BUDGET;
      }
      const int64_t most = std::min(rows, (budget - fixed_bytes()) / bytes_of_row());
      const int64_t chunks = ceil_divide(rows, most);
      reserve(ceil_divide(rows, chunks));
    }
    clear_gradients();
    for (int64_t first = 0; first < rows && !stop_.asked(); first += chunk_rows_) {
      const kullback_status status = run_chunk(first, std::min(chunk_rows_, rows - first), values);
      if (status != KULLBACK_OK) return status;
    }
    if (stop_.asked()) return KULLBACK_CANCELLED;
    if (request_.bias_gradient != nullptr) {
      std::transform(bias_sums_.begin(), bias_sums_.end(), static_cast<T*>(request_.bias_gradient),
                     [](double sum) { return static_cast<T>(sum); });
    }
    if (request_.values != nullptr) std::copy(values.begin(), values.end(), request_.values);
    *request_.value = sum_pairwise(values.data(), request_.rows);
    return KULLBACK_OK;
  }

 private:
  bool differentiates() const {
    return request_.hidden_gradient != nullptr || request_.weights_gradient != nullptr ||
           request_.bias_gradient != nullptr;
  }
  double weight_of(int64_t row) const { return request_.row_weights == nullptr ? 1 : request_.row_weights[row]; }
  // What the derivatives of the row's divergence are multiplied by, but for its weight and the scale.
  double grad_output_of(int64_t row) const {
    return request_.grad_outputs == nullptr ? request_.grad_output : request_.grad_outputs[row];
  }
  double slope_of(int64_t row) const { return weight_of(row) * request_.scale * grad_output_of(row); }
  // Rows that add nothing are left out of products, where a 0 times what they hold may be a NaN.
  void choose_rows() {
    for (int64_t row = 0; row < request_.rows; ++row) {
      if (request_.row_mask != nullptr && request_.row_mask[row] == 0) continue;
      if (weight_of(row) * request_.scale == 0) continue;
      rows_.push_back(row);
      still_ = still_ || slope_of(row) == 0;
    }
  }

  bool left_out() const { return static_cast<int64_t>(rows_.size()) != request_.rows; }
  bool copies_hidden() const { return left_out() || (still_ && request_.weights_gradient != nullptr); }
  bool has_teacher_chunk() const {
    return request_.teacher.hidden != nullptr || (request_.teacher_logits != nullptr && left_out());
  }

  void expect_products() {
    const int64_t rows = static_cast<int64_t>(rows_.size());
    product_.expect(rows, columns_, width_);
    if (request_.teacher.hidden != nullptr) product_.expect(rows, columns_, request_.teacher.width);
    if (request_.hidden_gradient != nullptr) product_.expect(rows, width_, columns_);
    if (request_.weights_gradient != nullptr) product_.expect(columns_, width_, rows);
  }

  // What is held whatever the chunk.
  int64_t fixed_bytes() const {
    const int64_t rows = static_cast<int64_t>(rows_.size());
    const int64_t threads = std::min<int64_t>(std::max(1, ThreadPool::instance().thread_count()), rows);
    const int64_t rows_of_threads = threads * kRowsOfThread * columns_ * static_cast<int64_t>(sizeof(T));
    const int64_t sums = request_.bias_gradient == nullptr ? 0 : columns_ * static_cast<int64_t>(sizeof(double));
    return product_.bytes() + rows_of_threads + sums +
           request_.rows * static_cast<int64_t>(sizeof(double) + sizeof(int64_t));
  }

  int64_t bytes_of_row() const {
    int64_t elements = columns_;
    if (has_teacher_chunk()) elements += columns_;
    if (copies_hidden()) elements += width_;
    if (request_.teacher.hidden != nullptr && left_out()) elements += request_.teacher.width;
    // Its value, twice, its weight, its slope and its label.
    return elements * static_cast<int64_t>(sizeof(T)) + 5 * static_cast<int64_t>(sizeof(double));
  }

  void reserve(int64_t rows) {
    chunk_rows_ = rows;
    logits_ = logits_memory_.template reserve<T>(rows * columns_);
    if (has_teacher_chunk()) teacher_ = teacher_memory_.template reserve<T>(rows * columns_);
    if (copies_hidden()) hidden_ = hidden_memory_.template reserve<T>(rows * width_);
    if (request_.teacher.hidden != nullptr && left_out()) {
      teacher_hidden_ = teacher_hidden_memory_.template reserve<T>(rows * request_.teacher.width);
    }
    row_values_.resize(static_cast<size_t>(rows));
    row_weights_.resize(static_cast<size_t>(rows));
    row_slopes_.resize(static_cast<size_t>(rows));
    labels_.resize(static_cast<size_t>(request_.labels == nullptr ? 0 : rows));
  }

  // The gradients of what no row changes.
  void clear_gradients() {
    if (request_.hidden_gradient != nullptr && left_out()) {
      std::memset(request_.hidden_gradient, 0, static_cast<size_t>(request_.rows * width_) * sizeof(T));
    }
    if (request_.weights_gradient != nullptr && rows_.empty()) {
      std::memset(request_.weights_gradient, 0, static_cast<size_t>(columns_ * width_) * sizeof(T));
    }
    if (request_.bias_gradient != nullptr) bias_sums_.assign(static_cast<size_t>(columns_), 0.0);
  }

  // Rows of the chunk side by side: where they lie, or copied where some between them are left out.
  const T* gathered(const void* from, int64_t width, int64_t first, int64_t rows, bool copies, T* to) {
    const T* const all = static_cast<const T*>(from);
    if (!copies) return all + first * width;
    for (int64_t i = 0; i < rows; ++i) {
      const T* const row = all + rows_[static_cast<size_t>(first + i)] * width;
      std::copy(row, row + width, to + i * width);
    }
    return to;
  }

  kullback_status run_chunk(int64_t first, int64_t rows, std::vector<double>& values) {
    const T* const hidden = gathered(request_.student.hidden, width_, first, rows, copies_hidden(), hidden_);
    make_logits(request_.student, hidden, rows, logits_);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = rows_[static_cast<size_t>(first + i)];
      row_weights_[static_cast<size_t>(i)] = weight_of(row);
      row_slopes_[static_cast<size_t>(i)] = grad_output_of(row);
      if (request_.labels != nullptr) labels_[static_cast<size_t>(i)] = request_.labels[row];
    }
    const kullback_status status = request_.labels != nullptr ? compare_labels(rows) : compare(first, rows);
    if (status != KULLBACK_OK) return status;
    for (int64_t i = 0; i < rows; ++i) {
      values[static_cast<size_t>(rows_[static_cast<size_t>(first + i)])] = row_values_[static_cast<size_t>(i)];
    }
    if (differentiates()) differentiate(first, rows, hidden);
    return KULLBACK_OK;
  }

  void make_logits(const kullback_linear_logits& side, const T* hidden, int64_t rows, T* logits) {
    product_.multiply(rows, columns_, side.width, {hidden, side.width, 1},
                      {static_cast<const T*>(side.weights), side.width, 1}, {static_cast<const T*>(side.bias), 0},
                      SumOrder::kInParts, logits, columns_);
  }

  kullback_status compare(int64_t first, int64_t rows) {
    const T* teacher = teacher_;
    if (request_.teacher.hidden != nullptr) {
      const T* const hidden =
          gathered(request_.teacher.hidden, request_.teacher.width, first, rows, left_out(), teacher_hidden_);
      make_logits(request_.teacher, hidden, rows, teacher_);
    } else {
      teacher = gathered(request_.teacher_logits, columns_, first, rows, left_out(), teacher_);
    }
    double unused = 0;
    kullback_softmax_divergence_request request = {};
    request.dtype = request_.dtype;
    request.divergence = request_.divergence;
    request.parameter = request_.parameter;
    request.rows = rows;
    request.columns = request.student_stride = request.teacher_stride = columns_;
    request.student = logits_;
    request.teacher = teacher;
    request.student_temperature = request_.student_temperature;
    request.teacher_temperature = request_.teacher_temperature;
    request.row_weights = row_weights_.data();
    request.scale = request_.scale;
    request.grad_outputs = row_slopes_.data();
    request.value = &unused;
    request.values = row_values_.data();
    request.student_gradient = differentiates() ? logits_ : nullptr;
    return softmax_divergence_cpu(&request, control_);
  }

  // -log q, whose slopes are those of log q with the other sign.
  kullback_status compare_labels(int64_t rows) {
    for (int64_t i = 0; i < rows; ++i) {
      const size_t row = static_cast<size_t>(i);
      row_weights_[row] *= request_.scale;
      row_slopes_[row] = row_slopes_[row] == 0 ? 0 : -row_slopes_[row] * row_weights_[row];
    }
    kullback_token_log_probs_request request = {};
    request.dtype = request_.dtype;
    request.rows = rows;
    request.columns = request.stride = columns_;
    request.temperature = request_.student_temperature;
    request.logits = logits_;
    request.tokens = labels_.data();
    request.grad_outputs = row_slopes_.data();
    request.log_probs = row_values_.data();
    request.gradient = differentiates() ? logits_ : nullptr;
    const kullback_status status = token_log_probs_cpu(&request, control_);
    for (int64_t i = 0; i < rows; ++i) {
      const size_t row = static_cast<size_t>(i);
      row_values_[row] = (0 - row_values_[row]) * row_weights_[row];
    }
    return status;
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
      clear_still_rows(first, rows, hidden_);
      T* const gradient = static_cast<T*>(request_.weights_gradient);
      product_.multiply(columns_, width_, rows, {logits_, 1, columns_}, {hidden, 1, width_},
                        {first == 0 ? nullptr : gradient, width_}, SumOrder::kInAChain, gradient, width_);
    }
    if (request_.hidden_gradient != nullptr) {
      T* const all = static_cast<T*>(request_.hidden_gradient);
      // The copies have done their work.
      T* const gradient = left_out() ? hidden_ : all + first * width_;
      product_.multiply(rows, width_, columns_, {logits_, columns_, 1},
                        {static_cast<const T*>(request_.student.weights), 1, width_}, {nullptr, 0}, SumOrder::kInParts,
                        gradient, width_);
      clear_still_rows(first, rows, gradient);
      for (int64_t i = 0; left_out() && i < rows; ++i) {
        const T* const row = gradient + i * width_;
        std::copy(row, row + width_, all + rows_[static_cast<size_t>(first + i)] * width_);
      }
    }
  }

  // Zeros for the rows of a chunk's matrix whose gradient is 0 whatever they hold.
  void clear_still_rows(int64_t first, int64_t rows, T* matrix) const {
    if (!still_) return;
    for (int64_t i = 0; i < rows; ++i) {
      if (slope_of(rows_[static_cast<size_t>(first + i)]) == 0) {
        std::fill(matrix + i * width_, matrix + (i + 1) * width_, T{0});
      }
    }
  }

  const Request& request_;
  const kullback_control* control_;
  const int64_t columns_, width_;
  const Kernels<T>& kernels_;
  Stop stop_;
  MatrixProduct<T> product_;
  std::vector<int64_t> rows_;  // those that count
  bool still_ = false;         // whether some of them have no gradient

  int64_t chunk_rows_ = 1;
  Scratch logits_memory_, teacher_memory_, hidden_memory_, teacher_hidden_memory_;
  T *logits_ = nullptr, *teacher_ = nullptr, *hidden_ = nullptr, *teacher_hidden_ = nullptr;
  std::vector<double> row_values_, row_weights_, row_slopes_;  // of the chunk
  std::vector<int32_t> labels_;
  std::vector<double> bias_sums_;
};

}  // namespace

kullback_status linear_softmax_divergence_cpu(const Request* request, const kullback_control* control) {
  try {
    switch (request->dtype) {
      case KULLBACK_FLOAT32:
        return LinearSoftmaxDivergence<float>(*request, control).run();
      case KULLBACK_FLOAT64:
        return LinearSoftmaxDivergence<double>(*request, control).run();
      case KULLBACK_FLOAT16:
      case KULLBACK_BFLOAT16:
        break;
    }
    return KULLBACK_UNSUPPORTED;
  } catch (const std::bad_alloc&) {
    return KULLBACK_OUT_OF_MEMORY;
  }
}

}  // namespace kullback
