// Runs the CUDA backend's linear_softmax_divergence without Node, around the sizes of a product's tiles and parts, in one
// chunk and in many. Prints the bits of all outputs; exits with 1 where they are not what float64 says, or depend on the
// chunks.
#include <cstdio>

#include "cuda_device.h"
#include "linear_softmax_divergence_cases.h"

namespace {

using namespace kullback::cases;

template <class T>
bool right(const LinearSize& size, bool against_labels) {
  uint64_t bits = 0;
  const bool good = linear_agrees<T>(cuda(), size.rows, size.columns, size.width, against_labels, &bits);
  std::printf("%lld x %lld x %lld of %zu bytes, %s: %016llx%s\n", static_cast<long long>(size.rows),
              static_cast<long long>(size.width), static_cast<long long>(size.columns), sizeof(T),
              against_labels ? "labels" : "a teacher", static_cast<unsigned long long>(bits), good ? "" : " wrong");
  return good;
}

}  // namespace

int main() {
  bool good = true;
  for (const LinearSize& size : kLinearSizes) {
    for (const bool against_labels : {false, true}) {
      good = right<float>(size, against_labels) && good;
      good = right<double>(size, against_labels) && good;
    }
  }
  return good ? 0 : 1;
}
