// Executes CUDA kernels on the host, one block (or one cluster) at a time, each CUDA thread a fiber.
//
// A fiber runs until it blocks: at a block barrier, a warp collective or a cluster barrier. The scheduler
// then continues the same warp, and goes to the next warp only when this one waits for the block. So between two block
// barriers warp A runs wholly before warp B under Order::forward, and wholly after it under Order::reverse: every pair
// of conflicting accesses without a barrier between them is executed in both orders by the two runs.
#ifndef KULLBACK_EMULATOR_EMULATOR_H
#define KULLBACK_EMULATOR_EMULATOR_H

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace kullback::emulator {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Order { forward, reverse, random };

struct Settings {
  Order order = Order::forward;
  uint64_t seed = 1;
  bool late_copies = true;       // asynchronous copies land at the last legal moment, else at the first
  bool deferred_streams = true;  // stream work runs at synchronisation, else at the call
  bool strict = true;            // early exits and mixed call sites at one barrier are errors
  int capability = 90;           // the device that the dispatchers see
  int multiprocessors = 4;
  int devices = 1;                  // all alike
  unsigned largest_cluster = 16;    // that fits, where the device has clusters
  size_t memory = size_t{8} << 30;  // bytes that the device has
  int lose = 0;                     // which launch, counted from 1, poisons the context; 0: none
};
Settings& settings();  // first use reads
                       // KULLBACK_EMULATOR=order=reverse,seed=3,copies=early,streams=eager,sm=80,memory=100,lose=2,
                       // devices=2,cluster=8

struct Launch {
  const char* kernel;  // its mangled name
  const void* function;
  dim3 grid, block, cluster;
  size_t shared_bytes;
};
struct Body {  // one CUDA thread: call(parameters). Plain pointers: library code here would be instrumented
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

// Asynchronous copies global -> shared.
void copy_async(void* destination, const void* source, size_t bytes, size_t valid_bytes);
void commit_copies();
void wait_copies(unsigned pending_groups);

struct Statistics {
  uint64_t switches = 0, barriers = 0, collectives = 0, blocks = 0, launches = 0, exponentials = 0;
};
extern Statistics totals;
std::string last_error();

// The access checker (access.cc), there only in the build that is instrumented.
struct Access {
  const void* address;
  size_t size;
  const void* pc;
  enum Kind { read, write, atomic } kind;
};
struct Stamp {
  uint32_t launch, cluster, cluster_epoch, block, block_epoch, warp, warp_epoch, thread, serial;
};
struct Checker {
  virtual ~Checker() = default;
  virtual void buffer(const void* address, size_t bytes, bool live) = 0;  // device allocation made or freed
  virtual void initialised(const void* address, size_t bytes) = 0;        // written from the host or a copy
  virtual void shared_begin(const void* address, size_t bytes, unsigned rank) = 0;
  virtual void shared_array(const void* address, size_t bytes, unsigned rank, size_t offset) = 0;
  virtual void access(const Access&, const Stamp&) = 0;
  virtual void in_flight(const Access&, const Stamp&, bool begins) = 0;  // destination of an asynchronous copy
  // Ordering beyond barriers: fences with atomics. `group` is a block or cluster that just synchronised.
  virtual void fence(const Stamp&) = 0;
  virtual void joined(unsigned first_thread, unsigned threads) = 0;
  virtual void cluster_begin(unsigned threads) = 0;
  virtual void launch_begin() = 0;
  // Bytes of device memory that the launch has read and written.
  struct Traffic {
    uint64_t read = 0, written = 0;
  };
  virtual Traffic traffic() const = 0;
};
extern Checker* checker;
bool in_kernel();
bool on_fiber_stack(const void* address);
Stamp stamp();
unsigned current_lane_global();  // linear thread index inside the cluster

}  // namespace kullback::emulator

#endif  // KULLBACK_EMULATOR_EMULATOR_H
