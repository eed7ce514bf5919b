// When and where an access happens, for the access checker.
#include "machine.h"

namespace kullback::emulator {
namespace {

bool is_on_stack(const void* address, const Fiber& fiber) {
  const auto* const bottom = static_cast<const char*>(fiber.stack_bottom);
  return address >= bottom && address < bottom + fiber.stack_size;
}

}  // namespace

Checker* checker = nullptr;

bool in_kernel() { return machine.current != nullptr; }

Stamp stamp() {
  const Thread& thread = *machine.current;
  const Block& block = *thread.block;
  return {.launch = machine.launch_number,
          .cluster = machine.cluster_index,
          .cluster_epoch = machine.cluster_epoch,
          .block = block.linear_index,
          .block_epoch = block.epoch,
          .warp = block.linear_index * machine.warps_per_block + thread.linear_index / kWarpSize,
          .warp_epoch = warp_of(thread).epoch,
          .thread = block.linear_index * machine.threads_per_block + thread.linear_index,
          .serial = thread.serial};
}

bool on_fiber_stack(const void* address) {
  // The likeliest first.
  if (in_kernel() && is_on_stack(address, machine.current->fiber)) return true;
  for (unsigned i = 0; i < machine.fibers; ++i) {
    if (is_on_stack(address, machine.threads[i].fiber)) return true;
  }
  return false;
}

unsigned thread_in_cluster() { return machine.current->warp * kWarpSize + machine.current->lane; }

void note_atomic(const void* address, size_t size, const void* pc) {
  if (checker != nullptr && in_kernel()) checker->access({address, size, pc, Access::atomic}, stamp());
}

}  // namespace kullback::emulator
