// softmax_divergence without Node: problems, a plain float64 loop that solves them, and whether a backend agrees.
#ifndef KULLBACK_TEST_SOFTMAX_DIVERGENCE_CASES_H
#define KULLBACK_TEST_SOFTMAX_DIVERGENCE_CASES_H

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "../../native/abi/kullback_backend.h"

namespace kullback::cases {

constexpr kullback_divergence kDivergences[] = {KULLBACK_FORWARD_KL, KULLBACK_REVERSE_KL, KULLBACK_CROSS_ENTROPY};

template <class T>
struct Problem {
  int64_t rows, columns, stride;
  kullback_divergence divergence;
  std::vector<T> student, teacher;  // [rows, stride]
};

// `ruled_out`: a column that both sides give no probability.
template <class T>
Problem<T> make_problem(int64_t rows, int64_t columns, int64_t padding, kullback_divergence divergence,
                        bool ruled_out) {
  std::mt19937 generator(static_cast<unsigned>(rows + columns));
  std::normal_distribution<double> normal;
  Problem<T> problem{rows, columns, columns + padding, divergence, {}, {}};
  for (int64_t i = 0; i < rows * problem.stride; ++i) {
    problem.teacher.push_back(static_cast<T>(3 * normal(generator)));
    problem.student.push_back(problem.teacher.back() + static_cast<T>(normal(generator)));
  }
  if (ruled_out) problem.student[1] = problem.teacher[1] = -std::numeric_limits<T>::infinity();
  return problem;
}

struct Outcome {
  std::vector<double> values;            // one a row
  std::vector<double> student, teacher;  // gradients
};

template <class T>
std::vector<double> softmax_logarithm(const T* logits, int64_t columns) {
  double maximum = -INFINITY, sum = 0;
  for (int64_t i = 0; i < columns; ++i) maximum = std::fmax(maximum, static_cast<double>(logits[i]));
  for (int64_t i = 0; i < columns; ++i) sum += std::exp(logits[i] - maximum);
  std::vector<double> result;
  for (int64_t i = 0; i < columns; ++i) result.push_back(logits[i] - maximum - std::log(sum));
  return result;
}

// Textbook, over a (whose probabilities weigh) and b: sum a score, and its gradients b - a and a (score - D).
template <class T>
Outcome solve(const Problem<T>& problem) {
  Outcome outcome;
  const bool student_weighs = problem.divergence == KULLBACK_REVERSE_KL;
  for (int64_t row = 0; row < problem.rows; ++row) {
    const size_t begin = static_cast<size_t>(row * problem.stride);
    const auto q = softmax_logarithm(&problem.student[begin], problem.columns);
    const auto p = softmax_logarithm(&problem.teacher[begin], problem.columns);
    const auto &a = student_weighs ? q : p, &b = student_weighs ? p : q;
    const auto score = [&](size_t i) {
      if (a[i] == -INFINITY) return 0.0;
      return problem.divergence == KULLBACK_CROSS_ENTROPY ? -b[i] : a[i] - b[i];
    };
    double divergence = 0;
    for (size_t i = 0; i < a.size(); ++i) divergence += std::exp(a[i]) * score(i);
    auto &of_a = student_weighs ? outcome.student : outcome.teacher,
         &of_b = student_weighs ? outcome.teacher : outcome.student;
    for (size_t i = 0; i < a.size(); ++i) {
      of_b.push_back(std::exp(b[i]) - std::exp(a[i]));
      of_a.push_back(std::exp(a[i]) * (score(i) - divergence));
    }
    for (int64_t i = problem.columns; i < problem.stride; ++i) {
      of_a.push_back(0);
      of_b.push_back(0);
    }
    outcome.values.push_back(divergence);
  }
  return outcome;
}

template <class T>
Outcome run(const kullback_backend& backend, const Problem<T>& problem, bool student_gradient, bool teacher_gradient) {
  std::vector<T> student(problem.student.size()), teacher(problem.teacher.size());
  Outcome outcome;
  outcome.values.resize(static_cast<size_t>(problem.rows), NAN);
  kullback_softmax_divergence_request request = {};
  request.dtype = sizeof(T) == 4 ? KULLBACK_FLOAT32 : KULLBACK_FLOAT64;
  request.divergence = problem.divergence;
  request.rows = problem.rows;
  request.columns = problem.columns;
  request.student_stride = request.teacher_stride = problem.stride;
  request.student = problem.student.data();
  request.teacher = problem.teacher.data();
  request.student_temperature = request.teacher_temperature = request.scale = request.grad_output = 1;
  request.values = outcome.values.data();
  request.student_gradient = student_gradient ? student.data() : nullptr;
  request.teacher_gradient = teacher_gradient ? teacher.data() : nullptr;
  if (backend.softmax_divergence(&request, nullptr) != KULLBACK_OK) {
    std::printf("%s\n", backend.last_error());
    outcome.values.assign(outcome.values.size(), NAN);
  }
  if (student_gradient) outcome.student.assign(student.begin(), student.end());
  if (teacher_gradient) outcome.teacher.assign(teacher.begin(), teacher.end());
  return outcome;
}

inline double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(a[i] - b[i]);
    largest = difference <= largest ? largest : difference;  // a NaN stays
  }
  return largest;
}

// Fowler, Noll and Vo's hash over the bytes of results: equal where every bit is.
class Hash {
 public:
  void add(const std::vector<double>& numbers) {
    for (const double number : numbers) {
      unsigned char bytes[sizeof number];
      std::memcpy(bytes, &number, sizeof number);
      for (const unsigned char byte : bytes) value_ = (value_ ^ byte) * 1099511628211u;
    }
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 14695981039346656037u;
};

// With both gradients, with one, and with none.
template <class T>
bool agrees(const kullback_backend& backend, const Problem<T>& problem, double tolerance, Hash& hash) {
  const Outcome expected = solve(problem);
  bool good = true;
  for (const auto& [student, teacher] : {std::pair{true, true}, {true, false}, {false, true}, {false, false}}) {
    const Outcome actual = run(backend, problem, student, teacher);
    double scale = 1e-3;
    for (const double value : expected.values) scale = std::fmax(scale, value);
    const double errors[] = {largest_difference(actual.values, expected.values) / scale,
                             largest_difference(actual.student, expected.student),
                             largest_difference(actual.teacher, expected.teacher) / std::fmax(1, scale)};
    for (const double error : errors) good = good && error <= tolerance;
    if (!good) {
      std::printf("%lld x %lld, %zu bytes, divergence %d, gradients %d %d: errors %g %g %g\n",
                  static_cast<long long>(problem.rows), static_cast<long long>(problem.columns), sizeof(T),
                  static_cast<int>(problem.divergence), student, teacher, errors[0], errors[1], errors[2]);
      return false;
    }
    for (const auto* numbers : {&actual.values, &actual.student, &actual.teacher}) hash.add(*numbers);
  }
  return true;
}

}  // namespace kullback::cases

#endif  // KULLBACK_TEST_SOFTMAX_DIVERGENCE_CASES_H
