// What the threads of a block or a warp do together: block barriers, warp collectives; and how a thread waits for
// others that it sees through memory.
#include <cstring>

#include "machine.h"

namespace kullback::emulator {
namespace {

void check_barrier(const Block& block, const char* file, int line) {
  if (block.exited > 0) {
    fail("barrier %s:%d reached after %u thread(s) of the block exited", file, line, block.exited);
  }
  const bool others_elsewhere = block.arrived > 0 && (line != block.line || strcmp(file, block.file) != 0);
  if (others_elsewhere) {
    fail("divergent barrier: this thread is at %s:%d, others wait at %s:%d", file, line, block.file, block.line);
  }
}

void release_block(Block& block) {
  block.arrived = 0;
  ++block.epoch;
  block.counted = block.count;
  block.count = 0;
  release_waiters(State::at_block_barrier, block.rank * machine.warps_per_block, machine.warps_per_block);
}

void check_mask(const Thread& self, unsigned alive) {
  if ((self.mask & lane_bit(self)) == 0) {
    fail("%s:%d: the mask %08x does not name the calling lane %u", self.file, self.line, self.mask, self.lane);
  }
  if ((self.mask & ~alive) != 0) {
    fail("%s:%d: the mask %08x names lanes that exited or do not exist (live: %08x)", self.file, self.line, self.mask,
         alive);
  }
  if (self.kind == Collective::shuffle && (self.mask >> self.source & 1) == 0) {
    fail("%s:%d: shuffle reads lane %u, which the mask %08x does not name", self.file, self.line, self.source,
         self.mask);
  }
}

void check_agreement(const Thread& self, const Warp& warp) {
  for (const Thread& thread : Lanes(warp, self.mask)) {
    if (thread.kind == self.kind && thread.mask == self.mask) continue;
    fail("lanes disagree: %s:%d with mask %08x here, lane %u at %s:%d with mask %08x", self.file, self.line, self.mask,
         thread.lane, thread.file, thread.line, thread.mask);
  }
}

// The result of the collectives that give all lanes the same one.
uint64_t common_result(const Warp& warp, Collective kind, unsigned mask) {
  uint64_t result = kind == Collective::all ? ~uint64_t{0} : 0;
  for (const Thread& thread : Lanes(warp, mask)) {
    switch (kind) {
      case Collective::ballot:
        result |= uint64_t(thread.value != 0) << thread.lane;
        break;
      case Collective::all:
        result &= thread.value;
        break;
      case Collective::any:
        result |= thread.value;
        break;
      case Collective::add:
        result = uint32_t(result + thread.value);
        break;
      case Collective::barrier:
      case Collective::shuffle:
      case Collective::match:
        break;
    }
  }
  return result;
}

unsigned lanes_with(uint64_t value, const Warp& warp, unsigned mask) {
  unsigned lanes = 0;
  for (const Thread& thread : Lanes(warp, mask)) {
    if (thread.value == value) lanes |= lane_bit(thread);
  }
  return lanes;
}

// For every lane at once, so that none can overwrite a value that another has not read yet.
void compute_results(const Warp& warp, Collective kind, unsigned mask) {
  const uint64_t common = common_result(warp, kind, mask);
  for (Thread& thread : Lanes(warp, mask)) {
    if (kind == Collective::shuffle) {
      thread.result = warp.threads[thread.source].value;
    } else if (kind == Collective::match) {
      thread.result = lanes_with(thread.value, warp, mask);
    } else {
      thread.result = common;
    }
  }
}

}  // namespace

void block_barrier(const char* file, int line) {
  Block& block = *machine.current->block;
  machine.idle_wakes = 0;
  check_barrier(block, file, line);
  block.file = file;
  block.line = line;
  ++block.arrived;
  if (block.arrived == machine.threads_per_block) {
    release_block(block);
  } else {
    block_here(State::at_block_barrier, file, line);
  }
  reschedule();
}

int block_count(bool predicate, const char* file, int line) {
  Block& block = *machine.current->block;
  if (predicate) ++block.count;
  block_barrier(file, line);
  return block.counted;
}

unsigned lane() { return machine.current->lane; }

// Finished by its last arriver; disjoint masks of one warp do not disturb each other.
uint64_t warp_collective(Collective kind, unsigned mask, uint64_t value, unsigned source, const char* file, int line) {
  Thread& self = *machine.current;
  Warp& warp = warp_of(self);
  self.kind = kind;
  self.mask = mask;
  self.value = value;
  self.source = source % kWarpSize;
  self.file = file;
  self.line = line;
  check_mask(self, warp.alive);
  warp.in_collective |= lane_bit(self);
  const bool complete = (warp.in_collective & mask) == mask;
  if (!complete) {
    block_here(State::at_collective, file, line);
    reschedule();
    return self.result;
  }
  check_agreement(self, warp);
  compute_results(warp, kind, mask);
  if (kind == Collective::barrier) ++warp.epoch;
  warp.in_collective &= ~mask;
  for (Thread& thread : Lanes(warp, mask)) {
    if (&thread != &self) resume(thread);
  }
  // Back to the first lane in this run's order.
  reschedule();
  return self.result;
}

void fence() {
  if (checker == nullptr) return;
  checker->fence(stamp());
  ++machine.current->serial;
}

void sleep(const char* file, int line) {
  Thread& self = *machine.current;
  block_here(State::sleeping, file, line);
  warp_of(self).sleeping |= lane_bit(self);
  reschedule();
  self.state = State::running;
}

}  // namespace kullback::emulator
