// Runs the CUDA backend's softmax_divergence without Node where the teacher names some columns: every tail policy, around
// the widths where its kernels change, on the host's memory and on the device's. Prints the bits of all outputs; exits
// with 1 where values are not what float64 says, or where the two memories differ.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "cuda_device.h"

namespace {

using namespace kullback::cases;

constexpr kullback_tail kTails[] = {KULLBACK_TAIL_TRUNCATE, KULLBACK_TAIL_RENORMALIZE, KULLBACK_TAIL_BUCKET,
                                    KULLBACK_TAIL_ZERO};

template <class T>
struct Problem {
  int64_t rows, columns, slots, stride;
  std::vector<T> student, teacher, gradient;
  std::vector<int32_t> ids;
  std::vector<uint8_t> mask, agreement;
  std::vector<double> weights, prior, values, divergences, student_log_sum_exp, teacher_log_sum_exp, student_entropy,
      teacher_entropy;
  kullback_softmax_divergence_request request = {};

  Problem(int64_t row_count, int64_t column_count, int64_t slot_count, kullback_tail tail,
          kullback_divergence divergence)
      : rows(row_count), columns(column_count), slots(slot_count), stride(column_count + 2) {
    student.resize(static_cast<size_t>(rows * stride));
    for (size_t i = 0; i < student.size(); ++i) student[i] = static_cast<T>(i * 7 % 23) / 5;
    gradient.assign(student.size(), T(7));
    for (int64_t row = 0; row < rows; ++row) {
      mask.push_back(row % 4 == 3 ? 0 : 1);
      weights.push_back(0.5 + static_cast<double>(row));
      for (int64_t slot = 0; slot < slots; ++slot) {
        // Spread over the row, from its end; every fifth is none.
        ids.push_back(slot % 5 == 4 ? -1 : static_cast<int32_t>(columns - 1 - slot * columns / slots));
        teacher.push_back(static_cast<T>(-std::log(static_cast<double>(slots)) - 0.25 * static_cast<double>(slot % 3) -
                                         (slots == 1 ? 0.5 : 0.1)));
      }
    }
    for (int64_t i = 0; i < columns; ++i) prior.push_back(i % 11 == 10 ? -INFINITY : 0.125 * static_cast<double>(i % 5));
    for (auto* output : {&values, &divergences, &student_log_sum_exp, &teacher_log_sum_exp, &student_entropy,
                         &teacher_entropy}) {
      output->assign(mask.size(), 7);
    }
    agreement.assign(mask.size(), 7);
    request.dtype = sizeof(T) == 4 ? KULLBACK_FLOAT32 : KULLBACK_FLOAT64;
    request.divergence = divergence;
    request.rows = rows;
    request.columns = columns;
    request.student = student.data();
    request.teacher = teacher.data();
    request.student_stride = stride;
    request.teacher_stride = slots;
    request.student_temperature = 1.5;
    request.teacher_temperature = 1;
    request.tail = tail;
    request.teacher_ids = ids.data();
    request.row_mask = mask.data();
    request.scale = 2;
    request.grad_output = 0.5;
    request.values = values.data();
  }

  void ask_for_all() {
    request.student_log_prior = prior.data();
    request.row_weights = weights.data();
    request.grad_outputs = weights.data();
    request.student_gradient = gradient.data();
    request.divergences = divergences.data();
    request.student_log_sum_exp = student_log_sum_exp.data();
    request.teacher_log_sum_exp = teacher_log_sum_exp.data();
    request.student_entropy = student_entropy.data();
    request.teacher_entropy = teacher_entropy.data();
    request.argmax_agreement = agreement.data();
  }

  // Of forward KL, without priors and weights, as the policy is defined.
  double expected(int64_t row) const {
    if (mask[static_cast<size_t>(row)] == 0) return 0;
    const T* const x = student.data() + row * stride;
    const auto weight = [&](int64_t i) { return std::exp(static_cast<double>(x[i]) / 1.5); };
    double all = 0, named = 0, captured = 0, sum = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < columns; ++i) all += weight(i);
    const auto for_each_slot = [&](const auto& body) {
      for (int64_t slot = row * slots; slot < (row + 1) * slots; ++slot) {
        if (ids[static_cast<size_t>(slot)] < 0) continue;
        body(std::exp(static_cast<double>(teacher[static_cast<size_t>(slot)])), weight(ids[static_cast<size_t>(slot)]));
      }
    };
    for_each_slot([&](double p, double q) {
      captured += p;
      named += q;
      ++count;
    });
    const bool rest = request.tail == KULLBACK_TAIL_BUCKET && count < columns;
    const double of_p = request.tail == KULLBACK_TAIL_TRUNCATE || rest ? 1 : captured;
    const double of_q = request.tail == KULLBACK_TAIL_RENORMALIZE ? named : all;
    for_each_slot([&](double p, double q) { sum += p / of_p * std::log(p / of_p / (q / of_q)); });
    if (rest) sum += (1 - captured) * std::log((1 - captured) / ((all - named) / all));
    return 2 * sum;
  }
};

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
  const auto call = [](Problem<T>& problem) { require(cuda().softmax_divergence(&problem.request, nullptr)); };
  Problem<T> plain(5, columns, slots, tail, KULLBACK_FORWARD_KL);
  call(plain);
  bool good = true;
  for (int64_t row = 0; row < plain.rows; ++row) {
    const double value = plain.values[static_cast<size_t>(row)], expected = plain.expected(row);
    if (!(std::fabs(value - expected) <= (sizeof(T) == 4 ? 1e-5 : 1e-12))) {
      std::printf("row %lld: %g, expected %g\n", static_cast<long long>(row), value, expected);
      good = false;
    }
  }
  uint64_t bits = hashed(plain.values, 0);
  for (const kullback_divergence divergence : {KULLBACK_REVERSE_KL, KULLBACK_CROSS_ENTROPY}) {
    Problem<T> problem(5, columns, slots, tail, divergence);
    problem.ask_for_all();
    call(problem);
    bits = hashed(problem.gradient, hashed(problem.agreement, bits));
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
    Problem<T> there = problem;
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
    Problem<float> problem(1, std::atoll(argv[1]), 1, KULLBACK_TAIL_BUCKET, KULLBACK_FORWARD_KL);
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
       {Shape{1, 1}, Shape{9, 4}, Shape{257, 8}, Shape{1500, 1200}, Shape{16384, 1}, Shape{16385, 64}}) {
    for (const kullback_tail tail : kTails) {
      good = right<float>(columns, slots, tail) && good;
      if (columns < 2000) good = right<double>(columns, slots, tail) && good;
    }
  }
  return good ? 0 : 1;
}
