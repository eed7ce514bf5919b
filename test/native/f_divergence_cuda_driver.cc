// Runs the CUDA backend's f_divergence without Node, on the device's memory and on the host's, from one element to several
// blocks of threads. Prints the bits of all outputs; exits with 1 where they are not what float64 says
// or differ between the two.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "cuda_device.h"

namespace {

using namespace kullback::cases;

constexpr kullback_divergence kDivergences[] = {KULLBACK_FORWARD_KL,      KULLBACK_JEFFREYS,
                                                KULLBACK_JENSEN_SHANNON,  KULLBACK_TOTAL_VARIATION,
                                                KULLBACK_SKEW_FORWARD_KL, KULLBACK_SKEW_REVERSE_KL};

template <class T>
class DeviceNumbers {
 public:
  explicit DeviceNumbers(const std::vector<T>& host) : memory_(static_cast<int64_t>(host.size() * sizeof(T) / 4)) {
    memory_.write(0, reinterpret_cast<const float*>(host.data()), memory_.length());
  }
  std::vector<T> read() const {
    const std::vector<float> words = memory_.read(0, memory_.length());
    std::vector<T> host(words.size() * 4 / sizeof(T));
    std::memcpy(host.data(), words.data(), words.size() * 4);
    return host;
  }
  T* data() const { return reinterpret_cast<T*>(memory_.data()); }

 private:
  DeviceFloats memory_;
};

template <class T>
bool right(kullback_divergence divergence, int64_t length) {
  std::vector<T> log_ratios(static_cast<size_t>(length));
  for (size_t i = 0; i < log_ratios.size(); ++i) log_ratios[i] = static_cast<T>(i % 41) / 4 - 5;
  std::vector<T> outputs[4];
  for (auto& output : outputs) output.assign(log_ratios.size(), T(7));
  kullback_f_divergence_request request = {};
  request.dtype = sizeof(T) == 4 ? KULLBACK_FLOAT32 : KULLBACK_FLOAT64;
  request.divergence = divergence;
  request.parameter = 0.5;
  request.scale = 1;
  request.length = length;
  request.log_ratios = log_ratios.data();
  request.values = outputs[0].data();
  request.derivatives = outputs[1].data();
  request.value_gradients = outputs[2].data();
  request.derivative_gradients = outputs[3].data();
  require(cuda().f_divergence(&request, nullptr));

  const DeviceNumbers<T> from(log_ratios), values(outputs[1]), gradients(outputs[1]);
  request.on_device = 1;
  request.log_ratios = from.data();
  request.values = values.data();
  request.derivatives = nullptr;
  request.value_gradients = gradients.data();
  request.derivative_gradients = nullptr;
  require(cuda().f_divergence(&request, nullptr));

  bool good = values.read() == outputs[0] && gradients.read() == outputs[2];
  uint64_t bits = 0;
  for (size_t i = 0; i < log_ratios.size(); ++i) {
    const double u = std::exp(static_cast<double>(log_ratios[i]));
    // What every generator obeys, whichever it is.
    good = good && std::fabs(outputs[2][i] - u * outputs[1][i]) <= 1e-5 * std::fabs(outputs[2][i]) + 1e-12;
    good = good && outputs[0][i] >= 0 && (log_ratios[i] != 0 || outputs[0][i] == 0);
    for (const auto& output : outputs) {
      uint64_t word = 0;
      std::memcpy(&word, &output[i], sizeof(T));
      bits = bits * 31 + word;
    }
  }
  std::printf("divergence %d, %lld of %zu bytes: %016llx\n", static_cast<int>(divergence),
              static_cast<long long>(length), sizeof(T), static_cast<unsigned long long>(bits));
  if (!good) std::printf("wrong\n");
  return good;
}

}  // namespace

int main() {
  bool good = true;
  for (const kullback_divergence divergence : kDivergences) {
    for (const int64_t length : {1, 41, 257, 5000}) {
      good = right<float>(divergence, length) && good;
      good = right<double>(divergence, length) && good;
    }
  }
  return good ? 0 : 1;
}
