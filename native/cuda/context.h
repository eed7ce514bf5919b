// Device: what this backend keeps of a GPU between calls, and how the run-time API's errors become statuses.
//
// A device works for one operation at a time; its memory is at hand meanwhile. An error that poisons its CUDA context
// (an illegal address, a kernel that timed out) makes every later call fail with the same words: the backend is of no
// more use, the process lives on.
#ifndef KULLBACK_CUDA_CONTEXT_H
#define KULLBACK_CUDA_CONTEXT_H

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "../abi/kullback_backend.h"
#include "device.h"

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
  cudaEvent_t done = nullptr;  // what the stream was given last, where that has been recorded
  char* host = nullptr;
  char* device = nullptr;
  size_t bytes = 0;
};

// Marks the end of what the slot's stream was given so far.
void record(const Slot& slot, const char* what);
// Sleeps until that end, and hears of an abort meanwhile: returns whether there was one. What was launched has ended in
// either case.
bool wait(const Slot& slot, const kullback_control* control, const char* what);

class Device {
 public:
  static constexpr unsigned kSlots = 2;

  explicit Device(int index) : index_(index) {}

  // For any number of threads at a time.

  // Makes it the calling thread's current device. Throws CudaFailure where it is lost.
  void enter();
  // Memory of the device's pool, ready for every stream, and its return. The pool keeps what comes back for the next
  // allocation, until trim().
  void* allocate(size_t bytes);
  void free(void* memory);
  int attribute(cudaDeviceAttr attribute);
  // After a failure: waits for what still runs. Does the context still work?
  bool works_after(const CudaFailure& failure);

  // For the thread that has the lock.

  std::unique_lock<std::mutex> lock() { return std::unique_lock<std::mutex>(mutex_); }
  // A slot with at least `bytes`, on which nothing runs any more if the caller has waited for its stream.
  Slot& slot(unsigned index, size_t bytes);
  // The most blocks of `kernel` that a cluster can have here, with as much shared memory each as there is.
  template <class... Parameters>
  unsigned largest_cluster(void (*kernel)(Parameters...), unsigned threads);
  // Gives back what is kept for later calls.
  void trim();
  void release_large_slots();

 private:
  void release(Slot& slot);
  void make_pool();

  const int index_;
  std::once_flag pool_made_;  // by the first allocation
  cudaMemPool_t pool_ = nullptr;
  cudaStream_t allocation_stream_ = nullptr;
  std::mutex poison_mutex_;
  std::string poison_;  // empty while the context works
  std::mutex mutex_;
  Slot slots_[kSlots];
  std::map<const void*, unsigned> largest_clusters_;  // by kernel
};

template <class... Parameters>
unsigned Device::largest_cluster(void (*kernel)(Parameters...), unsigned threads) {
  const auto [found, is_new] = largest_clusters_.try_emplace(reinterpret_cast<const void*>(kernel), 1);
  if (is_new && attribute(cudaDevAttrClusterLaunch) != 0) {
    const auto shared = static_cast<size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
    for (unsigned cluster = kLargestCluster; cluster > 1 && found->second == 1; cluster /= 2) {
      if (fits(kernel, {dim3(cluster), dim3(threads), shared, cluster})) found->second = cluster;
    }
  }
  return found->second;
}

// Devices there are; throws CudaFailure where the driver is missing or too old.
int device_count();
// Throws CudaFailure where there is no such device.
Device& device_at(int index);

// The text of the calling thread's last failure.
const char* last_error();
kullback_status failed(const CudaFailure& failure);

// What `body` throws as a status and last_error's text.
template <class Body>
kullback_status guarded(const Body& body) {
  try {
    return body();
  } catch (const CudaFailure& failure) {
    return failed(failure);
  } catch (const std::bad_alloc&) {
    return failed({KULLBACK_OUT_OF_MEMORY, "not enough host memory for the operation's working space"});
  }
}

// body(device), guarded, with the device current: for its memory, beside what it computes.
template <class Body>
kullback_status beside_work(int index, const Body& body) {
  return guarded([&] {
    Device& device = device_at(index);
    device.enter();
    try {
      return body(device);
    } catch (const CudaFailure& failure) {
      // Memory that could not be had says nothing against the context, and must not wait for what runs.
      if (failure.status != KULLBACK_OUT_OF_MEMORY) device.works_after(failure);
      throw;
    }
  });
}

// body(device), guarded, with the device current and locked: for an operation.
template <class Body>
kullback_status run_on(int index, const Body& body) {
  return guarded([&] {
    Device& device = device_at(index);
    const std::unique_lock<std::mutex> lock = device.lock();
    device.enter();
    try {
      const kullback_status status = body(device);
      device.release_large_slots();
      return status;
    } catch (const CudaFailure& failure) {
      // Nothing of it may still run when its arrays are gone.
      if (device.works_after(failure)) device.release_large_slots();
      throw;
    }
  });
}

}  // namespace kullback

#endif  // KULLBACK_CUDA_CONTEXT_H
