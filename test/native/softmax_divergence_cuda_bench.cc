// What softmax_divergence costs on a GPU, without Node: milliseconds of a call on device memory, and the percentage of
// what the device's own copies move in that time. One line of JSON a size. `quick` for sizes that the emulator can do.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "../../native/abi/kullback_backend.h"

extern "C" const kullback_backend* kullback_backend_table();

namespace {

const kullback_backend& table() { return *kullback_backend_table(); }

void require(kullback_status status) {
  if (status == KULLBACK_OK) return;
  std::fprintf(stderr, "%s\n", table().last_error());
  std::exit(1);
}

class DeviceFloats {
 public:
  explicit DeviceFloats(int64_t length) : length_(length) {
    void* memory = nullptr;
    require(table().devices->allocate(0, length * 4, &memory));
    data_ = static_cast<float*>(memory);
  }
  DeviceFloats(const DeviceFloats&) = delete;
  DeviceFloats& operator=(const DeviceFloats&) = delete;
  ~DeviceFloats() { table().devices->release(0, data_); }

  // The pool's numbers over and over, from its number `phase` on.
  void fill(const std::vector<float>& pool, int64_t phase) {
    for (int64_t i = 0, from = phase; i < length_; from = 0) {
      const int64_t count = std::min(length_ - i, static_cast<int64_t>(pool.size()) - from);
      require(table().devices->copy_to_device(0, data_ + i, pool.data() + from, count * 4));
      i += count;
    }
  }
  std::vector<float> read(int64_t begin, int64_t count) const {
    std::vector<float> host(static_cast<size_t>(count));
    require(table().devices->copy_to_host(0, host.data(), data_ + begin, count * 4));
    return host;
  }
  float* data() const { return data_; }

 private:
  int64_t length_;
  float* data_;
};

// The median of some calls after two that warm up.
template <class Call>
double milliseconds(const Call& call) {
  std::vector<double> times;
  for (int i = 0; i < 13; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    call();
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - begin;
    if (i >= 2) times.push_back(time.count());
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

void measure(int64_t rows, int64_t columns, const std::vector<float>& teacher_pool,
             const std::vector<float>& student_pool) {
  const int64_t length = rows * columns;
  DeviceFloats student(length), teacher(length), gradient(length);
  student.fill(student_pool, 0);
  teacher.fill(teacher_pool, 0);
  double value = 0;
  kullback_softmax_divergence_request request = {};
  request.dtype = KULLBACK_FLOAT32;
  request.divergence = KULLBACK_FORWARD_KL;
  request.on_device = 1;
  request.rows = rows;
  request.columns = request.student_stride = request.teacher_stride = columns;
  request.student = student.data();
  request.teacher = teacher.data();
  request.student_temperature = request.teacher_temperature = request.grad_output = 1;
  request.scale = 1.0 / static_cast<double>(rows);
  request.value = &value;
  const auto call = [&] { require(table().softmax_divergence(&request, nullptr)); };

  const double alone = milliseconds(call);
  request.student_gradient = gradient.data();
  const double with_gradient = milliseconds(call);
  // The last row, beyond 2^31 elements where there are so many, must come out as it does on its own.
  const std::vector<float> last = gradient.read(length - columns, columns);
  DeviceFloats own(columns);
  kullback_softmax_divergence_request one = request;
  one.rows = 1;
  one.student = student.data() + (length - columns);
  one.teacher = teacher.data() + (length - columns);
  one.student_gradient = own.data();
  require(table().softmax_divergence(&one, nullptr));
  if (own.read(0, columns) != last) {
    std::fprintf(stderr, "%lld x %lld: the last row differs from itself alone\n", static_cast<long long>(rows),
                 static_cast<long long>(columns));
    std::exit(1);
  }
  const double copy = milliseconds([&] {
    require(table().devices->copy_on_device(0, gradient.data(), student.data(), length * 4));
  });
  // A copy moves two elements a column.
  std::printf(
      "{\"rows\":%lld,\"columns\":%lld,\"value\":%.17g,\"milliseconds\":{\"value\":%.4f,\"valueAndGradient\":%.4f,"
      "\"copy\":%.4f},\"gigabytesPerSecond\":%.1f,\"percentOfLimit\":{\"value\":%.1f,\"valueAndGradient\":%.1f}}\n",
      static_cast<long long>(rows), static_cast<long long>(columns), value, alone, with_gradient, copy,
      8e-6 * static_cast<double>(length) / copy, 100 * copy / alone, 150 * copy / with_gradient);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (table().devices->count() < 1) {
    std::fprintf(stderr, "%s\n", table().last_error());
    return 1;
  }
  kullback_device_info info;
  require(table().devices->describe(0, &info));
  std::printf("{\"device\":\"%s\",\"computeCapability\":%d,\"driver\":%d,\"runtime\":%d,\"emulated\":%s}\n", info.name,
              info.compute_capability, info.driver_version, info.runtime_version, info.emulated ? "true" : "false");
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  std::vector<float> noise(1 << 20), teacher, student;
  for (float& number : noise) number = normal(generator);
  for (size_t i = 0; i < noise.size(); ++i) {
    teacher.push_back(3 * noise[i]);
    student.push_back(teacher.back() + noise[(i + 12345) % noise.size()]);
  }
  const bool quick = argc > 1 && std::strcmp(argv[1], "quick") == 0;
  using Size = std::pair<int64_t, int64_t>;
  // The last has more than 2^31 elements.
  const std::vector<Size> sizes = quick
                                      ? std::vector<Size>{{4, 1000}, {2, 5000}, {1, 40000}}
                                      : std::vector<Size>{{8192, 128256}, {32768, 4096}, {4096, 262144}, {8192, 32000},
                                                          {65536, 1000}, {64, 128256}, {1, 128256}, {70000, 32000}};
  for (const auto& [rows, columns] : sizes) measure(rows, columns, teacher, student);
  return 0;
}
