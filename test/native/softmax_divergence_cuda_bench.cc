// What softmax_divergence costs on a GPU, without Node: milliseconds of a call on device memory, and of the limits that
// the device has for as much work. Lines of JSON for `npm run bench -- softmax-divergence --backend cuda --from`: the
// device, then each size as it is done. `quick` for sizes that the emulator can do.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "cuda_device.h"

namespace {

using namespace kullback::cases;

// As bench/softmax-divergence-cuda.ts counts them.
constexpr int64_t kExponentialsPerColumn = 4;

// The pool's numbers over and over.
void fill(DeviceFloats& array, const std::vector<float>& pool) {
  const int64_t most = static_cast<int64_t>(pool.size());
  for (int64_t i = 0; i < array.length(); i += most) array.write(i, pool.data(), std::min(most, array.length() - i));
}

// The median milliseconds of each call, all taking turns, after two rounds that warm up.
std::vector<double> in_turns(const std::vector<std::function<void()>>& calls) {
  std::vector<std::vector<double>> times(calls.size());
  for (int round = 0; round < 13; ++round) {
    for (size_t i = 0; i < calls.size(); ++i) {
      const auto begin = std::chrono::steady_clock::now();
      calls[i]();
      const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - begin;
      if (round >= 2) times[i].push_back(time.count());
    }
  }
  std::vector<double> medians;
  for (auto& of_call : times) {
    std::nth_element(of_call.begin(), of_call.begin() + of_call.size() / 2, of_call.end());
    medians.push_back(of_call[of_call.size() / 2]);
  }
  return medians;
}

void measure(int64_t rows, int64_t columns, const std::vector<float>& teacher_pool,
             const std::vector<float>& student_pool) {
  const int64_t length = rows * columns;
  DeviceFloats student(length), teacher(length), gradient(length);
  fill(student, student_pool);
  fill(teacher, teacher_pool);
  double value = 0;
  kullback_softmax_divergence_request alone = {};
  alone.dtype = KULLBACK_FLOAT32;
  alone.divergence = KULLBACK_FORWARD_KL;
  alone.on_device = 1;
  alone.rows = rows;
  alone.columns = alone.student_stride = alone.teacher_stride = columns;
  alone.student = student.data();
  alone.teacher = teacher.data();
  alone.student_temperature = alone.teacher_temperature = alone.grad_output = 1;
  alone.scale = 1.0 / static_cast<double>(rows);
  alone.value = &value;
  kullback_softmax_divergence_request with_gradient = alone;
  with_gradient.student_gradient = gradient.data();
  const auto call = [](const kullback_softmax_divergence_request& request) {
    require(cuda().softmax_divergence(&request, nullptr));
  };

  call(with_gradient);
  // The last row, beyond 2^31 elements where there are so many, must come out as it does on its own.
  const std::vector<float> last = gradient.read(length - columns, columns);
  DeviceFloats own(columns);
  double own_value = 0;
  kullback_softmax_divergence_request one = with_gradient;
  one.rows = 1;
  one.value = &own_value;
  one.student = student.data() + (length - columns);
  one.teacher = teacher.data() + (length - columns);
  one.student_gradient = own.data();
  call(one);
  if (own.read(0, columns) != last) {
    std::fprintf(stderr, "%lld x %lld: the last row differs from itself alone\n", static_cast<long long>(rows),
                 static_cast<long long>(columns));
    std::exit(1);
  }
  const auto limit = [&](float* sum) {
    require(devices().memory_limit(0, student.data(), teacher.data(), sum, length));
  };
  const std::vector<double> times = in_turns(
      {[&] { call(with_gradient); }, [&] { limit(gradient.data()); }, [&] { call(alone); }, [&] { limit(nullptr); },
       [&] { require(devices().exponential_limit(0, kExponentialsPerColumn * length)); }});
  std::printf(
      "{\"rows\":%lld,\"columns\":%lld,\"value\":%.17g,\"milliseconds\":{\"valueAndGradient\":%.5f,"
      "\"twoReadsOneWrite\":%.5f,\"value\":%.5f,\"twoReads\":%.5f,\"exponentials\":%.5f},"
      "\"percentOfLimit\":{\"valueAndGradient\":%.1f,\"value\":%.1f}}\n",
      static_cast<long long>(rows), static_cast<long long>(columns), value, times[0], times[1], times[2], times[3],
      times[4], 100 * times[1] / times[0], 100 * times[3] / times[2]);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (devices().count() < 1) {
    std::fprintf(stderr, "%s\n", cuda().last_error());
    return 1;
  }
  const bool quick = argc > 1 && std::strcmp(argv[1], "quick") == 0;
  kullback_device_info info;
  require(devices().describe(0, &info));
  std::printf(
      "{\"device\":{\"name\":\"%s\",\"computeCapability\":%d,\"driverVersion\":%d,\"runtimeVersion\":%d,"
      "\"emulated\":%s},\"quick\":%s}\n",
      info.name, info.compute_capability, info.driver_version, info.runtime_version, info.emulated ? "true" : "false",
      quick ? "true" : "false");
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  std::vector<float> noise(1 << 20), teacher, student;
  for (float& number : noise) number = normal(generator);
  for (size_t i = 0; i < noise.size(); ++i) {
    teacher.push_back(3 * noise[i]);
    student.push_back(teacher.back() + noise[(i + 12345) % noise.size()]);
  }
  using Size = std::pair<int64_t, int64_t>;
  // Those of bench/softmax-divergence-cuda.ts, and one with more than 2^31 elements.
  const std::vector<Size> sizes = quick ? std::vector<Size>{{4, 1000}, {2, 5000}, {1, 40000}, {1, 10}}
                                        : std::vector<Size>{{8192, 128256}, {32768, 4096}, {2048, 262144}, {8192, 1024},
                                                            {512, 32000},   {1, 10},       {70000, 32000}};
  for (const auto& [rows, columns] : sizes) measure(rows, columns, teacher, student);
  return 0;
}
