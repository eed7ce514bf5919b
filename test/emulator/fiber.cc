// The switch itself, and the memory that stacks are made of.
#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "poison.h"
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
asm(R"(
.text
.globl kullback_switch_stack
.type kullback_switch_stack,@function
kullback_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size kullback_switch_stack,.-kullback_switch_stack
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl kullback_switch_stack
.type kullback_switch_stack,%function
kullback_switch_stack:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size kullback_switch_stack,.-kullback_switch_stack
)");
#else
#error "the emulator switches stacks on x86-64 and arm64 only"
#endif

extern "C" void kullback_switch_stack(void** save, void* load);

namespace kullback::emulator {
namespace {

size_t page_size() { return size_t(sysconf(_SC_PAGESIZE)); }

// As kullback_switch_stack would have left it for its return to `entry`, all registers zero.
void* initial_stack(char* end, void (*entry)()) {
  auto* top = reinterpret_cast<uintptr_t*>(end);
#if defined(__x86_64__)
  *--top = 0;  // keeps the entry's frame 16-byte aligned, ends backtraces
  *--top = reinterpret_cast<uintptr_t>(entry);
  for (int i = 0; i < 6; ++i) *--top = 0;
#elif defined(__aarch64__)
  top -= 20;
  for (int i = 0; i < 20; ++i) top[i] = 0;
  top[11] = reinterpret_cast<uintptr_t>(entry);
#endif
  return top;
}

}  // namespace

// AddressSanitizer is told of every switch, or its reports about stacks would be false.
void switch_fiber(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.fake_stack, to.stack_bottom, to.stack_size);
#endif
  kullback_switch_stack(&from.stack_pointer, to.stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

void make_fiber(Fiber& fiber, size_t stack_size, void (*entry)()) {
  const size_t guard = page_size();
  auto* const memory = static_cast<char*>(
      mmap(nullptr, stack_size + guard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (memory == MAP_FAILED) {
    perror("emulator: fiber stack");
    abort();
  }
  mprotect(memory, guard, PROT_NONE);
  fiber.stack_bottom = memory + guard;
  fiber.stack_size = stack_size;
  fiber.stack_pointer = initial_stack(memory + guard + stack_size, entry);
}

void begin_fiber([[maybe_unused]] Fiber& main) {
#if defined(__SANITIZE_ADDRESS__)
  if (main.stack_bottom == nullptr) {
    __sanitizer_finish_switch_fiber(nullptr, &main.stack_bottom, &main.stack_size);
  } else {
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
  }
#endif
}

void release_fiber(Fiber& fiber) {
  const size_t guard = page_size();
  KULLBACK_UNPOISON(fiber.stack_bottom, fiber.stack_size);
  auto* const bottom = const_cast<char*>(static_cast<const char*>(fiber.stack_bottom));
  munmap(bottom - guard, fiber.stack_size + guard);
  fiber = Fiber{};
}

}  // namespace kullback::emulator
