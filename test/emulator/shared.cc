// Shared memory, and the clusters whose blocks see each other's.
#include <cstring>

#include "machine.h"
#include "poison.h"

namespace kullback::emulator {
namespace {

char* place_array(Block& block, size_t offset, size_t bytes) {
  // A gap on either side of each.
  if (block.arrays.size() + 2 > kMaxArrays) fail("more than %zu shared arrays", kMaxArrays - 2);
  char* const address = block.arena + offset + kGap * (block.arrays.size() + 1);
  block.arrays.push_back({offset, bytes, address});
  KULLBACK_UNPOISON(address, bytes);
  memset(address, 0xff, bytes);  // NaN in every float format, -1 in every integer
  if (checker != nullptr) checker->shared_array(address, bytes, offset);
  return address;
}

}  // namespace

void* shared_take(size_t offset, size_t bytes) {
  Block& block = *machine.current->block;
  if (offset + bytes > machine.launch->shared_bytes) {
    fail("shared arrays need %zu bytes, the launch gave %zu", offset + bytes, machine.launch->shared_bytes);
  }
  for (const SharedArray& array : block.arrays) {
    if (array.offset != offset) continue;
    if (array.bytes != bytes) {
      fail("threads disagree on the shared array at offset %zu: %zu or %zu bytes", offset, array.bytes, bytes);
    }
    return array.address;
  }
  return place_array(block, offset, bytes);
}

void* shared_of_rank(const void* mine, unsigned rank) {
  const Block& block = *machine.current->block;
  if (rank >= machine.blocks.size()) fail("block rank %u of a cluster of %zu", rank, machine.blocks.size());
  const auto offset = size_t(static_cast<const char*>(mine) - block.arena);
  if (offset >= machine.arena_stride) fail("the mapped address is not in this block's shared memory");
  if (machine.blocks[rank].finished) fail("shared memory of block rank %u is mapped after that block exited", rank);
  return machine.blocks[rank].arena + offset;
}

unsigned cluster_rank() { return machine.current->block->rank; }

unsigned cluster_size() { return unsigned(machine.blocks.size()); }

void cluster_arrive(const char* file, int line) {
  Thread& self = *machine.current;
  if (self.cluster_arrived) fail("%s:%d: second cluster arrive without a wait", file, line);
  for (const Block& block : machine.blocks) {
    if (block.exited > 0) fail("%s:%d: cluster barrier after %u thread(s) exited", file, line, block.exited);
  }
  self.cluster_arrived = true;
  self.arrival_epoch = machine.cluster_epoch;
  ++machine.cluster_arrived;
  if (machine.cluster_arrived < machine.threads_per_block * cluster_size()) return;
  machine.cluster_arrived = 0;
  ++machine.cluster_epoch;
  release_waiters(State::at_cluster_barrier, 0, unsigned(machine.warps.size()));
}

void cluster_wait(const char* file, int line) {
  Thread& self = *machine.current;
  if (!self.cluster_arrived) fail("%s:%d: cluster wait without an arrive", file, line);
  const bool others_missing = self.arrival_epoch == machine.cluster_epoch;
  if (others_missing) block_here(State::at_cluster_barrier, file, line);
  reschedule();
  self.cluster_arrived = false;
}

}  // namespace kullback::emulator
