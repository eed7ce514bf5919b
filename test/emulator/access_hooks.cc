// How the access checker learns of accesses. Kernels are compiled with -fsanitize=thread but linked without its
// run-time library: the compiler then calls these functions at every load and store that is not a provably private
// local.
#include "machine.h"

namespace {

using kullback::emulator::Access;

void note(const void* address, size_t bytes, Access::Kind kind, const void* pc) {
  using namespace kullback::emulator;
  if (in_kernel()) checker->access({address, bytes, pc, kind}, stamp());
}

}  // namespace

// The static_assert takes the semicolon.
#define KULLBACK_HOOK(name, bytes, kind)                                                                   \
  extern "C" void name(void* address) { note(address, bytes, Access::kind, __builtin_return_address(0)); } \
  static_assert(true)
KULLBACK_HOOK(__tsan_read1, 1, read);
KULLBACK_HOOK(__tsan_read2, 2, read);
KULLBACK_HOOK(__tsan_read4, 4, read);
KULLBACK_HOOK(__tsan_read8, 8, read);
KULLBACK_HOOK(__tsan_read16, 16, read);
KULLBACK_HOOK(__tsan_unaligned_read2, 2, read);
KULLBACK_HOOK(__tsan_unaligned_read4, 4, read);
KULLBACK_HOOK(__tsan_unaligned_read8, 8, read);
KULLBACK_HOOK(__tsan_unaligned_read16, 16, read);
KULLBACK_HOOK(__tsan_write1, 1, write);
KULLBACK_HOOK(__tsan_write2, 2, write);
KULLBACK_HOOK(__tsan_write4, 4, write);
KULLBACK_HOOK(__tsan_write8, 8, write);
KULLBACK_HOOK(__tsan_write16, 16, write);
KULLBACK_HOOK(__tsan_unaligned_write2, 2, write);
KULLBACK_HOOK(__tsan_unaligned_write4, 4, write);
KULLBACK_HOOK(__tsan_unaligned_write8, 8, write);
KULLBACK_HOOK(__tsan_unaligned_write16, 16, write);

extern "C" void __tsan_read_range(void* address, unsigned long bytes) {
  note(address, bytes, Access::read, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(void* address, unsigned long bytes) {
  note(address, bytes, Access::write, __builtin_return_address(0));
}

// What else it calls: where a translation unit starts, and where objects with virtual functions are made and used.
extern "C" void __tsan_init() {}
extern "C" void __tsan_vptr_update(void**, void*) {}
extern "C" void __tsan_vptr_read(void**) {}
