#include "context.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <new>
#include <thread>

namespace kullback {
namespace {

// A slot as large is worth keeping between calls.
constexpr size_t kKeptBytes = size_t{64} << 20;
// Between two looks at whether a job was aborted. A launch takes from some microseconds to some milliseconds.
constexpr std::chrono::microseconds kBetweenLooks{50};

std::string& last_text() {
  static thread_local std::string text;
  return text;
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// What cudaGetDeviceCount's refusal means to someone who would like to run here.
std::string why_no_device(cudaError_t error) {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const std::string name = std::string(cudaGetErrorName(error)) + " (" + std::to_string(error) + ")";
  if (driver == 0) return "no NVIDIA driver is loaded: " + name;
  if (error == cudaErrorInsufficientDriver) {
    return "the NVIDIA driver speaks CUDA " + version_text(driver) + ", this build needs " +
           version_text(runtime / 1000 * 1000) + " or newer: " + name;
  }
  return name + ": " + cudaGetErrorString(error);
}

}  // namespace

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // errors that do not poison the context are forgotten here
  const kullback_status status = error == cudaErrorMemoryAllocation ? KULLBACK_OUT_OF_MEMORY : KULLBACK_DEVICE_ERROR;
  throw CudaFailure{status, std::string(what) + ": " + cudaGetErrorName(error) + " (" + std::to_string(error) +
                                "): " + cudaGetErrorString(error)};
}

void record(const Slot& slot, const char* what) { check(cudaEventRecord(slot.done, slot.stream), what); }

bool wait(const Slot& slot, const kullback_control* control, const char* what) {
  bool aborted = false;
  // Without anybody who could abort, or once one has, the driver wakes this thread.
  while (control != nullptr && !aborted) {
    const cudaError_t state = cudaEventQuery(slot.done);
    if (state != cudaErrorNotReady) {
      check(state, what);
      return false;
    }
    aborted = control->cancelled(control->context) != 0;
    if (!aborted) std::this_thread::sleep_for(kBetweenLooks);
  }
  check(cudaEventSynchronize(slot.done), what);
  return aborted;
}

int device_count() {
  static const cudaError_t error = [] {
    int count = 0;
    return cudaGetDeviceCount(&count);
  }();
  if (error != cudaSuccess) {
    cudaGetLastError();
    throw CudaFailure{KULLBACK_DEVICE_ERROR, why_no_device(error)};
  }
  int count = 0;
  check(cudaGetDeviceCount(&count), "counting devices");
  if (count == 0) throw CudaFailure{KULLBACK_DEVICE_ERROR, "the driver knows no device"};
  return count;
}

Device& device_at(int index) {
  // Never destroyed: a thread may still work on one when the process ends.
  static const auto& devices = *[] {
    auto all = std::make_unique<std::vector<Device*>>();
    for (int i = 0; i < device_count(); ++i) all->push_back(new Device(i));
    return all.release();
  }();
  if (index < 0 || static_cast<size_t>(index) >= devices.size()) {
    throw CudaFailure{KULLBACK_DEVICE_ERROR,
                      "there is no device " + std::to_string(index) + "; there are " + std::to_string(devices.size())};
  }
  return *devices[static_cast<size_t>(index)];
}

void Device::enter() {
  {
    const std::lock_guard<std::mutex> lock(poison_mutex_);
    if (!poison_.empty()) throw CudaFailure{KULLBACK_DEVICE_ERROR, poison_};
  }
  check(cudaSetDevice(index_), "choosing the device");
}

int Device::attribute(cudaDeviceAttr attribute) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, attribute, index_), "asking for a device's attribute");
  return value;
}

// Of its own, since the device's default one is for everything else in the process.
void Device::make_pool() {
  std::call_once(pool_made_, [this] {
    cudaMemPoolProps properties = {};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location.type = cudaMemLocationTypeDevice;
    properties.location.id = index_;
    uint64_t kept = UINT64_MAX;
    check(cudaMemPoolCreate(&pool_, &properties), "creating a memory pool");
    check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &kept), "setting up the memory pool");
    check(cudaStreamCreateWithFlags(&allocation_stream_, cudaStreamNonBlocking), "creating a stream");
  });
}

void* Device::allocate(size_t bytes) {
  make_pool();
  void* memory = nullptr;
  cudaError_t error = cudaMallocFromPoolAsync(&memory, bytes, pool_, allocation_stream_);
  if (error == cudaSuccess) error = cudaStreamSynchronize(allocation_stream_);
  if (error == cudaErrorMemoryAllocation) {
    size_t free = 0, total = 0;
    cudaGetLastError();
    cudaMemGetInfo(&free, &total);
    throw CudaFailure{KULLBACK_OUT_OF_MEMORY, "asked for " + std::to_string(bytes) + " bytes of device memory; " +
                                                  std::to_string(free) + " of " + std::to_string(total) + " are free"};
  }
  check(error, "allocating device memory");
  return memory;
}

// Whoever used it has waited for its stream, so no order with that is needed.
void Device::free(void* memory) { check(cudaFreeAsync(memory, allocation_stream_), "freeing device memory"); }

Slot& Device::slot(unsigned index, size_t bytes) {
  Slot& slot = slots_[index];
  if (slot.stream == nullptr) {
    check(cudaStreamCreateWithFlags(&slot.stream, cudaStreamNonBlocking), "creating a stream");
  }
  if (slot.done == nullptr) {
    check(cudaEventCreateWithFlags(&slot.done, cudaEventDisableTiming | cudaEventBlockingSync), "creating an event");
  }
  if (slot.bytes < bytes) {
    release(slot);
    slot.device = static_cast<char*>(allocate(bytes));
    // What lies between outputs is copied back with them.
    check(cudaMemsetAsync(slot.device, 0, bytes, slot.stream), "clearing device memory");
    void* host = nullptr;
    check(cudaMallocHost(&host, bytes), "allocating pinned memory");
    slot.host = static_cast<char*>(host);
    slot.bytes = bytes;
  }
  return slot;
}

void Device::release(Slot& slot) {
  if (slot.stream != nullptr) check(cudaStreamSynchronize(slot.stream), "waiting for a stream");
  if (slot.host != nullptr) check(cudaFreeHost(slot.host), "freeing pinned memory");
  slot.host = nullptr;
  if (slot.device != nullptr) free(slot.device);
  slot.device = nullptr;
  slot.bytes = 0;
}

void Device::trim() {
  for (Slot& slot : slots_) release(slot);
  make_pool();
  check(cudaStreamSynchronize(allocation_stream_), "waiting for a stream");
  check(cudaMemPoolTrimTo(pool_, 0), "trimming the memory pool");
}

void Device::release_large_slots() {
  for (Slot& slot : slots_) {
    if (slot.bytes == 0 || slot.bytes > kKeptBytes) release(slot);
  }
}

bool Device::works_after(const CudaFailure& failure) {
  if (cudaDeviceSynchronize() == cudaSuccess) return true;
  const std::lock_guard<std::mutex> lock(poison_mutex_);
  poison_ = "device " + std::to_string(index_) + " is lost to this process since an earlier error: " + failure.text;
  return false;
}

const char* last_error() { return last_text().c_str(); }

kullback_status failed(const CudaFailure& failure) {
  last_text() = failure.text;
  return failure.status;
}

}  // namespace kullback
