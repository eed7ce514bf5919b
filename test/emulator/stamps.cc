// When and where an access happens, for the access checker.
#include "machine.h"

namespace kullback::emulator {

Checker* checker = nullptr;

bool in_kernel() { return machine.current != nullptr; }

Stamp stamp() {
  Thread& t = *machine.current;
  Block& b = *t.block;
  return {machine.launch_number,
          machine.cluster_linear,
          machine.cluster_epoch,
          b.linear,
          b.epoch,
          b.linear * machine.warps_per_block + t.linear / 32,
          machine.warps[t.warp].epoch,
          b.linear * machine.threads_per_block + t.linear,
          t.serial};
}

bool on_fiber_stack(const void* address) {
  auto inside = [&](const Fiber& f) {
    auto* b = static_cast<const char*>(f.stack_bottom);
    return address >= b && address < b + f.stack_size;
  };
  if (machine.current && inside(machine.current->fiber)) return true;
  for (unsigned i = 0; i < machine.fibers; ++i)
    if (inside(machine.threads[i].fiber)) return true;
  return false;
}

unsigned current_lane_global() { return machine.current->warp * 32 + machine.current->lane; }

void note_atomic(const void* address, size_t size, const void* pc) {
  if (checker && machine.current) checker->access({address, size, pc, Access::atomic}, stamp());
}

}  // namespace kullback::emulator
