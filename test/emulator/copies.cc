// Asynchronous copies into shared memory: they land at their wait, or at once, as the settings say.
#include <cstring>
#include <utility>

#include "machine.h"

namespace kullback::emulator {
namespace {

void check_landing(const AsyncCopy& copy) {
  const Stamp now = stamp();
  // A byte earlier stands in the same line, and tells this access from the write where each is reported once.
  const void* const read_pc = static_cast<const char*>(copy.pc) - 1;
  checker->access({copy.source, copy.valid_bytes, read_pc, Access::read}, now);
  checker->in_flight({copy.destination, copy.bytes, copy.pc, Access::write}, now, false);
}

void land(const std::vector<AsyncCopy>& copies) {
  for (const AsyncCopy& copy : copies) {
    memcpy(copy.destination, copy.source, copy.valid_bytes);
    memset(static_cast<char*>(copy.destination) + copy.valid_bytes, 0, copy.bytes - copy.valid_bytes);
    if (checker != nullptr) check_landing(copy);
  }
}

}  // namespace

void copy_async(void* destination, const void* source, size_t bytes, size_t valid_bytes) {
  const void* const pc = __builtin_return_address(0);
  if (bytes != 4 && bytes != 8 && bytes != 16) fail("asynchronous copy of %zu bytes (4, 8 or 16)", bytes);
  const bool aligned = uintptr_t(destination) % bytes == 0 && uintptr_t(source) % bytes == 0;
  if (!aligned) fail("asynchronous copy of %zu bytes is misaligned", bytes);
  std::vector<AsyncCopy>& open = machine.current->open_copies;
  open.push_back({destination, source, bytes, valid_bytes, pc});
  if (checker != nullptr) checker->in_flight({destination, bytes, pc, Access::write}, stamp(), true);
  if (settings().late_copies) return;
  land(open);
  open.clear();
}

void commit_copies() {
  Thread& self = *machine.current;
  self.copy_groups.push_back(std::move(self.open_copies));
  self.open_copies.clear();
}

void wait_copies(unsigned pending_groups) {
  std::vector<std::vector<AsyncCopy>>& groups = machine.current->copy_groups;
  while (groups.size() > pending_groups) {
    land(groups.front());
    groups.erase(groups.begin());
  }
}

}  // namespace kullback::emulator
