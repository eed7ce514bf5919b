// Who runs next, and the switch to it.
#include "machine.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace kullback::emulator {
namespace {

union Kept {
  Machine machine;
  constexpr Kept() : machine() {}
  constexpr ~Kept() {}
};
// In place before any initialiser runs: what the access checker instruments asks for it already then.
constinit Kept kept;

// A thread that polls for what another one will do has seen it long before.
constexpr uint64_t kMostIdleWakes = 100000;

Thread& pick_lane(const Warp& warp) {
  unsigned lanes = warp.runnable;
  switch (settings().order) {
    case Order::forward:
      return warp.threads[__builtin_ctz(lanes)];
    case Order::reverse:
      return warp.threads[kWarpSize - 1 - unsigned(__builtin_clz(lanes))];
    case Order::random:
      break;
  }
  uint64_t skipped = next_random() % unsigned(__builtin_popcount(lanes));
  while (skipped-- > 0) lanes &= lanes - 1;
  return warp.threads[__builtin_ctz(lanes)];
}

bool current_warp_goes_on() {
  return settings().order != Order::random && machine.warps[machine.current_warp].runnable != 0;
}

// To the first warp, in this run's order, that can move.
bool change_warp() {
  const Order order = settings().order;
  const auto warps = unsigned(machine.warps.size());
  const unsigned start = order == Order::random ? unsigned(next_random() % warps) : 0;
  for (unsigned i = 0; i < warps; ++i) {
    const unsigned warp = order == Order::reverse ? warps - 1 - i : (start + i) % warps;
    if (machine.warps[warp].runnable == 0) continue;
    machine.current_warp = warp;
    return true;
  }
  return false;
}

// Lets the threads that spin look again; false if there are none, or if they have looked too often.
bool wake_sleepers() {
  bool woken = false;
  for (Warp& warp : machine.warps) {
    if (warp.sleeping == 0) continue;
    warp.runnable |= warp.sleeping;
    warp.sleeping = 0;
    woken = true;
  }
  if (!woken) return false;
  if (++machine.idle_wakes <= kMostIdleWakes) return true;
  note_failure("livelock: threads only poll" + describe_waiters());
  return false;
}

// nullptr if nobody can run.
Thread* pick() {
  do {
    if (current_warp_goes_on() || change_warp()) return &pick_lane(machine.warps[machine.current_warp]);
  } while (wake_sleepers());
  return nullptr;
}

void enter(Thread& thread) {
  machine.current = &thread;
  threadIdx = thread.index;
  blockIdx = thread.block->index;
}

void start_with_first(unsigned first_warp, unsigned warps) {
  machine.current_warp = settings().order == Order::reverse ? first_warp + warps - 1 : first_warp;
}

}  // namespace

constinit Machine& machine = kept.machine;

uint64_t next_random() {
  machine.random ^= machine.random << 13;
  machine.random ^= machine.random >> 7;
  machine.random ^= machine.random << 17;
  return machine.random;
}

void run_threads() {
  start_with_first(0, unsigned(machine.warps.size()));
  Thread* const first = pick();
  enter(*first);
  switch_fiber(machine.main, first->fiber);
}

void reschedule() {
  Thread* const self = machine.current;
  Thread* const next = pick();
  if (next == self) return;
  if (next == nullptr) {
    if (machine.alive > 0 && !machine.failed) {
      note_failure("deadlock: no thread can continue" + describe_waiters());
    }
    leave_cluster();
    return;
  }
  enter(*next);
  switch_fiber(self->fiber, next->fiber);
}

void leave_cluster() {
  Fiber& from = machine.current->fiber;
  machine.current = nullptr;
  switch_fiber(from, machine.main);
}

void block_here(State state, const char* file, int line) {
  Thread& self = *machine.current;
  self.state = state;
  self.file = file;
  self.line = line;
  warp_of(self).runnable &= ~lane_bit(self);
}

void resume(Thread& thread) {
  thread.state = State::running;
  warp_of(thread).runnable |= lane_bit(thread);
}

void release_waiters(State waiting, unsigned first_warp, unsigned warps) {
  if (checker != nullptr) checker->joined(first_warp * kWarpSize, warps * kWarpSize);
  for (unsigned i = 0; i < warps; ++i) {
    const Warp& warp = machine.warps[first_warp + i];
    for (Thread& thread : Lanes(warp, warp.alive)) {
      if (thread.state == waiting) resume(thread);
    }
  }
  start_with_first(first_warp, warps);
}

}  // namespace kullback::emulator
