// Which instruction set's kernels run.
#ifndef KULLBACK_CPU_DISPATCH_H
#define KULLBACK_CPU_DISPATCH_H

#include <string_view>

#include "kernels.h"

namespace kullback {

struct InstructionSet {
  const char* name;
  bool (*supported)();  // by this processor and operating system
  const KernelTable* kernels;
};

// Every instruction set compiled into this library, the least first; the count goes to *count.
const InstructionSet* instruction_sets(int* count);

// The one in use: the last supported one, unless use_instruction_set chose another.
const InstructionSet& active_instruction_set();

// The entry of that name, or NULL.
const InstructionSet* find_instruction_set(std::string_view name);

// For the whole process; `set` must be supported.
void use_instruction_set(const InstructionSet& set);

}  // namespace kullback

#endif  // KULLBACK_CPU_DISPATCH_H
