// The emulator of CUDA on the host, as kernels, dispatchers and its run-time API see it. Kernels are executed one block
// (or one cluster) at a time, each CUDA thread as a fiber.
#ifndef KULLBACK_EMULATOR_EMULATOR_H
#define KULLBACK_EMULATOR_EMULATOR_H

#include <cuda_runtime.h>

#include <stdexcept>

namespace kullback::emulator {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Who goes first where several could.
//
// A fiber runs until it blocks: at a block barrier, a warp collective or a cluster barrier. The scheduler then
// continues the same warp, and goes to the next one only when this one waits for the block. So between two block
// barriers warp A runs wholly before warp B under `forward`, and wholly after it under `reverse`: every pair of
// conflicting accesses without a barrier between them is executed in both orders by the two runs.
enum class Order { forward, reverse, random };

struct Settings {
  Order order = Order::forward;
  uint64_t seed = 1;
  bool late_copies = true;       // asynchronous copies land at the last legal moment, else at the first
  bool deferred_streams = true;  // stream work runs at synchronisation, else at the call
  int capability = 90;           // the device that the dispatchers see
  int multiprocessors = 4;
  int devices = 1;                  // all alike
  unsigned largest_cluster = 16;    // that fits, where the device has clusters
  size_t memory = size_t{8} << 30;  // bytes that the device has
  int lose = 0;                     // which launch, counted from 1, costs the device that it is for; 0: none
  int deny = 0;                     // so many allocations of device memory are refused, the first ones
};
// As KULLBACK_EMULATOR has them when they are first asked for:
// order=reverse,seed=3,copies=early,streams=eager,sm=80,memory=100,devices=2,cluster=8,lose=2,deny=1
Settings& settings();

struct Launch {
  const char* kernel;  // its mangled name
  const void* function;
  dim3 grid, block, cluster;
  size_t shared_bytes;
};
// One CUDA thread: call(parameters). Plain pointers, since library code here would be instrumented.
struct Body {
  void (*call)(const void* parameters);
  void (*destroy)(const void* parameters);
  const void* parameters;
};
void run(const Launch& launch, const Body& body);  // throws Error
cudaError_t submit(Launch launch, cudaStream_t stream, Body body);
bool fits(const Launch& launch);  // whether the device can run it

// Shared memory of the current block: `offset` is where the array starts on the GPU.
void* shared_take(size_t offset, size_t bytes);
void* shared_of_rank(const void* mine, unsigned rank);
unsigned cluster_rank();
unsigned cluster_size();
void cluster_arrive(const char* file, int line);
void cluster_wait(const char* file, int line);

// Asynchronous copies from global to shared memory.
void copy_async(void* destination, const void* source, size_t bytes, size_t valid_bytes);
void commit_copies();
void wait_copies(unsigned pending_groups);

// What kernels count of themselves.
struct Statistics {
  uint64_t exponentials = 0;
};
extern Statistics totals;

struct Access {
  const void* address;
  size_t size;
  const void* pc;
  enum Kind { read, write, atomic } kind;
};

// When and by whom: launches are numbered, and clusters, blocks, warps and threads in their grid. An epoch counts the
// barriers that its group has passed, the serial counts the fences of the thread.
struct Stamp {
  uint32_t launch, cluster, cluster_epoch, block, block_epoch, warp, warp_epoch, thread, serial;
};

// What a check of accesses is told. There is one only in the build whose kernels report theirs.
struct Checker {
  struct Traffic {
    uint64_t read = 0, written = 0;  // bytes of device memory
  };
  virtual ~Checker() = default;
  // Device memory is allocated or freed; is written from the host or by a copy.
  virtual void buffer(const void* address, size_t bytes, bool live) = 0;
  virtual void initialised(const void* address, size_t bytes) = 0;
  // A block gets memory in which no array stands yet; takes an array, which starts at `offset` on the GPU.
  virtual void shared_begin(const void* address, size_t bytes, unsigned rank) = 0;
  virtual void shared_array(const void* address, size_t bytes, size_t offset) = 0;
  // The current thread accesses memory; starts an asynchronous copy to it, or waits for one; executes a fence.
  virtual void access(const Access&, const Stamp&) = 0;
  virtual void in_flight(const Access& destination, const Stamp&, bool begins) = 0;
  virtual void fence(const Stamp&) = 0;
  // These threads of the cluster have met at a barrier.
  virtual void joined(unsigned first_thread, unsigned threads) = 0;
  virtual void cluster_begin(unsigned threads) = 0;
  virtual void launch_begin() = 0;
  virtual Traffic traffic() const = 0;  // since the launch began
};
extern Checker* checker;

}  // namespace kullback::emulator

#endif  // KULLBACK_EMULATOR_EMULATOR_H
