// A launch: its blocks or clusters one after the other, each with its threads and its shared memory.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "machine.h"
#include "poison.h"

namespace kullback::emulator {

Statistics totals;

namespace {

constexpr unsigned kMaxThreads = 16 * 1024;  // a cluster of 16 blocks of 1024
constexpr size_t kPageBytes = 4096;

constexpr size_t kStackBytes =
#if defined(__SANITIZE_ADDRESS__)
    128 << 10;
#else
    32 << 10;
#endif

void poison_arrays(const Block& block) {
  for (const SharedArray& array : block.arrays) KULLBACK_POISON(array.address, array.bytes);
}

void check_exit(const Thread& self) {
  const Block& block = *self.block;
  if (block.arrived > 0) {
    fail("thread exits while %u others wait at the barrier %s:%d", block.arrived, block.file, block.line);
  }
  if (!self.copy_groups.empty() || !self.open_copies.empty()) {
    fail("thread exits with asynchronous copies it never waited for");
  }
  if (self.cluster_arrived) fail("thread exits between cluster arrive and wait");
}

void exit_thread() {
  Thread& self = *machine.current;
  check_exit(self);
  self.state = State::exited;
  Warp& warp = warp_of(self);
  warp.runnable &= ~lane_bit(self);
  warp.alive &= ~lane_bit(self);
  --machine.alive;
  machine.idle_wakes = 0;
  Block& block = *self.block;
  ++block.exited;
  if (block.exited == machine.threads_per_block) {
    block.finished = true;
    poison_arrays(block);
  }
  reschedule();
}

void fiber_entry() {
  begin_fiber(machine.main);
  // A turn for each CUDA thread that the fiber is: its stack is used again.
  for (;;) {
    machine.body->call(machine.body->parameters);
    exit_thread();
  }
}

void prepare_fibers(unsigned count) {
  if (machine.threads == nullptr) machine.threads.reset(new Thread[kMaxThreads]);
  if (machine.abandoned) {
    for (unsigned i = 0; i < machine.fibers; ++i) release_fiber(machine.threads[i].fiber);
    machine.fibers = 0;
    machine.abandoned = false;
  }
  for (; machine.fibers < count; ++machine.fibers) {
    make_fiber(machine.threads[machine.fibers].fiber, kStackBytes, fiber_entry);
  }
}

void prepare_arena(size_t shared_bytes, unsigned blocks) {
  machine.arena_stride = (shared_bytes + kGap * kMaxArrays + kPageBytes - 1) / kPageBytes * kPageBytes;
  if (machine.arena_bytes >= machine.arena_stride * blocks) return;
  if (machine.arena != nullptr) {
    KULLBACK_UNPOISON(machine.arena, machine.arena_bytes);
    munmap(machine.arena, machine.arena_bytes);
  }
  machine.arena_bytes = machine.arena_stride * blocks;
  machine.arena = static_cast<char*>(
      mmap(nullptr, machine.arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  KULLBACK_POISON(machine.arena, machine.arena_bytes);
}

void place_thread(Thread& thread, Block& block, unsigned linear_index, dim3 shape) {
  thread.block = &block;
  thread.linear_index = linear_index;
  thread.warp = block.rank * machine.warps_per_block + linear_index / kWarpSize;
  thread.lane = linear_index % kWarpSize;
  thread.copy_groups.clear();
  thread.open_copies.clear();
  thread.cluster_arrived = false;
  // The last warp may have more lanes than threads.
  if (linear_index >= machine.threads_per_block) {
    thread.state = State::exited;
    return;
  }
  thread.state = State::running;
  thread.index = {linear_index % shape.x, linear_index / shape.x % shape.y, linear_index / (shape.x * shape.y)};
  warp_of(thread).alive |= lane_bit(thread);
}

void place_block(Block& block, dim3 shape) {
  const unsigned lanes = machine.warps_per_block * kWarpSize;
  Thread* const threads = &machine.threads[block.rank * lanes];
  for (unsigned i = 0; i < lanes; ++i) place_thread(threads[i], block, i, shape);
  for (unsigned i = 0; i < machine.warps_per_block; ++i) {
    Warp& warp = machine.warps[block.rank * machine.warps_per_block + i];
    warp.threads = &threads[i * kWarpSize];
    warp.runnable = warp.alive;
  }
}

// `first` is the index of the cluster's first block.
void prepare_cluster(dim3 first, const Launch& launch) {
  const unsigned blocks = launch.cluster.x;
  machine.threads_per_block = launch.block.x * launch.block.y * launch.block.z;
  machine.warps_per_block = (machine.threads_per_block + kWarpSize - 1) / kWarpSize;
  const unsigned lanes = blocks * machine.warps_per_block * kWarpSize;
  prepare_fibers(lanes);
  prepare_arena(launch.shared_bytes, blocks);
  machine.warps.assign(blocks * machine.warps_per_block, Warp{});
  machine.blocks.assign(blocks, Block{});
  machine.alive = machine.threads_per_block * blocks;
  machine.cluster_arrived = 0;
  machine.cluster_epoch = 0;
  if (checker != nullptr) checker->cluster_begin(lanes);
  for (unsigned rank = 0; rank < blocks; ++rank) {
    Block& block = machine.blocks[rank];
    block.index = {first.x + rank, first.y, first.z};
    block.rank = rank;
    block.linear_index = (first.z * launch.grid.y + first.y) * launch.grid.x + first.x + rank;
    block.arena = machine.arena + machine.arena_stride * rank;
    if (checker != nullptr) checker->shared_begin(block.arena, machine.arena_stride, rank);
    place_block(block, launch.block);
  }
}

void run_cluster(dim3 first, const Launch& launch) {
  prepare_cluster(first, launch);
  run_threads();
  for (const Block& block : machine.blocks) poison_arrays(block);
  if (!machine.failed) return;
  machine.abandoned = true;
  machine.failed = false;
  throw Error(std::string(launch.kernel) + ": " + machine.error);
}

std::vector<uint64_t> clusters_in_order(uint64_t count) {
  const Order order = settings().order;
  std::vector<uint64_t> clusters(count);
  for (uint64_t i = 0; i < count; ++i) clusters[i] = order == Order::reverse ? count - 1 - i : i;
  if (order == Order::random) {
    for (uint64_t i = count; i > 1; --i) std::swap(clusters[i - 1], clusters[next_random() % i]);
  }
  return clusters;
}

// With KULLBACK_EMULATOR_TRAFFIC set, in the build that knows accesses: what the launch has cost, as a line of JSON.
void tell_traffic(const Launch& launch, uint64_t exponentials) {
  if (checker == nullptr || getenv("KULLBACK_EMULATOR_TRAFFIC") == nullptr) return;
  const Checker::Traffic traffic = checker->traffic();
  printf("{\"kernel\":\"%s\",\"read\":%llu,\"written\":%llu,\"exponentials\":%llu}\n", launch.kernel,
         static_cast<unsigned long long>(traffic.read), static_cast<unsigned long long>(traffic.written),
         static_cast<unsigned long long>(exponentials));
}

}  // namespace

void run(const Launch& launch, const Body& body) {
  if (in_kernel()) throw Error("launch from inside a kernel");
  machine.launch = &launch;
  machine.body = &body;
  ++machine.launch_number;
  machine.idle_wakes = 0;
  machine.random = settings().seed * 0x9E3779B97F4A7C15ull | 1;
  blockDim = launch.block;
  gridDim = launch.grid;
  if (checker != nullptr) checker->launch_begin();
  const uint64_t exponentials_before = totals.exponentials;
  const uint64_t clusters_in_row = launch.grid.x / launch.cluster.x;
  for (uint64_t cluster : clusters_in_order(clusters_in_row * launch.grid.y * launch.grid.z)) {
    machine.cluster_index = uint32_t(cluster);
    const dim3 first(unsigned(cluster % clusters_in_row) * launch.cluster.x,
                     unsigned(cluster / clusters_in_row % launch.grid.y),
                     unsigned(cluster / clusters_in_row / launch.grid.y));
    run_cluster(first, launch);
  }
  tell_traffic(launch, totals.exponentials - exponentials_before);
}

}  // namespace kullback::emulator
