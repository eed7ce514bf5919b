// What the emulator knows of the cluster that it runs: its fibers, warps, blocks and shared memory. For its own files.
#ifndef KULLBACK_EMULATOR_MACHINE_H
#define KULLBACK_EMULATOR_MACHINE_H

#include <memory>
#include <string>
#include <vector>

#include "emulator.h"
#include "fiber.h"

namespace kullback::emulator {

constexpr size_t kGap = 16 << 10;  // between shared arrays: a wrong index rarely jumps over it
constexpr size_t kMaxArrays = 64;
constexpr unsigned kMaxThreads = 16 * 1024;  // a cluster of 16 blocks of 1024

enum class State : unsigned char { running, collective, block, cluster, sleeping, exited };
inline const char* const kStateNames[] = {"running",      "a warp collective", "__syncthreads",
                                          "cluster wait", "__nanosleep",       "exited"};

struct AsyncCopy {
  void* destination;
  const void* source;
  size_t bytes, valid;
  const void* pc;
};

struct Block;
struct Thread {
  Fiber fiber;
  Block* block = nullptr;
  uint3 index{};
  unsigned warp = 0;  // index in the cluster's warps
  unsigned lane = 0;
  unsigned linear = 0;  // inside the block
  State state = State::exited;
  Collective kind{};
  unsigned mask = 0, source = 0;
  uint64_t value = 0, result = 0;
  const char* file = "";
  int line = 0;
  unsigned parity = 0;
  bool cluster_arrived = false;
  uint32_t serial = 0;  // counts releases, so that later accesses are told from earlier ones
  std::vector<AsyncCopy> open_copies;
  std::vector<std::vector<AsyncCopy>> groups;
};

struct Warp {
  unsigned alive = 0, runnable = 0, collective = 0, sleeping = 0;
  uint32_t epoch = 0;
  Thread* threads = nullptr;
};

struct SharedArray {
  size_t offset, bytes;
  char* address;
};

struct Block {
  uint3 index{};
  unsigned rank = 0, alive = 0, exited = 0, arrived = 0;
  uint32_t epoch = 0, linear = 0;
  int reduce_count = 0;
  int reduce_kind = 0;
  int reduce_result = 0;
  const char* file = nullptr;
  int line = 0;
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
  unsigned threads_per_block = 0, warps_per_block = 0, alive = 0;
  unsigned cluster_arrived = 0, cluster_exited = 0;
  uint32_t cluster_epoch = 0, cluster_linear = 0, launch_number = 0;
  char* arena = nullptr;
  size_t arena_bytes = 0, arena_stride = 0;
  std::string error;
  bool failed = false, dirty = false;
  uint64_t random = 0, idle_wakes = 0;
};
// Never destroyed, as no global of the emulator is: a thread may still run a kernel when the process ends.
extern Machine& machine;

// scheduler.cc
uint64_t next_random();
std::string describe_waiters();
Thread* pick();  // who runs next; nullptr if nobody can
void enter(Thread* thread);
void to_main();     // leaves the cluster for good or for an error
void reschedule();  // called by a thread that may no longer be able to run
void block_here(State state, const char* file, int line);
void resume(Thread& thread);
void run_cluster(dim3 first, const Launch& launch);

void release_block(Block& block);                     // collectives.cc
void complete_copies(std::vector<AsyncCopy>& group);  // copies.cc

}  // namespace kullback::emulator

#endif  // KULLBACK_EMULATOR_MACHINE_H
