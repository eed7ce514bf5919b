// linear_rows: the rows of linear_softmax_divergence that count, and what is known of each beside its logits: the side
// of the operation that both processors share. Needs kullback_backend.h before it.
#ifndef KULLBACK_MATH_LINEAR_ROWS_H
#define KULLBACK_MATH_LINEAR_ROWS_H

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace kullback {

class LinearRows {
 public:
  explicit LinearRows(const kullback_linear_softmax_divergence_request& request)
      : request_(request), values_(static_cast<size_t>(request.rows), 0.0) {
    // Rows that add nothing are left out of products, where a 0 times what they hold may be a NaN.
    for (int64_t row = 0; row < request.rows; ++row) {
      if (request.row_mask != nullptr && request.row_mask[row] == 0) continue;
      if (weight_of(row) * request.scale == 0) continue;
      rows_.push_back(row);
      any_still_ = any_still_ || slope_of(row) == 0;
    }
  }

  int64_t count() const { return static_cast<int64_t>(rows_.size()); }
  bool any_left_out() const { return count() != request_.rows; }
  // Rows with a value and without a gradient.
  bool any_still() const { return any_still_; }
  bool differentiates() const {
    return request_.hidden_gradient != nullptr || request_.weights_gradient != nullptr ||
           request_.bias_gradient != nullptr;
  }
  const std::vector<double>& values() const { return values_; }

  // The bytes that this holds, for all rows and for each of a chunk.
  int64_t bytes() const { return request_.rows * static_cast<int64_t>(sizeof(double) + sizeof(int64_t)); }
  // Its value, there and where rows are compared, its weight, its factor and its label.
  static constexpr int64_t kBytesOfRow = 5 * static_cast<int64_t>(sizeof(double));

  // How many rows each chunk has, all but the last, in the budget that is left for them.
  int64_t rows_of_chunk(int64_t budget, int64_t bytes_of_row) const {
    const int64_t most = std::max<int64_t>(1, std::min(count(), budget / bytes_of_row));
    const int64_t chunks = (count() + most - 1) / most;
    return chunks == 0 ? 0 : (count() + chunks - 1) / chunks;
  }

  // The chunk of `rows` rows from the one with number `first` among those that count.
  void begin_chunk(int64_t first, int64_t rows) {
    chunk_ = rows_.data() + first;
    chunk_rows_ = rows;
    chunk_values_.assign(static_cast<size_t>(rows), 0.0);
    weights_.clear();
    factors_.clear();
    labels_.clear();
    for (int64_t i = 0; i < rows; ++i) {
      weights_.push_back(weight_of(chunk_[i]));
      factors_.push_back(grad_output_of(chunk_[i]));
      if (request_.labels != nullptr) labels_.push_back(request_.labels[chunk_[i]]);
    }
  }

  // to[i] = from[the chunk's row i], `width` elements each.
  template <class T>
  void gather(const void* from, int64_t width, T* to) const {
    for (int64_t i = 0; i < chunk_rows_; ++i) {
      const T* const row = static_cast<const T*>(from) + chunk_[i] * width;
      std::copy(row, row + width, to + i * width);
    }
  }
  template <class T>
  void scatter(const T* from, int64_t width, void* to) const {
    for (int64_t i = 0; i < chunk_rows_; ++i) {
      std::copy(from + i * width, from + (i + 1) * width, static_cast<T*>(to) + chunk_[i] * width);
    }
  }
  // Zeros for the rows of a chunk's matrix whose gradient is 0 whatever they hold.
  template <class T>
  void clear_still(T* matrix, int64_t width) const {
    for (int64_t i = 0; any_still_ && i < chunk_rows_; ++i) {
      if (slope_of(chunk_[i]) == 0) std::fill(matrix + i * width, matrix + (i + 1) * width, T{0});
    }
  }

  // The chunk as a request of softmax_divergence that writes the gradient over the logits.
  kullback_softmax_divergence_request divergence(void* logits, const void* teacher) {
    kullback_softmax_divergence_request request = {};
    request.dtype = request_.dtype;
    request.divergence = request_.divergence;
    request.parameter = request_.parameter;
    request.rows = chunk_rows_;
    request.columns = request.student_stride = request.teacher_stride = request_.columns;
    request.device = request_.device;
    request.student = logits;
    request.teacher = teacher;
    request.student_temperature = request_.student_temperature;
    request.teacher_temperature = request_.teacher_temperature;
    request.row_weights = weights_.data();
    request.scale = request_.scale;
    request.grad_outputs = factors_.data();
    request.values = chunk_values_.data();
    request.student_gradient = differentiates() ? logits : nullptr;
    return request;
  }

  // Likewise of token_log_probs, where there are labels: D = -log q, whose slopes are those of log q with the other
  // sign.
  kullback_token_log_probs_request log_probs(void* logits) {
    for (int64_t i = 0; i < chunk_rows_; ++i) {
      const double slope = slope_of(chunk_[i]);
      factors_[static_cast<size_t>(i)] = slope == 0 ? 0 : -slope;
    }
    kullback_token_log_probs_request request = {};
    request.dtype = request_.dtype;
    request.rows = chunk_rows_;
    request.columns = request.stride = request_.columns;
    request.temperature = request_.student_temperature;
    request.device = request_.device;
    request.logits = logits;
    request.tokens = labels_.data();
    request.grad_outputs = factors_.data();
    request.log_probs = chunk_values_.data();
    request.gradient = differentiates() ? logits : nullptr;
    return request;
  }

  // Takes over what one of these two has found.
  void end_chunk() {
    for (int64_t i = 0; i < chunk_rows_; ++i) {
      double& value = chunk_values_[static_cast<size_t>(i)];
      if (request_.labels != nullptr) value = (0 - value) * (weights_[static_cast<size_t>(i)] * request_.scale);
      values_[static_cast<size_t>(chunk_[i])] = value;
    }
  }

 private:
  double weight_of(int64_t row) const { return request_.row_weights == nullptr ? 1 : request_.row_weights[row]; }
  double grad_output_of(int64_t row) const {
    return request_.grad_outputs == nullptr ? request_.grad_output : request_.grad_outputs[row];
  }
  double slope_of(int64_t row) const { return weight_of(row) * request_.scale * grad_output_of(row); }

  const kullback_linear_softmax_divergence_request& request_;
  std::vector<double> values_;  // of all rows; 0 for those that are left out
  std::vector<int64_t> rows_;   // those that count
  bool any_still_ = false;

  const int64_t* chunk_ = nullptr;
  int64_t chunk_rows_ = 0;
  std::vector<double> chunk_values_, weights_, factors_;
  std::vector<int32_t> labels_;
};

}  // namespace kullback

#endif  // KULLBACK_MATH_LINEAR_ROWS_H
