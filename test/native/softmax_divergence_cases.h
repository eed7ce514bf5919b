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

struct Divergence {
  kullback_divergence name;
  double parameter;
  bool in_long_rows = false;  // one of each kind is enough there
};
constexpr Divergence kDivergences[] = {
    {KULLBACK_FORWARD_KL, 0, true},        {KULLBACK_REVERSE_KL, 0},        {KULLBACK_CROSS_ENTROPY, 0, true},
    {KULLBACK_JEFFREYS, 0},                {KULLBACK_JENSEN_SHANNON, 0.5},  {KULLBACK_JENSEN_SHANNON, 0.1},
    {KULLBACK_TOTAL_VARIATION, 0},         {KULLBACK_SQUARED_HELLINGER, 0}, {KULLBACK_CHI_SQUARED, 0},
    {KULLBACK_REVERSE_CHI_SQUARED, 0},     {KULLBACK_ALPHA, 1.5},           {KULLBACK_ALPHA, 0.3},
    {KULLBACK_RENYI, 2},                   {KULLBACK_RENYI, 0.5, true},     {KULLBACK_SKEW_FORWARD_KL, 0.1, true},
    {KULLBACK_SKEW_REVERSE_KL, 0.3},
};

template <class T>
struct Problem {
  int64_t rows, columns, stride;
  Divergence divergence;
  std::vector<T> student, teacher;  // [rows, stride]
};

// `ruled_out`: a column that both sides give no probability.
template <class T>
Problem<T> make_problem(int64_t rows, int64_t columns, int64_t padding, const Divergence& divergence, bool ruled_out) {
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

// Of one column: what it adds to the sum that a divergence is made of, and that sum's derivatives for log p and log q, up
// to multiples of p and q, which the softmax takes away.
struct Column {
  double term, of_p, of_q;
};

inline Column power_column(double order, double log_p, double log_q) {
  const double mixed = std::exp(order * log_p + (1 - order) * log_q);
  return {mixed, order * mixed, (1 - order) * mixed};
}

// KL(a || w a + (1 - w) b), as {term, of a, of b}.
inline Column skew_column(double w, double log_a, double log_b) {
  const double a = std::exp(log_a), b = std::exp(log_b), m = w * a + (1 - w) * b;
  const double term = a * (log_a - std::log(m));
  return {term, term - w * a * a / m, -(1 - w) * a * b / m};
}

inline Column column(const Divergence& divergence, double log_p, double log_q) {
  const double p = std::exp(log_p), q = std::exp(log_q), w = divergence.parameter;
  switch (divergence.name) {
    case KULLBACK_FORWARD_KL:
      return {p * (log_p - log_q), p * (log_p - log_q), -p};
    case KULLBACK_REVERSE_KL:
      return {q * (log_q - log_p), -q, q * (log_q - log_p)};
    case KULLBACK_CROSS_ENTROPY:
      return {-p * log_q, -p * log_q, -p};
    case KULLBACK_JEFFREYS:
      return {(p - q) * (log_p - log_q), p * (log_p - log_q) - q, q * (log_q - log_p) - p};
    case KULLBACK_JENSEN_SHANNON: {
      const double log_m = std::log(w * p + (1 - w) * q);
      const double of_p = w * p * (log_p - log_m), of_q = (1 - w) * q * (log_q - log_m);
      return {of_p + of_q, of_p, of_q};
    }
    case KULLBACK_TOTAL_VARIATION: {
      const double sign = p > q ? 0.5 : p < q ? -0.5 : 0;
      return {sign * (p - q), sign * p, -sign * q};
    }
    case KULLBACK_SQUARED_HELLINGER:
      return power_column(0.5, log_p, log_q);
    case KULLBACK_CHI_SQUARED:
      return power_column(2, log_p, log_q);
    case KULLBACK_REVERSE_CHI_SQUARED:
      return power_column(-1, log_p, log_q);
    case KULLBACK_ALPHA:
    case KULLBACK_RENYI:
      return power_column(w, log_p, log_q);
    case KULLBACK_SKEW_FORWARD_KL:
      return skew_column(w, log_p, log_q);
    case KULLBACK_SKEW_REVERSE_KL: {
      const Column turned = skew_column(w, log_q, log_p);
      return {turned.term, turned.of_q, turned.of_p};
    }
  }
  return {NAN, NAN, NAN};
}

struct Finished {
  double value, slope;  // the latter by the sum
};

inline Finished finish(const Divergence& divergence, double sum) {
  const double a = divergence.parameter;
  switch (divergence.name) {
    case KULLBACK_SQUARED_HELLINGER:
      return {1 - sum, -1};
    case KULLBACK_CHI_SQUARED:
    case KULLBACK_REVERSE_CHI_SQUARED:
      return {sum - 1, 1};
    case KULLBACK_ALPHA:
      return {(sum - 1) / (a * (a - 1)), 1 / (a * (a - 1))};
    case KULLBACK_RENYI:
      return {std::log(sum) / (a - 1), 1 / (sum * (a - 1))};
    default:
      return {sum, 1};
  }
}

// Textbook: sums over columns, and gradients p (slope - mean slope).
template <class T>
Outcome solve(const Problem<T>& problem) {
  Outcome outcome;
  for (int64_t row = 0; row < problem.rows; ++row) {
    const size_t begin = static_cast<size_t>(row * problem.stride);
    const auto log_q = softmax_logarithm(&problem.student[begin], problem.columns);
    const auto log_p = softmax_logarithm(&problem.teacher[begin], problem.columns);
    Column sum = {0, 0, 0};
    std::vector<Column> columns;
    for (size_t i = 0; i < log_p.size(); ++i) {
      const bool nowhere = log_p[i] == -INFINITY && log_q[i] == -INFINITY;
      columns.push_back(nowhere ? Column{0, 0, 0} : column(problem.divergence, log_p[i], log_q[i]));
      sum = {sum.term + columns[i].term, sum.of_p + columns[i].of_p, sum.of_q + columns[i].of_q};
    }
    const Finished finished = finish(problem.divergence, sum.term);
    outcome.values.push_back(finished.value);
    for (size_t i = 0; i < log_p.size(); ++i) {
      outcome.student.push_back(finished.slope * (columns[i].of_q - std::exp(log_q[i]) * sum.of_q));
      outcome.teacher.push_back(finished.slope * (columns[i].of_p - std::exp(log_p[i]) * sum.of_p));
    }
    outcome.student.resize(outcome.values.size() * static_cast<size_t>(problem.stride));
    outcome.teacher.resize(outcome.student.size());
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
  request.divergence = problem.divergence.name;
  request.parameter = problem.divergence.parameter;
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
                             largest_difference(actual.student, expected.student) / std::fmax(1, scale),
                             largest_difference(actual.teacher, expected.teacher) / std::fmax(1, scale)};
    for (const double error : errors) good = good && error <= tolerance;
    if (!good) {
      std::printf("%lld x %lld, %zu bytes, divergence %d, gradients %d %d: errors %g %g %g\n",
                  static_cast<long long>(problem.rows), static_cast<long long>(problem.columns), sizeof(T),
                  static_cast<int>(problem.divergence.name), student, teacher, errors[0], errors[1], errors[2]);
      return false;
    }
    for (const auto* numbers : {&actual.values, &actual.student, &actual.teacher}) hash.add(*numbers);
  }
  return true;
}

}  // namespace kullback::cases

#endif  // KULLBACK_TEST_SOFTMAX_DIVERGENCE_CASES_H
