// The part of the CUDA run-time API that dispatchers use, on host memory.
// With deferred streams nothing enqueued happens before a synchronisation asks for it, so a forgotten one reads poison,
// and a host buffer freed too early is a use after free for AddressSanitizer. Threads take turns, a call at a time.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "emulator.h"

struct EmulatedEvent {
  std::shared_ptr<bool> done = std::make_shared<bool>(true);
  EmulatedStream* stream = nullptr;
};
struct EmulatedStream {
  int device = 0;
  std::deque<std::function<void()>> work;
};

namespace {
using kullback::emulator::checker;
using kullback::emulator::settings;

auto& streams = *new std::set<EmulatedStream*>;
auto& default_stream = *new EmulatedStream;
int refused = 0;  // allocations, of settings().deny
auto& device_memory = *new std::map<const char*, size_t>;
size_t allocated = 0, pooled = 0;  // the latter is part of the former
auto& shared_limit = *new std::map<const void*, int>;
auto& large_clusters = *new std::set<const void*>;  // kernels that opted in
thread_local cudaError_t last = cudaSuccess;
thread_local int current_device = 0;
int poisoned = -1;  // the device that settings().lose has cost: every synchronisation with it fails from then on
auto& text = *new std::string;

// Of the thread that is in one of the functions below.
class Turn {
 public:
  Turn() : lock_(mutex()) {}

 private:
  static std::recursive_mutex& mutex() {
    static auto& one = *new std::recursive_mutex;
    return one;
  }
  std::lock_guard<std::recursive_mutex> lock_;
};

cudaError_t set(cudaError_t error) {
  if (error) last = error;
  return error;
}
EmulatedStream* at(cudaStream_t s) { return s ? s : &default_stream; }
void step(EmulatedStream* s) {
  auto work = std::move(s->work.front());
  s->work.pop_front();
  work();
}
cudaError_t drain(EmulatedStream* s) {
  while (!s->work.empty()) step(s);
  if (s->device == poisoned) last = cudaErrorLaunchFailure;
  return last;
}
void enqueue(cudaStream_t s, std::function<void()> work) {
  at(s)->work.push_back(std::move(work));
  if (!settings().deferred_streams) drain(at(s));
}
void copy(void* d, const void* s, size_t n, cudaMemcpyKind kind) {
  memcpy(d, s, n);
  if (checker && (kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice || kind == cudaMemcpyDefault))
    checker->initialised(d, n);
}
}  // namespace

namespace kullback::emulator {

std::string last_error() { return text; }

// By compute capability, in bytes a block.
static size_t shared_memory_limit() {
  const int sm = settings().capability;
  if (sm >= 120) return 101376;
  if (sm >= 90) return 232448;
  if (sm == 80 || sm == 87) return 166912;
  return sm >= 86 ? 101376 : 65536;
}

// Shared-memory, thread and cluster limits as the emulated device has them.
const char* refuse(const Launch& l) {
  const int sm = settings().capability;
  const size_t limit = shared_memory_limit();
  unsigned threads = l.block.x * l.block.y * l.block.z;
  if (!threads || threads > 1024 || l.block.z > 64) return "threads per block";
  if (!l.grid.x || !l.grid.y || !l.grid.z || l.grid.y > 65535 || l.grid.z > 65535 || l.grid.x > 2147483647u)
    return "grid size";
  auto opted = shared_limit.find(l.function);
  if (l.shared_bytes > limit) return "more shared memory than the device has";
  if (l.shared_bytes > 49152 && (opted == shared_limit.end() || size_t(opted->second) < l.shared_bytes))
    return "more than 48 KiB of shared memory without cudaFuncSetAttribute";
  unsigned cluster = l.cluster.x * l.cluster.y * l.cluster.z;
  if (cluster > 1 && sm < 90) return "clusters need sm_90";
  constexpr unsigned kPortable = 8;
  if (cluster > kPortable && large_clusters.count(l.function) == 0)
    return "a cluster of more than 8 without cudaFuncSetAttribute";
  if (cluster > (sm >= 120 ? kPortable : settings().largest_cluster) || l.cluster.y != 1 || l.cluster.z != 1 ||
      l.grid.x % l.cluster.x)
    return "cluster size";
  return nullptr;
}

// The kernel's name goes to a file of this process in the folder that KULLBACK_EMULATOR_COVERAGE names.
void note_coverage(const char* kernel) {
  static auto& seen = *new std::set<std::string>;
  const char* const folder = getenv("KULLBACK_EMULATOR_COVERAGE");
  if (folder == nullptr || !seen.insert(kernel).second) return;
  const std::string path = std::string(folder) + "/" + std::to_string(getpid());
  if (FILE* file = fopen(path.c_str(), "a")) {
    fprintf(file, "%s\n", kernel);
    fclose(file);
  }
}

bool fits(const Launch& launch) {
  const Turn turn;
  return refuse(launch) == nullptr;
}

cudaError_t submit(Launch launch, cudaStream_t stream, Body body) {
  const Turn turn;
  static int launches = 0;
  note_coverage(launch.kernel);
  if (++launches == settings().lose) {
    text = "unspecified launch failure";
    poisoned = current_device;
  }
  if (const char* why = refuse(launch)) {
    text = std::string(launch.kernel) + ": invalid launch: " + why;
    return set(cudaErrorInvalidConfiguration);
  }
  enqueue(stream, [launch, body, owner = std::shared_ptr<const void>(body.parameters, body.destroy)] {
    try {
      run(launch, body);
    } catch (const Error& error) {
      text = error.what();
      set(cudaErrorLaunchFailure);
    }
  });
  return cudaSuccess;
}
}  // namespace kullback::emulator

const char* cudaGetErrorName(cudaError_t e) {
  switch (e) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorNotSupported:
      return "cudaErrorNotSupported";
  }
  return "cudaErrorUnknown";
}
const char* cudaGetErrorString(cudaError_t e) { return e == cudaSuccess ? "no error" : text.c_str(); }
cudaError_t cudaGetLastError() {
  cudaError_t e = last;
  last = cudaSuccess;
  return e;
}
cudaError_t cudaPeekAtLastError() { return last; }
cudaError_t cudaGetDeviceCount(int* n) {
  *n = settings().devices;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* d) {
  *d = current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int d) {
  if (d < 0 || d >= settings().devices) return set(cudaErrorInvalidDevice);
  current_device = d;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr a, int) {
  int sm = settings().capability;
  switch (a) {
    case cudaDevAttrMultiProcessorCount:
      *v = settings().multiprocessors;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *v = sm / 10;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *v = sm % 10;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *v = int(kullback::emulator::shared_memory_limit());
      break;
    case cudaDevAttrClusterLaunch:
      *v = sm >= 90;
      break;
    default:
      return set(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"emulator"};
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const Turn turn;
  *total = settings().memory;
  *free = settings().memory - allocated;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  const Turn turn;
  if (default_stream.device == current_device) drain(&default_stream);
  for (auto* s : streams) {
    if (s->device == current_device) drain(s);
  }
  return last;
}
// What still is to happen to it is a use after free.
static cudaError_t release(void* p) {
  if (!p) return cudaSuccess;
  auto it = device_memory.find(static_cast<char*>(p));
  if (it == device_memory.end()) {
    text = "cudaFree of something cudaMalloc did not return";
    return set(cudaErrorInvalidValue);
  }
  if (checker) checker->buffer(p, it->second, false);
  allocated -= it->second;
  device_memory.erase(it);
  free(p);
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** p, size_t n) {
  const Turn turn;
  if (refused < settings().deny) {
    ++refused;
    return set(cudaErrorMemoryAllocation);
  }
  if (n > settings().memory - allocated || posix_memalign(p, 256, n ? n : 1)) return set(cudaErrorMemoryAllocation);
  memset(*p, 0xff, n);
  device_memory[static_cast<char*>(*p)] = n;
  allocated += n;
  if (checker) checker->buffer(*p, n, true);
  return cudaSuccess;
}
cudaError_t cudaFree(void* p) {
  const Turn turn;
  cudaDeviceSynchronize();
  return release(p);
}
cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps*) {
  *pool = nullptr;
  return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
// Memory that has been freed is nobody's for the checks; the device counts it as used until a trim.
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) {
  const Turn turn;
  allocated -= pooled;
  pooled = 0;
  return cudaSuccess;
}
cudaError_t cudaMallocFromPoolAsync(void** p, size_t n, cudaMemPool_t, cudaStream_t) {
  const Turn turn;
  // What the pool has is taken before more is asked for.
  const size_t reused = std::min(n, pooled);
  pooled -= reused;
  allocated -= reused;
  return cudaMalloc(p, n);
}
cudaError_t cudaFreeAsync(void* p, cudaStream_t stream) {
  const Turn turn;
  drain(at(stream));
  const auto it = device_memory.find(static_cast<char*>(p));
  const size_t bytes = it == device_memory.end() ? 0 : it->second;
  const cudaError_t error = release(p);
  pooled += bytes;
  allocated += bytes;
  return error;
}
cudaError_t cudaMallocHost(void** p, size_t n) {
  *p = malloc(n);
  return *p ? cudaSuccess : set(cudaErrorMemoryAllocation);
}
cudaError_t cudaFreeHost(void* p) {
  free(p);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* d, const void* s, size_t n, cudaMemcpyKind k, cudaStream_t stream) {
  const Turn turn;
  enqueue(stream, [=] { copy(d, s, n, k); });
  return cudaSuccess;
}
// On the default stream, which waits for no stream that was made with cudaStreamNonBlocking.
cudaError_t cudaMemcpy(void* d, const void* s, size_t n, cudaMemcpyKind k) {
  const Turn turn;
  cudaMemcpyAsync(d, s, n, k, nullptr);
  return drain(&default_stream);
}
cudaError_t cudaMemsetAsync(void* d, int v, size_t n, cudaStream_t stream) {
  const Turn turn;
  enqueue(stream, [=] {
    memset(d, v, n);
    if (checker) checker->initialised(d, n);
  });
  return cudaSuccess;
}
cudaError_t cudaMemset(void* d, int v, size_t n) {
  const Turn turn;
  cudaMemsetAsync(d, v, n, nullptr);
  return drain(&default_stream);
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) {
  const Turn turn;
  streams.insert(*s = new EmulatedStream);
  (*s)->device = current_device;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t s) {
  const Turn turn;
  drain(s);
  streams.erase(s);
  delete s;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  const Turn turn;
  return drain(at(s));
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  const Turn turn;
  auto done = e->done;
  EmulatedStream* other = e->stream;
  enqueue(s, [=] {
    while (!*done) step(other);
  });
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) {
  *e = new EmulatedEvent;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t e) {
  delete e;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  const Turn turn;
  e->done = std::make_shared<bool>(false);
  e->stream = at(s);
  enqueue(s, [done = e->done] { *done = true; });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  const Turn turn;
  while (!*e->done) step(e->stream);
  if (e->stream != nullptr && e->stream->device == poisoned) last = cudaErrorLaunchFailure;
  return last;
}
// A device works on, so with each question a piece of the stream's work gets done.
cudaError_t cudaEventQuery(cudaEvent_t e) {
  const Turn turn;
  if (*e->done) return cudaEventSynchronize(e);
  step(e->stream);
  return cudaErrorNotReady;
}
cudaError_t kullback_set_function_attribute(const void* f, cudaFuncAttribute a, int v) {
  const Turn turn;
  if (a == cudaFuncAttributeMaxDynamicSharedMemorySize) shared_limit[f] = v;
  if (a == cudaFuncAttributeNonPortableClusterSizeAllowed && v != 0) large_clusters.insert(f);
  return cudaSuccess;
}
