// Who runs next, and the switch to it.
#include <cstdarg>
#include <cstdlib>
#include <map>

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
}  // namespace
constinit Machine& machine = kept.machine;
Statistics totals;

uint64_t next_random() {
  machine.random ^= machine.random << 13;
  machine.random ^= machine.random >> 7;
  machine.random ^= machine.random << 17;
  return machine.random;
}

unsigned pick_bit(unsigned bits) {
  switch (settings().order) {
    case Order::forward:
      return unsigned(__builtin_ctz(bits));
    case Order::reverse:
      return 31u - unsigned(__builtin_clz(bits));
    case Order::random:
      break;
  }
  unsigned skip = unsigned(next_random() % unsigned(__builtin_popcount(bits)));
  while (skip--) bits &= bits - 1;
  return unsigned(__builtin_ctz(bits));
}

std::string describe_waiters() {
  std::map<std::string, std::pair<unsigned, std::string>> groups;
  for (unsigned b = 0; b < machine.blocks.size(); ++b)
    for (unsigned t = 0; t < machine.threads_per_block; ++t) {
      Thread& thread = machine.threads[b * machine.warps_per_block * 32 + t];
      char text[256];
      if (thread.state == State::exited)
        snprintf(text, sizeof text, "exited");
      else
        snprintf(text, sizeof text, "at %s, %s:%d", kStateNames[int(thread.state)], thread.file, thread.line);
      auto& group = groups[text];
      if (!group.first++) {
        snprintf(text, sizeof text, "block (%u,%u,%u) thread (%u,%u,%u)", thread.block->index.x, thread.block->index.y,
                 thread.block->index.z, thread.index.x, thread.index.y, thread.index.z);
        group.second = text;
      }
    }
  std::string all;
  for (auto& [text, group] : groups)
    all += "\n  " + std::to_string(group.first) + " thread(s) " + text + ", first " + group.second;
  return all;
}

// Same warp first; otherwise the first warp, in this run's order, that can move.
Thread* pick() {
  auto count = unsigned(machine.warps.size());
  if (settings().order != Order::random && machine.warps[machine.current_warp].runnable)
    return &machine.warps[machine.current_warp].threads[pick_bit(machine.warps[machine.current_warp].runnable)];
  unsigned start = settings().order == Order::random ? unsigned(next_random() % count) : 0;
  for (unsigned i = 0; i < count; ++i) {
    unsigned w = settings().order == Order::reverse ? count - 1 - i : (start + i) % count;
    if (machine.warps[w].runnable) {
      machine.current_warp = w;
      return &machine.warps[w].threads[pick_bit(machine.warps[w].runnable)];
    }
  }
  bool woken = false;
  for (Warp& warp : machine.warps) {  // nothing else can move: let the spinning threads look again
    if (!warp.sleeping) continue;
    warp.runnable |= warp.sleeping;
    warp.sleeping = 0;
    woken = true;
  }
  if (woken && ++machine.idle_wakes > 100000) {
    machine.failed = true;
    machine.error = "livelock: threads only poll" + describe_waiters();
    return nullptr;
  }
  return woken ? pick() : nullptr;
}

void enter(Thread* thread) {
  machine.current = thread;
  threadIdx = thread->index;
  blockIdx = thread->block->index;
  ++totals.switches;
}

void to_main() {
  Fiber& from = machine.current->fiber;
  machine.current = nullptr;
  switch_fiber(from, machine.main);
}

// Called by a thread that may no longer be runnable.
void reschedule() {
  Thread* self = machine.current;
  Thread* next = pick();
  if (next == self) return;
  if (!next) {
    if (machine.alive && !machine.failed) {
      machine.failed = true;
      machine.error = "deadlock: no thread can continue" + describe_waiters();
    }
    to_main();
    return;
  }
  enter(next);
  switch_fiber(self->fiber, next->fiber);
}

void block_here(State state, const char* file, int line) {
  Thread* self = machine.current;
  self->state = state;
  self->file = file;
  self->line = line;
  machine.warps[self->warp].runnable &= ~(1u << self->lane);
}

void resume(Thread& thread) {
  thread.state = State::running;
  machine.warps[thread.warp].runnable |= 1u << thread.lane;
}

void fail(const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (!machine.current) throw Error(text);
  Thread& t = *machine.current;
  char where[160];
  snprintf(where, sizeof where, " [block (%u,%u,%u) thread (%u,%u,%u)]", t.block->index.x, t.block->index.y,
           t.block->index.z, t.index.x, t.index.y, t.index.z);
  machine.error = std::string(text) + where;
  machine.failed = true;
  to_main();
  abort();
}

}  // namespace kullback::emulator
