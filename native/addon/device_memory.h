// What a DeviceArray of JavaScript's holds: a range of a device's memory, as elements of one type.
//
// Ownership. Ranges share the allocation that they are part of; so does a job that works on one. It goes back to the
// device's pool when the last of them has gone, which waits for nothing.
#ifndef KULLBACK_ADDON_DEVICE_MEMORY_H
#define KULLBACK_ADDON_DEVICE_MEMORY_H

#include <cstdint>
#include <memory>

#include "napi_setup.h"

namespace kullback {

class DeviceMemory {
 public:
  DeviceMemory(int64_t device, void* memory, int64_t bytes);
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory();

  int64_t device() const { return device_; }
  char* begin() const { return static_cast<char*>(memory_); }

 private:
  const int64_t device_;
  void* const memory_;
  const int64_t bytes_;
};

// The bytes of an allocation as JavaScript's garbage collector counts them, which sees none of a device's memory by
// itself. Shared by an environment's ranges alone, since only that environment's thread may give them up.
class Charge {
 public:
  Charge(napi_env env, int64_t bytes);
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;
  ~Charge();

 private:
  const napi_env env_;
  const int64_t bytes_;
};

struct DeviceRange {
  std::shared_ptr<DeviceMemory> memory;  // NULL once disposed of
  std::shared_ptr<Charge> charge;        // likewise
  int64_t offset;                        // in bytes
  int64_t length;                        // in elements
  napi_typedarray_type type;

  void* data() const { return memory->begin() + offset; }
};

// Of the element types that operations take, of tokens, and of the bytes of masks.
inline int64_t element_bytes(napi_typedarray_type type) {
  switch (type) {
    case napi_float64_array:
      return 8;
    case napi_uint16_array:
      return 2;
    case napi_uint8_array:
      return 1;
    default:
      return 4;
  }
}

// The range that a value stands for, or NULL.
DeviceRange* device_range_of(napi_env env, napi_value value);

// device_memory.cc: allocate, slice, read, write, dispose, trim.
void register_device_memory(Napi::Env env, Napi::Object exports);

}  // namespace kullback

#endif  // KULLBACK_ADDON_DEVICE_MEMORY_H
