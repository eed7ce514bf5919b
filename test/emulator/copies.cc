// Asynchronous copies into shared memory: they land at their wait, or at once, as the settings say.
#include <cstring>

#include "machine.h"

namespace kullback::emulator {

void complete_copies(std::vector<AsyncCopy>& group) {
  for (AsyncCopy& copy : group) {
    memcpy(copy.destination, copy.source, copy.valid);
    memset(static_cast<char*>(copy.destination) + copy.valid, 0, copy.bytes - copy.valid);
    if (checker) {
      Stamp now = stamp();
      checker->access({copy.source, copy.valid, static_cast<const char*>(copy.pc) - 1, Access::read}, now);
      checker->in_flight({copy.destination, copy.bytes, copy.pc, Access::write}, now, false);
    }
  }
}

void copy_async(void* destination, const void* source, size_t bytes, size_t valid) {
  const void* pc = __builtin_return_address(0);
  if (bytes != 4 && bytes != 8 && bytes != 16) fail("asynchronous copy of %zu bytes (4, 8 or 16)", bytes);
  if ((uintptr_t(destination) | uintptr_t(source)) & (bytes - 1))
    fail("asynchronous copy of %zu bytes is misaligned", bytes);
  machine.current->open_copies.push_back({destination, source, bytes, valid, pc});
  if (checker) checker->in_flight({destination, bytes, pc, Access::write}, stamp(), true);
  if (!settings().late_copies) {
    complete_copies(machine.current->open_copies);
    machine.current->open_copies.clear();
  }
}

void commit_copies() {
  machine.current->groups.push_back(std::move(machine.current->open_copies));
  machine.current->open_copies.clear();
}

void wait_copies(unsigned pending) {
  while (machine.current->groups.size() > pending) {
    complete_copies(machine.current->groups.front());
    machine.current->groups.erase(machine.current->groups.begin());
  }
}

}  // namespace kullback::emulator
