// A launch: its blocks or clusters one after the other, each with its threads and its shared memory.
#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "machine.h"
#include "poison.h"

namespace kullback::emulator {

namespace {

constexpr size_t kStackBytes =
#if defined(__SANITIZE_ADDRESS__)
    128 << 10;
#else
    32 << 10;
#endif

void thread_exits() {
  Thread* self = machine.current;
  Block& block = *self->block;
  if (settings().strict) {
    if (block.arrived)
      fail("thread exits while %u others wait at the barrier %s:%d", block.arrived, block.file, block.line);
    if (!self->groups.empty() || !self->open_copies.empty())
      fail("thread exits with asynchronous copies it never waited for");
    if (self->cluster_arrived) fail("thread exits between cluster arrive and wait");
  }
  self->state = State::exited;
  Warp& warp = machine.warps[self->warp];
  warp.runnable &= ~(1u << self->lane);
  warp.alive &= ~(1u << self->lane);
  --machine.alive;
  ++block.exited;
  machine.idle_wakes = 0;
  if (block.arrived && block.arrived == machine.threads_per_block - block.exited) release_block(block);
  if (block.exited == machine.threads_per_block) {
    block.finished = true;  // nobody may touch its shared memory from now on
    for (SharedArray& array : block.arrays) KULLBACK_POISON(array.address, array.bytes);
  }
  reschedule();
}

void fiber_entry() {
#if defined(__SANITIZE_ADDRESS__)
  if (machine.main.stack_bottom)
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
  else
    __sanitizer_finish_switch_fiber(nullptr, &machine.main.stack_bottom, &machine.main.stack_size);
#endif
  for (;;) {  // one turn per launched thread: the stack is reused
    machine.body->call(machine.body->parameters);
    thread_exits();
  }
}

void prepare_threads(unsigned count) {
  if (!machine.threads) machine.threads.reset(new Thread[kMaxThreads]);
  if (machine.dirty) {  // abandoned in mid-kernel: drop every fiber
    for (unsigned i = 0; i < machine.fibers; ++i) release_fiber(machine.threads[i].fiber);
    machine.fibers = 0;
    machine.dirty = false;
  }
  for (; machine.fibers < count; ++machine.fibers)
    make_fiber(machine.threads[machine.fibers].fiber, kStackBytes, fiber_entry);
}

void prepare_arena(size_t shared_bytes, unsigned cluster_blocks) {
  machine.arena_stride = (shared_bytes + kGap * kMaxArrays + 4095) & ~size_t(4095);
  if (machine.arena_bytes < machine.arena_stride * cluster_blocks) {
    if (machine.arena) {
      KULLBACK_UNPOISON(machine.arena, machine.arena_bytes);
      munmap(machine.arena, machine.arena_bytes);
    }
    machine.arena_bytes = machine.arena_stride * cluster_blocks;
    machine.arena = static_cast<char*>(
        mmap(nullptr, machine.arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    KULLBACK_POISON(machine.arena, machine.arena_bytes);
  }
}

void place_threads(Block& block, dim3 shape) {
  const unsigned threads = machine.threads_per_block;
  for (unsigned w = 0; w < machine.warps_per_block; ++w) {
    unsigned warp_index = block.rank * machine.warps_per_block + w;
    Warp& warp = machine.warps[warp_index];
    warp.threads = &machine.threads[warp_index * 32];
    for (unsigned l = 0; l < 32; ++l) {
      unsigned linear = w * 32 + l;
      Thread& thread = machine.threads[warp_index * 32 + l];
      thread.warp = warp_index;
      thread.lane = l;
      thread.linear = linear;
      thread.block = &block;
      thread.state = linear < threads ? State::running : State::exited;
      thread.groups.clear();
      thread.open_copies.clear();
      thread.cluster_arrived = false;
      if (linear >= threads) continue;
      thread.index = {linear % shape.x, linear / shape.x % shape.y, linear / (shape.x * shape.y)};
      warp.alive |= 1u << l;
    }
    warp.runnable = warp.alive;
  }
}

}  // namespace

void run_cluster(dim3 first, const Launch& launch) {
  unsigned cluster_blocks = launch.cluster.x;
  unsigned threads = launch.block.x * launch.block.y * launch.block.z;
  machine.threads_per_block = threads;
  machine.warps_per_block = (threads + 31) / 32;
  prepare_threads(cluster_blocks * machine.warps_per_block * 32);
  machine.warps.assign(cluster_blocks * machine.warps_per_block, Warp{});
  machine.blocks.assign(cluster_blocks, Block{});
  machine.alive = threads * cluster_blocks;
  machine.cluster_arrived = machine.cluster_exited = 0;
  machine.cluster_epoch = 0;
  if (checker) checker->cluster_begin(cluster_blocks * machine.warps_per_block * 32);

  prepare_arena(launch.shared_bytes, cluster_blocks);
  for (unsigned b = 0; b < cluster_blocks; ++b) {
    Block& block = machine.blocks[b];
    block.index = {first.x + b, first.y, first.z};
    block.rank = b;
    block.alive = threads;
    block.linear = (first.z * launch.grid.y + first.y) * launch.grid.x + first.x + b;
    block.arena = machine.arena + machine.arena_stride * b;
    if (checker) checker->shared_begin(block.arena, machine.arena_stride, b);
    place_threads(block, launch.block);
  }
  machine.current_warp = settings().order == Order::reverse ? unsigned(machine.warps.size()) - 1 : 0;
  totals.blocks += cluster_blocks;
  Thread* thread = pick();
  enter(thread);
  switch_fiber(machine.main, thread->fiber);
  for (Block& block : machine.blocks)
    for (SharedArray& array : block.arrays) KULLBACK_POISON(array.address, array.bytes);
  if (machine.failed) {
    machine.dirty = true;
    machine.failed = false;
    throw Error(std::string(launch.kernel) + ": " + machine.error);
  }
}

// With KULLBACK_EMULATOR_TRAFFIC set, in the build that knows accesses: what the launch has cost, as a line of JSON.
void tell_traffic(const Launch& launch, uint64_t exponentials) {
  if (checker == nullptr || getenv("KULLBACK_EMULATOR_TRAFFIC") == nullptr) return;
  const Checker::Traffic traffic = checker->traffic();
  printf("{\"kernel\":\"%s\",\"read\":%llu,\"written\":%llu,\"exponentials\":%llu}\n", launch.kernel,
         static_cast<unsigned long long>(traffic.read), static_cast<unsigned long long>(traffic.written),
         static_cast<unsigned long long>(exponentials));
}

void run(const Launch& launch, const Body& body) {
  if (machine.current) throw Error("launch from inside a kernel");
  machine.launch = &launch;
  machine.body = &body;
  ++machine.launch_number;
  ++totals.launches;
  machine.random = settings().seed * 0x9E3779B97F4A7C15ull | 1;
  blockDim = launch.block;
  gridDim = launch.grid;
  if (checker) checker->launch_begin();
  const uint64_t exponentials_before = totals.exponentials;
  unsigned clusters = launch.grid.x / launch.cluster.x;
  uint64_t total = uint64_t(clusters) * launch.grid.y * launch.grid.z;
  std::vector<uint64_t> order(total);
  for (uint64_t i = 0; i < total; ++i) order[i] = settings().order == Order::reverse ? total - 1 - i : i;
  if (settings().order == Order::random)
    for (uint64_t i = total; i > 1; --i) std::swap(order[i - 1], order[next_random() % i]);
  for (uint64_t i : order) {
    machine.cluster_linear = uint32_t(i);
    run_cluster(dim3(unsigned(i % clusters) * launch.cluster.x, unsigned(i / clusters % launch.grid.y),
                     unsigned(i / clusters / launch.grid.y)),
                launch);
  }
  tell_traffic(launch, totals.exponentials - exponentials_before);
}

}  // namespace kullback::emulator
