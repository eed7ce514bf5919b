// Block barriers and warp collectives.
#include <cstring>

#include "machine.h"

namespace kullback::emulator {

void release_block(Block& block) {
  if (checker) checker->joined(block.rank * machine.warps_per_block * 32, machine.warps_per_block * 32);
  block.arrived = 0;
  ++block.epoch;
  int live = int(machine.threads_per_block - block.exited);
  block.reduce_result = block.reduce_kind == 0   ? block.reduce_count
                        : block.reduce_kind == 1 ? block.reduce_count > 0
                                                 : block.reduce_count == live;
  block.reduce_count = 0;
  for (unsigned w = 0; w < machine.warps_per_block; ++w) {
    Warp& warp = machine.warps[block.rank * machine.warps_per_block + w];
    for (unsigned bits = warp.alive; bits; bits &= bits - 1) {
      Thread& t = warp.threads[__builtin_ctz(bits)];
      if (t.state == State::block) resume(t);
    }
  }
  if (settings().order == Order::forward) machine.current_warp = block.rank * machine.warps_per_block;
  if (settings().order == Order::reverse) machine.current_warp = (block.rank + 1) * machine.warps_per_block - 1;
}

void barrier_arrive(const char* file, int line) {
  Thread* self = machine.current;
  Block& block = *self->block;
  ++totals.barriers;
  machine.idle_wakes = 0;
  if (settings().strict) {
    if (block.exited) fail("barrier %s:%d reached after %u thread(s) of the block exited", file, line, block.exited);
    if (block.arrived && (line != block.line || strcmp(file, block.file)))
      fail("divergent barrier: this thread is at %s:%d, others wait at %s:%d", file, line, block.file, block.line);
  }
  block.file = file;
  block.line = line;
  if (++block.arrived == machine.threads_per_block - block.exited) {
    release_block(block);
  } else {
    block_here(State::block, file, line);
  }
  reschedule();
}

void block_barrier(const char* file, int line) { barrier_arrive(file, line); }

int block_reduce(int predicate, int kind, const char* file, int line) {
  Block& block = *machine.current->block;
  block.reduce_kind = kind;
  block.reduce_count += predicate != 0;
  barrier_arrive(file, line);
  return block.reduce_result;
}

unsigned lane() { return machine.current->lane; }

namespace {

// Every lane's result, so that none can overwrite a value that another has not read yet.
void combine(Warp& warp, Collective kind, unsigned mask) {
  uint64_t all = kind == Collective::all ? ~0ull : 0;
  for (unsigned bits = mask; bits; bits &= bits - 1) {
    Thread& t = warp.threads[__builtin_ctz(bits)];
    switch (kind) {
      case Collective::ballot:
        all |= uint64_t(t.value != 0) << t.lane;
        break;
      case Collective::all:
        all &= t.value;
        break;
      case Collective::any:
        all |= t.value;
        break;
      case Collective::add:
        all = uint32_t(all + t.value);
        break;
      default:
        break;
    }
  }
  for (unsigned bits = mask; bits; bits &= bits - 1) {
    Thread& t = warp.threads[__builtin_ctz(bits)];
    if (kind == Collective::shuffle)
      t.result = warp.threads[t.source].value;
    else if (kind == Collective::match) {
      t.result = 0;
      for (unsigned other = mask; other; other &= other - 1) {
        Thread& o = warp.threads[__builtin_ctz(other)];
        if (o.value == t.value) t.result |= 1u << o.lane;
      }
    } else
      t.result = all;
  }
}

}  // namespace

// Finished by its last arriver; disjoint masks of one warp do not disturb each other.
uint64_t warp_collective(Collective kind, unsigned mask, uint64_t value, unsigned source, const char* file, int line) {
  Thread* self = machine.current;
  Warp& warp = machine.warps[self->warp];
  ++totals.collectives;
  if (!(mask >> self->lane & 1))
    fail("%s:%d: the mask %08x does not name the calling lane %u", file, line, mask, self->lane);
  if (mask & ~warp.alive)
    fail("%s:%d: the mask %08x names lanes that exited or do not exist (live: %08x)", file, line, mask, warp.alive);
  if (kind == Collective::shuffle && !(mask >> (source & 31) & 1))
    fail("%s:%d: shuffle reads lane %u, which the mask %08x does not name", file, line, source & 31, mask);
  self->kind = kind;
  self->mask = mask;
  self->value = value;
  self->source = source & 31;
  self->file = file;
  self->line = line;
  warp.collective |= 1u << self->lane;
  bool complete = (warp.collective & mask) == mask;
  for (unsigned bits = mask; complete && bits; bits &= bits - 1) {
    Thread& t = warp.threads[__builtin_ctz(bits)];
    if (t.kind != kind || t.mask != mask)
      fail("lanes disagree: %s:%d with mask %08x here, lane %u at %s:%d with mask %08x", file, line, mask,
           unsigned(__builtin_ctz(bits)), t.file, t.line, t.mask);
  }
  if (!complete) {
    block_here(State::collective, file, line);
    reschedule();
    return self->result;
  }
  combine(warp, kind, mask);
  if (kind == Collective::barrier) ++warp.epoch;
  warp.collective &= ~mask;
  for (unsigned bits = mask; bits; bits &= bits - 1) {
    Thread& t = warp.threads[__builtin_ctz(bits)];
    if (&t != self) resume(t);
  }
  reschedule();  // back to the first lane in this run's order
  return self->result;
}

void fence() {
  if (!checker) return;
  checker->fence(stamp());
  ++machine.current->serial;
}

void sleep(const char* file, int line) {
  Thread* self = machine.current;
  block_here(State::sleeping, file, line);
  machine.warps[self->warp].sleeping |= 1u << self->lane;
  reschedule();
  self->state = State::running;
}

}  // namespace kullback::emulator
