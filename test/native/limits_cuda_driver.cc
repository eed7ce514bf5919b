// Runs what the benches take for the device's limits, without Node: sums are checked, from one vector to more than one
// for each thread that the device has room for. Exits with 1 where they are off.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "cuda_device.h"

namespace {

using namespace kullback::cases;

std::vector<float> numbers(int64_t length, float slope) {
  std::vector<float> result(static_cast<size_t>(length));
  for (size_t i = 0; i < result.size(); ++i) result[i] = slope * static_cast<float>(i % 1000);
  return result;
}

// All but the elements behind the last whole vector.
bool sums_are_right(int64_t length) {
  const std::vector<float> first = numbers(length, 1), second = numbers(length, -3);
  DeviceFloats on_device[] = {DeviceFloats(length), DeviceFloats(length), DeviceFloats(length)};
  on_device[0].write(0, first.data(), length);
  on_device[1].write(0, second.data(), length);
  const auto limit = [&](float* sum) {
    require(devices().memory_limit(0, on_device[0].data(), on_device[1].data(), sum, length));
  };
  limit(nullptr);
  limit(on_device[2].data());
  const int64_t whole = length / 4 * 4;
  const std::vector<float> sum = on_device[2].read(0, whole);
  for (size_t i = 0; i < sum.size(); ++i) {
    if (sum[i] == first[i] + second[i]) continue;
    std::printf("%lld elements: element %zu is %g\n", static_cast<long long>(length), i, sum[i]);
    return false;
  }
  return true;
}

}  // namespace

// No arguments; or `memory`, `sum` or `exponentials` and how many, for the emulator to tell what the launch costs.
int main(int argc, char** argv) {
  if (argc == 3) {
    const int64_t count = std::atoll(argv[2]);
    if (argv[1][0] == 'e') {
      require(devices().exponential_limit(0, count));
    } else {
      DeviceFloats first(count), second(count), sum(count);
      for (DeviceFloats* array : {&first, &second}) array->write(0, numbers(count, 1).data(), count);
      require(devices().memory_limit(0, first.data(), second.data(), argv[1][0] == 's' ? sum.data() : nullptr, count));
    }
    return 0;
  }
  bool good = true;
  for (const int64_t length : {1, 4, 7, 1000, 200000}) good = sums_are_right(length) && good;
  for (const int64_t count : {1, 1000, 100000}) require(devices().exponential_limit(0, count));
  return good ? 0 : 1;
}
