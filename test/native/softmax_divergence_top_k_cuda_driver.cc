// Runs the CUDA backend's softmax_divergence without Node where the teacher names some columns: every tail policy, around
// the widths where its kernels change, on the host's memory and on the device's. Prints the bits of all outputs; exits
// with 1 where values are not what float64 says, or where the two memories differ.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "cuda_device.h"
#include "softmax_divergence_top_k_cases.h"

namespace {

using namespace kullback::cases;

template <class T>
uint64_t hashed(const std::vector<T>& numbers, uint64_t bits) {
  for (const T& number : numbers) {
    uint64_t word = 0;
    // Any NaN equals any other.
    if (number == number) std::memcpy(&word, &number, sizeof(T));
    bits = bits * 31 + word;
  }
  return bits;
}

template <class T>
bool right(int64_t columns, int64_t slots, kullback_tail tail) {
  const auto call = [](TopKProblem<T>& problem) { require(cuda().softmax_divergence(&problem.request, nullptr)); };
  TopKProblem<T> plain(5, columns, slots, tail, KULLBACK_FORWARD_KL);
  call(plain);
  bool good = plain.values_are_right();
  uint64_t bits = hashed(plain.values, 0);
  for (const kullback_divergence divergence : {KULLBACK_REVERSE_KL, KULLBACK_CROSS_ENTROPY}) {
    TopKProblem<T> problem(5, columns, slots, tail, divergence);
    problem.ask_for_all();
    call(problem);
    bits = hashed(problem.gradient, bits);
    for (const auto* output : {&problem.values, &problem.divergences, &problem.student_log_sum_exp,
                               &problem.teacher_log_sum_exp, &problem.student_entropy, &problem.teacher_entropy}) {
      bits = hashed(*output, bits);
    }
    // The same over the student's own memory on the device, and then once more, added to it.
    const auto words = static_cast<int64_t>(problem.student.size() * sizeof(T) / 4);
    const auto teacher_words = static_cast<int64_t>(problem.teacher.size() * sizeof(T) / 4);
    DeviceFloats student(words), teacher(teacher_words), sum(words);
    student.write(0, reinterpret_cast<const float*>(problem.student.data()), words);
    sum.write(0, reinterpret_cast<const float*>(problem.gradient.data()), words);
    teacher.write(0, reinterpret_cast<const float*>(problem.teacher.data()), teacher_words);
    TopKProblem<T> there = problem;
    there.ask_for_all();
    there.request.values = there.values.data();
    there.request.on_device = 1;
    there.request.student = student.data();
    there.request.teacher = teacher.data();
    there.request.student_gradient = sum.data();
    there.request.accumulate = 1;
    call(there);
    there.request.accumulate = 0;
    there.request.student_gradient = student.data();
    call(there);
    const std::vector<float> over = student.read(0, words), added = sum.read(0, words);
    std::vector<T> again(problem.gradient.size()), doubled(again.size());
    std::memcpy(again.data(), over.data(), again.size() * sizeof(T));
    std::memcpy(doubled.data(), added.data(), doubled.size() * sizeof(T));
    for (size_t i = 0; i < doubled.size(); ++i) {
      // Where the divergence is infinite, gradients may not be numbers.
      const T once = problem.gradient[i];
      good = good && (once != once || (again[i] == once && doubled[i] == once + once));
    }
  }
  std::printf("%lld of %lld columns, tail %d, %zu bytes: %016llx%s\n", static_cast<long long>(slots),
              static_cast<long long>(columns), static_cast<int>(tail), sizeof(T), static_cast<unsigned long long>(bits),
              good ? "" : " wrong");
  return good;
}

}  // namespace

// No arguments; or a number of columns, for the emulator to tell what the launches for one row and its gradient cost.
int main(int argc, char** argv) {
  if (argc == 2) {
    TopKProblem<float> problem(1, std::atoll(argv[1]), 1, KULLBACK_TAIL_BUCKET, KULLBACK_FORWARD_KL);
    problem.request.student_gradient = problem.gradient.data();
    require(cuda().softmax_divergence(&problem.request, nullptr));
    return 0;
  }
  bool good = true;
  struct Shape {
    int64_t columns, slots;
  };
  // One thread's share of a block, the tile of marked columns, and coarse rows beyond a warp's.
  for (const auto& [columns, slots] :
       {Shape{1, 1}, Shape{9, 4}, Shape{257, 8}, Shape{1500, 1200}, Shape{4096, 1}, Shape{4097, 64}}) {
    for (const kullback_tail tail : kTails) {
      good = right<float>(columns, slots, tail) && good;
      if (columns < 4000) good = right<double>(columns, slots, tail) && good;
    }
  }
  return good ? 0 : 1;
}
