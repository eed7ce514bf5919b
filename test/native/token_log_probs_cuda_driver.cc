// Runs the CUDA backend's token_log_probs without Node, around the widths where its kernels change, with everything and
// with next to nothing asked for, on the device's memory and on the host's. Prints the bits of all outputs; exits with 1
// where they are not what float64 says or differ between the two.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "cuda_device.h"

namespace {

using namespace kullback::cases;

template <class T>
struct Problem {
  int64_t rows, columns, stride;
  std::vector<T> logits, gradient;
  std::vector<int32_t> tokens;
  std::vector<uint8_t> mask;
  std::vector<double> reference, log_probs, entropy, log_sum_exp, estimates;
  kullback_token_log_probs_request request = {};

  Problem(int64_t row_count, int64_t column_count, kullback_estimator estimator)
      : rows(row_count), columns(column_count), stride(column_count + 3) {
    logits.resize(static_cast<size_t>(rows * stride));
    for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<T>(i * 7 % 23) / 5;
    gradient.assign(logits.size(), T(7));
    for (int64_t row = 0; row < rows; ++row) {
      tokens.push_back(static_cast<int32_t>(row * 5 % columns));
      mask.push_back(row % 4 == 3 ? 0 : 1);
      reference.push_back(-1.5 - 0.25 * static_cast<double>(row));
    }
    for (auto* output : {&log_probs, &entropy, &log_sum_exp, &estimates}) output->assign(tokens.size(), 7);
    request.dtype = sizeof(T) == 4 ? KULLBACK_FLOAT32 : KULLBACK_FLOAT64;
    request.estimator = estimator;
    request.rows = rows;
    request.columns = columns;
    request.stride = stride;
    request.temperature = 1.5;
    request.logits = logits.data();
    request.tokens = tokens.data();
    request.row_mask = mask.data();
    request.reference_log_probs = reference.data();
    request.log_probs = log_probs.data();
  }

  void ask_for_all() {
    request.grad_output = 1;
    request.entropy_grad_output = 0.5;
    request.estimate_grad_output = 0.25;
    request.entropy = entropy.data();
    request.log_sum_exp = log_sum_exp.data();
    request.estimates = estimates.data();
    request.gradient = gradient.data();
  }

  bool log_probs_are_right() const {
    for (size_t row = 0; row < tokens.size(); ++row) {
      double sum = 0;
      const T* const x = logits.data() + static_cast<int64_t>(row) * stride;
      for (int64_t i = 0; i < columns; ++i) sum += std::exp(static_cast<double>(x[i]) / 1.5);
      const double expected = mask[row] == 0 ? 0 : static_cast<double>(x[tokens[row]]) / 1.5 - std::log(sum);
      if (!(std::fabs(log_probs[row] - expected) <= 1e-5)) return false;
    }
    return true;
  }
};

template <class T>
uint64_t hashed(const std::vector<T>& numbers, uint64_t bits) {
  for (const T& number : numbers) {
    uint64_t word = 0;
    std::memcpy(&word, &number, sizeof(T));
    bits = bits * 31 + word;
  }
  return bits;
}

template <class T>
bool right(int64_t rows, int64_t columns, kullback_estimator estimator) {
  Problem<T> problem(rows, columns, estimator);
  require(cuda().token_log_probs(&problem.request, nullptr));
  bool good = problem.log_probs_are_right();
  problem.ask_for_all();
  require(cuda().token_log_probs(&problem.request, nullptr));
  good = good && problem.log_probs_are_right();
  uint64_t bits = hashed(problem.gradient, 0);
  for (const auto* output : {&problem.log_probs, &problem.entropy, &problem.log_sum_exp, &problem.estimates}) {
    bits = hashed(*output, bits);
  }
  const int64_t words = static_cast<int64_t>(problem.logits.size() * sizeof(T) / 4);
  DeviceFloats logits(words), gradient(words);
  logits.write(0, reinterpret_cast<const float*>(problem.logits.data()), words);
  problem.request.on_device = 1;
  problem.request.logits = logits.data();
  problem.request.gradient = gradient.data();
  require(cuda().token_log_probs(&problem.request, nullptr));
  const std::vector<float> there = gradient.read(0, words);
  good = good && std::memcmp(there.data(), problem.gradient.data(), there.size() * 4) == 0;
  problem.request.entropy_grad_output = problem.request.grad_output = problem.request.estimate_grad_output = 0;
  require(cuda().token_log_probs(&problem.request, nullptr));
  for (const float x : gradient.read(0, words)) good = good && x == 0;
  std::printf("%lld x %lld of %zu bytes, k%d: %016llx%s\n", static_cast<long long>(rows),
              static_cast<long long>(columns), sizeof(T), static_cast<int>(estimator),
              static_cast<unsigned long long>(bits), good ? "" : " wrong");
  return good;
}

}  // namespace

int main() {
  bool good = true;
  for (const int64_t columns : {1, 31, 257, 1024, 1025, 3000}) {
    for (const kullback_estimator estimator : {KULLBACK_NO_ESTIMATOR, KULLBACK_K1, KULLBACK_K2, KULLBACK_K3}) {
      good = right<float>(5, columns, estimator) && good;
      good = right<double>(5, columns, estimator) && good;
    }
  }
  return good ? 0 : 1;
}
