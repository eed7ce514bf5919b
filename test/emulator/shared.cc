// Shared memory, and the clusters whose blocks see each other's.
#include <cstring>

#include "machine.h"
#include "poison.h"

namespace kullback::emulator {

void* shared_take(size_t offset, size_t bytes) {
  Block& block = *machine.current->block;
  if (offset + bytes > machine.launch->shared_bytes)
    fail("shared arrays need %zu bytes, the launch gave %zu", offset + bytes, machine.launch->shared_bytes);
  for (SharedArray& array : block.arrays)
    if (array.offset == offset) {
      if (array.bytes != bytes)
        fail("threads disagree on the shared array at offset %zu: %zu or %zu bytes", offset, array.bytes, bytes);
      return array.address;
    }
  if (block.arrays.size() + 2 > kMaxArrays) fail("more than %zu shared arrays", kMaxArrays - 2);
  char* address = block.arena + offset + kGap * (block.arrays.size() + 1);
  block.arrays.push_back({offset, bytes, address});
  KULLBACK_UNPOISON(address, bytes);
  memset(address, 0xff, bytes);  // NaN in every float format, -1 in every integer
  if (checker) checker->shared_array(address, bytes, block.rank, offset);
  return address;
}

void* shared_of_rank(const void* mine, unsigned rank) {
  Block& block = *machine.current->block;
  if (rank >= machine.blocks.size()) fail("block rank %u of a cluster of %zu", rank, machine.blocks.size());
  size_t offset = size_t(static_cast<const char*>(mine) - block.arena);
  if (offset >= machine.arena_stride) fail("the mapped address is not in this block's shared memory");
  if (machine.blocks[rank].finished) fail("shared memory of block rank %u is mapped after that block exited", rank);
  return machine.blocks[rank].arena + offset;
}

unsigned cluster_rank() { return machine.current->block->rank; }

unsigned cluster_size() { return unsigned(machine.blocks.size()); }

void cluster_arrive(const char* file, int line) {
  Thread* self = machine.current;
  if (self->cluster_arrived) fail("%s:%d: second cluster arrive without a wait", file, line);
  self->cluster_arrived = true;
  self->parity = machine.cluster_epoch & 1;
  unsigned total = machine.threads_per_block * unsigned(machine.blocks.size());
  for (Block& b : machine.blocks)
    if (settings().strict && b.exited) fail("%s:%d: cluster barrier after %u thread(s) exited", file, line, b.exited);
  if (++machine.cluster_arrived == total) {
    if (checker) checker->joined(0, unsigned(machine.warps.size()) * 32);
    machine.cluster_arrived = 0;
    ++machine.cluster_epoch;
    for (Warp& warp : machine.warps)
      for (unsigned bits = warp.alive; bits; bits &= bits - 1) {
        Thread& t = warp.threads[__builtin_ctz(bits)];
        if (t.state == State::cluster) resume(t);
      }
    if (settings().order == Order::forward) machine.current_warp = 0;
    if (settings().order == Order::reverse) machine.current_warp = unsigned(machine.warps.size()) - 1;
  }
}

void cluster_wait(const char* file, int line) {
  Thread* self = machine.current;
  if (!self->cluster_arrived) fail("%s:%d: cluster wait without an arrive", file, line);
  if (self->parity == (machine.cluster_epoch & 1)) block_here(State::cluster, file, line);
  reschedule();
  self->cluster_arrived = false;
}

}  // namespace kullback::emulator
