// Stackful coroutines: the smallest thing that can stop a CUDA thread in the middle of a kernel and resume it.
// One switch saves the registers that a call must keep and swaps stacks. swapcontext would make two system calls.
#ifndef KULLBACK_EMULATOR_FIBER_H
#define KULLBACK_EMULATOR_FIBER_H

#include <cstddef>

namespace kullback::emulator {

struct Fiber {
  void* stack_pointer = nullptr;
  const void* stack_bottom = nullptr;
  size_t stack_size = 0;
  void* fake_stack = nullptr;  // AddressSanitizer's
};

void switch_fiber(Fiber& from, Fiber& to);
// A stack with a guard page below it; the first switch to the fiber calls entry.
void make_fiber(Fiber& fiber, size_t stack_size, void (*entry)());
// What an entry calls first. `main`, which nobody has made, left its own stack for the first of all fibers.
void begin_fiber(Fiber& main);
void release_fiber(Fiber& fiber);

}  // namespace kullback::emulator

#endif  // KULLBACK_EMULATOR_FIBER_H
