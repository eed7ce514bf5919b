// Device: what this backend keeps of a GPU between calls, and how the run-time API's errors become statuses.
//
// A device works for one call at a time. An error that poisons its CUDA context (an illegal address, a kernel that
// timed out) makes every later call fail with the same words: the backend is of no more use, the process lives on.
#ifndef KULLBACK_CUDA_CONTEXT_H
#define KULLBACK_CUDA_CONTEXT_H

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "../abi/kullback_backend.h"

namespace kullback {

// What a call throws; run_on() makes a status and a text of it.
struct CudaFailure {
  kullback_status status;
  std::string text;
};

// Throws CudaFailure unless `error` is success. `what` was being done, as in "copying to the device".
void check(cudaError_t error, const char* what);

// A pinned block of the host and a block of the device of the same size, with the stream that works on them. What goes
// to the device and comes back passes through the pinned one, so that copies run beside kernels.
struct Slot {
  cudaStream_t stream = nullptr;
  char* host = nullptr;
  char* device = nullptr;
  size_t bytes = 0;
};

class Device {
 public:
  static constexpr unsigned kSlots = 2;

  explicit Device(int index) : index_(index) {}

  // The lock of this device, which is made the calling thread's current one.
  std::unique_lock<std::mutex> begin();
  // Memory of the device's pool, ready for every stream, and its return. The pool keeps what comes back for the next
  // allocation, until trim().
  void* allocate(size_t bytes);
  void free(void* memory);
  // A slot with at least `bytes`, on which nothing runs any more if the caller has waited for its stream.
  Slot& slot(unsigned index, size_t bytes);
  // Gives back what is kept for later calls.
  void trim();
  int attribute(cudaDeviceAttr attribute);
  int index() const { return index_; }
  // After a failure: does the context still work?
  void look_after(const CudaFailure& failure);

 private:
  void release(Slot& slot);
  cudaStream_t allocation_stream();

  const int index_;
  cudaStream_t allocation_stream_ = nullptr;  // made, with the pool's settings, by the first allocation
  std::mutex mutex_;
  Slot slots_[kSlots];
  std::string poison_;  // empty while the context works
};

// Devices there are; throws CudaFailure where the driver is missing or too old.
int device_count();
// Throws CudaFailure where there is no such device.
Device& device_at(int index);

// The text of the calling thread's last failure.
const char* last_error();
kullback_status failed(const CudaFailure& failure);

// body(device) with the device locked and current; what it throws becomes a status and last_error's text.
template <class Body>
kullback_status run_on(int index, const Body& body) {
  try {
    Device& device = device_at(index);
    const std::unique_lock<std::mutex> lock = device.begin();
    try {
      return body(device);
    } catch (const CudaFailure& failure) {
      device.look_after(failure);
      throw;
    }
  } catch (const CudaFailure& failure) {
    return failed(failure);
  } catch (const std::bad_alloc&) {
    return failed({KULLBACK_OUT_OF_MEMORY, "not enough host memory for the operation's working space"});
  }
}

}  // namespace kullback

#endif  // KULLBACK_CUDA_CONTEXT_H
