// Problems of linear_softmax_divergence with their answers by plain float64 loops, for the drivers of both backends.
#ifndef KULLBACK_TEST_LINEAR_SOFTMAX_DIVERGENCE_CASES_H
#define KULLBACK_TEST_LINEAR_SOFTMAX_DIVERGENCE_CASES_H

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../../native/abi/kullback_backend.h"

namespace kullback::cases {

template <class T>
struct LinearProblem {
  int64_t rows, columns, width;
  std::vector<T> hidden, weights, bias, teacher_hidden, teacher_weights;
  std::vector<T> hidden_gradient, weights_gradient, bias_gradient;
  std::vector<int32_t> labels;
  std::vector<uint8_t> mask;
  std::vector<double> values, grad_outputs;
  double value = 7;
  kullback_linear_softmax_divergence_request request = {};

  LinearProblem(int64_t row_count, int64_t column_count, int64_t width_, bool against_labels)
      : rows(row_count), columns(column_count), width(width_) {
    fill(hidden, rows * width, 7);
    fill(weights, columns * width, 11);
    fill(bias, columns, 5);
    fill(teacher_hidden, rows * 3, 13);
    fill(teacher_weights, columns * 3, 3);
    for (int64_t row = 0; row < rows; ++row) {
      labels.push_back(static_cast<int32_t>(row * 5 % columns));
      mask.push_back(row % 5 == 3 ? 0 : 1);
      grad_outputs.push_back(row % 4 == 2 ? 0 : 1 + 0.5 * static_cast<double>(row % 3));
    }
    hidden_gradient.assign(hidden.size(), T(7));
    weights_gradient.assign(weights.size(), T(7));
    bias_gradient.assign(bias.size(), T(7));
    values.assign(mask.size(), 7);
    request.dtype = sizeof(T) == 4 ? KULLBACK_FLOAT32 : KULLBACK_FLOAT64;
    request.divergence = KULLBACK_FORWARD_KL;
    request.rows = rows;
    request.columns = columns;
    request.student = {width, hidden.data(), weights.data(), bias.data()};
    if (against_labels) {
      request.labels = labels.data();
    } else {
      request.teacher = {3, teacher_hidden.data(), teacher_weights.data(), nullptr};
    }
    request.student_temperature = 1.5;
    request.teacher_temperature = 1;
    request.row_mask = mask.data();
    request.scale = 0.5;
    request.grad_outputs = grad_outputs.data();
    request.value = &value;
    request.values = values.data();
    request.hidden_gradient = hidden_gradient.data();
    request.weights_gradient = weights_gradient.data();
    request.bias_gradient = bias_gradient.data();
  }

  static void fill(std::vector<T>& numbers, int64_t count, int64_t step) {
    for (int64_t i = 0; i < count; ++i) numbers.push_back(static_cast<T>(i * step % 23 - 11) / 16);
  }

  static std::vector<double> softmax(const T* hidden, const T* weights, const T* bias, int64_t width, int64_t columns,
                                     double temperature) {
    std::vector<double> p;
    double sum = 0;
    for (int64_t column = 0; column < columns; ++column) {
      double logit = bias == nullptr ? 0 : static_cast<double>(bias[column]);
      for (int64_t i = 0; i < width; ++i) {
        logit += static_cast<double>(hidden[i]) * static_cast<double>(weights[column * width + i]);
      }
      p.push_back(std::exp(logit / temperature));
      sum += p.back();
    }
    for (double& x : p) x /= sum;
    return p;
  }

  static bool near(const std::vector<T>& actual, const std::vector<double>& expected, double tolerance) {
    for (size_t i = 0; i < actual.size(); ++i) {
      if (!(std::fabs(static_cast<double>(actual[i]) - expected[i]) <= tolerance)) return false;
    }
    return true;
  }

  bool right() const {
    const double tolerance = sizeof(T) == 4 ? 2e-5 : 1e-12;
    std::vector<double> for_hidden(hidden.size(), 0), for_weights(weights.size(), 0), for_bias(bias.size(), 0);
    for (int64_t row = 0; row < rows; ++row) {
      const size_t r = static_cast<size_t>(row);
      const std::vector<double> q = softmax(hidden.data() + row * width, weights.data(), bias.data(), width, columns, 1.5);
      std::vector<double> p(q.size(), 0);
      if (request.labels != nullptr) {
        p[static_cast<size_t>(labels[r])] = 1;
      } else {
        p = softmax(teacher_hidden.data() + row * 3, teacher_weights.data(), nullptr, 3, columns, 1);
      }
      double divergence = 0;
      for (size_t i = 0; i < q.size(); ++i) divergence += p[i] == 0 ? 0 : p[i] * std::log(p[i] / q[i]);
      if (!(std::fabs(values[r] - (mask[r] == 0 ? 0 : 0.5 * divergence)) <= tolerance)) return false;
      if (mask[r] == 0) continue;
      for (int64_t column = 0; column < columns; ++column) {
        const size_t c = static_cast<size_t>(column);
        const double slope = 0.5 * grad_outputs[r] * (q[c] - p[c]) / 1.5;
        for_bias[c] += slope;
        for (int64_t i = 0; i < width; ++i) {
          const size_t at = static_cast<size_t>(row * width + i), of = static_cast<size_t>(column * width + i);
          for_hidden[at] += slope * static_cast<double>(weights[of]);
          for_weights[of] += slope * static_cast<double>(hidden[at]);
        }
      }
    }
    return near(hidden_gradient, for_hidden, tolerance) && near(weights_gradient, for_weights, tolerance) &&
           near(bias_gradient, for_bias, tolerance);
  }

  uint64_t bits() const {
    uint64_t hash = 0;
    for (const auto* numbers : {&hidden_gradient, &weights_gradient, &bias_gradient}) {
      for (const T& number : *numbers) {
        uint64_t word = 0;
        std::memcpy(&word, &number, sizeof(T));
        hash = hash * 31 + word;
      }
    }
    for (const double number : values) {
      uint64_t word = 0;
      std::memcpy(&word, &number, 8);
      hash = hash * 31 + word;
    }
    return hash;
  }
};

// Whether the backend's answers are right, and the same in one chunk, in chunks of a row, and in between. Their bits go
// to *bits.
template <class T>
bool linear_agrees(const kullback_backend& backend, int64_t rows, int64_t columns, int64_t width, bool against_labels,
                   uint64_t* bits) {
  LinearProblem<T> problem(rows, columns, width, against_labels);
  const auto run = [&](int64_t budget) {
    problem.request.memory_budget = budget;
    return backend.linear_softmax_divergence(&problem.request, nullptr);
  };
  bool good = run(0) == KULLBACK_OK && problem.right();
  *bits = problem.bits();
  good = good && run(1) == KULLBACK_SMALL_BUDGET;
  const auto least = static_cast<int64_t>(problem.value);
  for (const int64_t budget : {least, least + 5 * 8 * columns}) {
    good = good && run(budget) == KULLBACK_OK && problem.bits() == *bits;
  }
  return good;
}

struct LinearSize {
  int64_t rows, columns, width;
};

// Around the sizes of a product's tiles and parts, here and there.
inline const LinearSize kLinearSizes[] = {{1, 1, 1}, {5, 63, 15}, {3, 64, 16}, {7, 65, 17}, {9, 300, 260}};

}  // namespace kullback::cases

#endif  // KULLBACK_TEST_LINEAR_SOFTMAX_DIVERGENCE_CASES_H
