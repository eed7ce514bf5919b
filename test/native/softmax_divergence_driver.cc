// Runs the CPU backend's softmax_divergence and linear_softmax_divergence without Node, against plain float64 loops: for
// sanitizers, for -O0, and for processors that are only emulated. Prints one line an instruction set; exits with 1 where
// anything is off.
#include <algorithm>
#include <thread>

#include "../../native/cpu/backend.h"
#include "../../native/cpu/dispatch.h"
#include "../../native/cpu/thread_pool.h"
#include "linear_softmax_divergence_cases.h"
#include "softmax_divergence_cases.h"
#include "softmax_divergence_top_k_cases.h"

namespace {

using namespace kullback::cases;

template <class T>
bool shape_agrees(int64_t rows, int64_t columns, double tolerance) {
  Hash unused;
  bool good = true;
  for (const Divergence& divergence : kDivergences) {
    for (const bool ruled_out : {false, true}) {
      if (ruled_out && columns <= 2) continue;
      const Problem<T> problem = make_problem<T>(rows, columns, 0, divergence, ruled_out);
      good = agrees(kullback::cpu_backend, problem, tolerance, unused) && good;
    }
  }
  return good;
}

// From a teacher that names some columns.
template <class T>
bool top_k_agrees(int64_t rows, int64_t columns) {
  bool good = true;
  for (const kullback_tail tail : kTails) {
    for (const int64_t slots : {int64_t{1}, std::min<int64_t>(columns, 64)}) {
      TopKProblem<T> problem(rows, columns, slots, tail, KULLBACK_FORWARD_KL);
      problem.request.student_gradient = problem.gradient.data();
      const kullback_status status = kullback::cpu_backend.softmax_divergence(&problem.request, nullptr);
      good = good && status == KULLBACK_OK && problem.values_are_right() && problem.gradient_is_sound();
    }
  }
  return good;
}

bool shapes_agree(const std::vector<int64_t>& widths) {
  bool good = true;
  for (const int64_t columns : widths) {
    // The last is one row on many threads, the others several rows on one each.
    const int64_t rows = columns < 100 ? 37 : columns < 10000 ? 2 : 1;
    good = shape_agrees<float>(rows, columns, 4e-6) && good;
    good = shape_agrees<double>(rows, columns, 1e-12) && good;
    good = top_k_agrees<float>(rows, columns) && top_k_agrees<double>(rows, columns) && good;
  }
  return good;
}

bool linear_sizes_agree() {
  bool good = true;
  uint64_t unused = 0;
  const auto agrees = [&](const LinearSize& size, bool against_labels) {
    const auto& [rows, columns, width] = size;
    return linear_agrees<float>(kullback::cpu_backend, rows, columns, width, against_labels, &unused) &&
           linear_agrees<double>(kullback::cpu_backend, rows, columns, width, against_labels, &unused);
  };
  for (const LinearSize& size : kLinearSizes) {
    for (const bool against_labels : {false, true}) good = agrees(size, against_labels) && good;
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
    here = linear_sizes_agree() && here;
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
