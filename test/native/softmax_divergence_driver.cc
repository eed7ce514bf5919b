// Runs the CPU backend without Node, against a plain float64 loop: for sanitizers, for -O0, and for processors that are
// only emulated. Prints one line an instruction set; exits with 1 where anything is off.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "../../native/cpu/backend.h"
#include "../../native/cpu/dispatch.h"
#include "../../native/cpu/thread_pool.h"

namespace {

struct Outcome {
  double value;
  std::vector<double> student, teacher;
};

template <class T>
struct Problem {
  int64_t rows, columns;
  std::vector<T> student, teacher;
};

template <class T>
Problem<T> make_problem(int64_t rows, int64_t columns, bool ruled_out) {
  std::mt19937 generator(static_cast<unsigned>(rows + columns));
  std::normal_distribution<double> normal;
  Problem<T> problem{rows, columns, {}, {}};
  for (int64_t i = 0; i < rows * columns; ++i) {
    problem.teacher.push_back(static_cast<T>(3 * normal(generator)));
    problem.student.push_back(problem.teacher.back() + static_cast<T>(normal(generator)));
  }
  // A column that both rule out, which sends its block down the careful path.
  if (ruled_out) {
    problem.student[1] = problem.teacher[1] = -std::numeric_limits<T>::infinity();
  }
  return problem;
}

template <class T>
std::vector<double> softmax_logarithm(const T* logits, int64_t columns) {
  double maximum = -INFINITY, sum = 0;
  for (int64_t i = 0; i < columns; ++i) maximum = std::fmax(maximum, static_cast<double>(logits[i]));
  for (int64_t i = 0; i < columns; ++i) sum += std::exp(logits[i] - maximum);
  std::vector<double> result;
  for (int64_t i = 0; i < columns; ++i) result.push_back(logits[i] - maximum - std::log(sum));
  return result;
}

template <class T>
Outcome plain_forward_kl(const Problem<T>& problem) {
  Outcome outcome{0, {}, {}};
  for (int64_t row = 0; row < problem.rows; ++row) {
    const auto q = softmax_logarithm(&problem.student[static_cast<size_t>(row * problem.columns)], problem.columns);
    const auto p = softmax_logarithm(&problem.teacher[static_cast<size_t>(row * problem.columns)], problem.columns);
    double divergence = 0;
    for (size_t i = 0; i < p.size(); ++i) divergence += p[i] == -INFINITY ? 0 : std::exp(p[i]) * (p[i] - q[i]);
    for (size_t i = 0; i < p.size(); ++i) {
      outcome.student.push_back(std::exp(q[i]) - std::exp(p[i]));
      outcome.teacher.push_back(p[i] == -INFINITY ? 0 : std::exp(p[i]) * (p[i] - q[i] - divergence));
    }
    outcome.value += divergence;
  }
  return outcome;
}

template <class T>
Outcome run(const Problem<T>& problem, bool gradients) {
  std::vector<T> student(problem.student.size()), teacher(problem.teacher.size());
  Outcome outcome{0, {}, {}};
  kullback_softmax_divergence_request request = {};
  request.dtype = sizeof(T) == 4 ? KULLBACK_FLOAT32 : KULLBACK_FLOAT64;
  request.divergence = KULLBACK_FORWARD_KL;
  request.rows = problem.rows;
  request.columns = request.student_stride = request.teacher_stride = problem.columns;
  request.student = problem.student.data();
  request.teacher = problem.teacher.data();
  request.student_temperature = request.teacher_temperature = request.scale = request.grad_output = 1;
  request.value = &outcome.value;
  request.student_gradient = gradients ? student.data() : nullptr;
  request.teacher_gradient = gradients ? teacher.data() : nullptr;
  if (kullback::cpu_backend.softmax_divergence(&request, nullptr) != KULLBACK_OK) outcome.value = NAN;
  outcome.student.assign(student.begin(), student.end());
  outcome.teacher.assign(teacher.begin(), teacher.end());
  return outcome;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(a[i] - b[i]);
    largest = difference <= largest ? largest : difference;  // a NaN stays
  }
  return largest;
}

template <class T>
bool agrees(int64_t rows, int64_t columns, bool ruled_out, double tolerance) {
  const Problem<T> problem = make_problem<T>(rows, columns, ruled_out);
  const Outcome expected = plain_forward_kl(problem);
  const Outcome whole = run(problem, true), value_only = run(problem, false);
  const double scale = std::fmax(expected.value, 1e-3);
  const double errors[] = {std::fabs(whole.value - expected.value) / scale,
                           std::fabs(value_only.value - expected.value) / scale,
                           largest_difference(whole.student, expected.student),
                           largest_difference(whole.teacher, expected.teacher)};
  bool good = true;
  for (const double error : errors) good = good && error <= tolerance;
  if (!good) {
    std::printf("%lld x %lld, %zu bytes: errors %g %g %g %g\n", static_cast<long long>(rows),
                static_cast<long long>(columns), sizeof(T), errors[0], errors[1], errors[2], errors[3]);
  }
  return good;
}

bool shapes_agree(const std::vector<int64_t>& widths) {
  bool good = true;
  for (const int64_t columns : widths) {
    // The last is one row on many threads, the others several rows on one each.
    const int64_t rows = columns < 100 ? 37 : columns < 10000 ? 2 : 1;
    for (const bool ruled_out : {false, true}) {
      if (ruled_out && columns <= 2) continue;
      good = agrees<float>(rows, columns, ruled_out, 4e-6) && good;
      good = agrees<double>(rows, columns, ruled_out, 1e-12) && good;
    }
  }
  return good;
}

}  // namespace

int main() {
  kullback::ThreadPool::instance().set_thread_count(3);
  bool good = true;
  int count = 0;
  const kullback::InstructionSet* sets = kullback::instruction_sets(&count);
  for (int i = 0; i < count; ++i) {
    if (!sets[i].supported()) continue;
    kullback::use_instruction_set(sets[i]);
    bool here = shapes_agree({1, 2, 7, 8, 15, 16, 17, 33, 1023, 1025, 2049, 8193, 40000});
    // Callers on several threads at once, as Node's workers are.
    std::vector<std::thread> callers;
    std::vector<char> results(4, 0);
    for (char& result : results) callers.emplace_back([&result] { result = shapes_agree({17, 1025, 40000}); });
    for (std::thread& caller : callers) caller.join();
    for (const char result : results) here = here && result != 0;
    std::printf("%s: %s\n", sets[i].name, here ? "agrees" : "DIFFERS");
    good = good && here;
  }
  return good ? 0 : 1;
}
