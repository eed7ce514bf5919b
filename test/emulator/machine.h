// What the emulator knows of the cluster that it runs: its fibers, warps, blocks and shared memory. For its own files.
#ifndef KULLBACK_EMULATOR_MACHINE_H
#define KULLBACK_EMULATOR_MACHINE_H

#include <memory>
#include <string>
#include <vector>

#include "emulator.h"
#include "fiber.h"

namespace kullback::emulator {

constexpr unsigned kWarpSize = 32;
constexpr size_t kGap = 16 << 10;  // between shared arrays: a wrong index rarely jumps over it
constexpr size_t kMaxArrays = 64;

enum class State : unsigned char { running, at_collective, at_block_barrier, at_cluster_barrier, sleeping, exited };

struct AsyncCopy {
  void* destination;
  const void* source;
  size_t bytes, valid_bytes;
  const void* pc;
};

struct Block;
struct Thread {
  Fiber fiber;
  Block* block = nullptr;
  uint3 index{};
  unsigned linear_index = 0;  // inside the block
  unsigned warp = 0;          // of the cluster's
  unsigned lane = 0;
  State state = State::exited;
  const char* file = "";  // where it waits
  int line = 0;
  // What it brings to a collective, and what it takes from it.
  Collective kind{};
  unsigned mask = 0, source = 0;
  uint64_t value = 0, result = 0;
  bool cluster_arrived = false;
  uint32_t arrival_epoch = 0;  // the cluster's, when it arrived
  uint32_t serial = 0;         // counts fences, so that later accesses are told from earlier ones
  std::vector<AsyncCopy> open_copies;
  std::vector<std::vector<AsyncCopy>> copy_groups;
};

// The masks have a bit a lane.
struct Warp {
  unsigned alive = 0, runnable = 0, in_collective = 0, sleeping = 0;
  uint32_t epoch = 0;
  Thread* threads = nullptr;
};

// The threads of those lanes of a warp that a mask names, in their order.
class Lanes {
 public:
  Lanes(const Warp& warp, unsigned mask) : threads_(warp.threads), mask_(mask) {}

  struct Iterator {
    Thread* threads;
    unsigned remaining;
    Thread& operator*() const { return threads[__builtin_ctz(remaining)]; }
    void operator++() { remaining &= remaining - 1; }
    bool operator!=(const Iterator& other) const { return remaining != other.remaining; }
  };
  Iterator begin() const { return {threads_, mask_}; }
  Iterator end() const { return {threads_, 0}; }

 private:
  Thread* threads_;
  unsigned mask_;
};

struct SharedArray {
  size_t offset, bytes;
  char* address;
};

struct Block {
  uint3 index{};
  unsigned rank = 0;          // in the cluster
  uint32_t linear_index = 0;  // in the grid
  unsigned exited = 0, arrived = 0;
  const char* file = nullptr;  // of the barrier that threads have arrived at
  int line = 0;
  uint32_t epoch = 0;
  int count = 0, counted = 0;  // __syncthreads_count: so far, and of the last barrier
  char* arena = nullptr;
  std::vector<SharedArray> arrays;
  bool finished = false;
};

struct Machine {
  std::unique_ptr<Thread[]> threads;  // one array for ever: suspended fibers point into it
  unsigned fibers = 0;
  std::vector<Warp> warps;
  std::vector<Block> blocks;
  Fiber main;
  Thread* current = nullptr;
  unsigned current_warp = 0;
  const Body* body = nullptr;
  const Launch* launch = nullptr;
  unsigned threads_per_block = 0, warps_per_block = 0;
  unsigned alive = 0, cluster_arrived = 0;  // threads
  uint32_t launch_number = 0, cluster_index = 0, cluster_epoch = 0;
  char* arena = nullptr;  // shared memory of the cluster's blocks, arena_stride bytes for each
  size_t arena_bytes = 0, arena_stride = 0;
  std::string error;
  bool failed = false;
  bool abandoned = false;  // fibers have been left in mid-kernel
  uint64_t random = 0;
  uint64_t idle_wakes = 0;  // how often only sleepers could go on since a thread last got anywhere
};
// Never destroyed, as no global of the emulator is: a thread may still run a kernel when the process ends.
extern Machine& machine;

inline Warp& warp_of(const Thread& thread) { return machine.warps[thread.warp]; }
inline unsigned lane_bit(const Thread& thread) { return 1u << thread.lane; }

// scheduler.cc
uint64_t next_random();
void run_threads();    // the cluster's, until all have exited or one has failed
void reschedule();     // called by a thread that may no longer be able to run
void leave_cluster();  // for good, or for an error
void block_here(State state, const char* file, int line);
void resume(Thread& thread);
// The warps have met at a barrier: their threads that wait there go on, in this run's order.
void release_waiters(State waiting, unsigned first_warp, unsigned warps);

// reports.cc
std::string printed(const char* format, ...) __attribute__((format(printf, 1, 2)));
std::string describe_waiters();
void note_failure(std::string error);

// stamps.cc
bool in_kernel();
bool on_fiber_stack(const void* address);
Stamp stamp();
unsigned thread_in_cluster();

}  // namespace kullback::emulator

#endif  // KULLBACK_EMULATOR_MACHINE_H
