// The CUDA backend's device 0 for programs without Node: its memory, and an end with its words where it refuses.
#ifndef KULLBACK_TEST_CUDA_DEVICE_H
#define KULLBACK_TEST_CUDA_DEVICE_H

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "../../native/abi/kullback_backend.h"

extern "C" const kullback_backend* kullback_backend_table();

namespace kullback::cases {

inline const kullback_backend& cuda() { return *kullback_backend_table(); }
inline const kullback_devices& devices() { return *cuda().devices; }

inline void require(kullback_status status) {
  if (status == KULLBACK_OK) return;
  std::fprintf(stderr, "%s\n", cuda().last_error());
  std::exit(1);
}

class DeviceFloats {
 public:
  explicit DeviceFloats(int64_t length) : length_(length) {
    void* memory = nullptr;
    require(devices().allocate(0, length * 4, &memory));
    data_ = static_cast<float*>(memory);
  }
  DeviceFloats(const DeviceFloats&) = delete;
  DeviceFloats& operator=(const DeviceFloats&) = delete;
  ~DeviceFloats() { devices().release(0, data_); }

  void write(int64_t begin, const float* from, int64_t count) {
    require(devices().copy_to_device(0, data_ + begin, from, count * 4));
  }
  std::vector<float> read(int64_t begin, int64_t count) const {
    std::vector<float> host(static_cast<size_t>(count));
    require(devices().copy_to_host(0, host.data(), data_ + begin, count * 4));
    return host;
  }
  int64_t length() const { return length_; }
  float* data() const { return data_; }

 private:
  int64_t length_;
  float* data_;
};

}  // namespace kullback::cases

#endif  // KULLBACK_TEST_CUDA_DEVICE_H
