#include "dispatch.h"

#include <atomic>
#include <iterator>

namespace kullback {
namespace {

constexpr InstructionSet kInstructionSets[] = {
    {"baseline", [] { return true; }, &baseline::kernel_table},
#if defined(__x86_64__)
    // The compiler's probes ask the operating system too (XGETBV), so that registers it does not save are not used.
    {"avx2", [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }, &avx2::kernel_table},
    {"avx512", [] { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"); },
     &avx512::kernel_table},
#elif defined(__aarch64__)
    {"neon", [] { return true; }, &neon::kernel_table},
#endif
};

const InstructionSet* best_supported() {
  const InstructionSet* best = &kInstructionSets[0];
  for (const InstructionSet& set : kInstructionSets) {
    if (set.supported()) best = &set;
  }
  return best;
}

std::atomic<const InstructionSet*> active{nullptr};

}  // namespace

const InstructionSet* instruction_sets(int* count) {
  *count = static_cast<int>(std::size(kInstructionSets));
  return kInstructionSets;
}

const InstructionSet& active_instruction_set() {
  const InstructionSet* set = active.load(std::memory_order_acquire);
  if (set == nullptr) {
    set = best_supported();
    active.store(set, std::memory_order_release);
  }
  return *set;
}

const InstructionSet* find_instruction_set(std::string_view name) {
  for (const InstructionSet& set : kInstructionSets) {
    if (name == set.name) return &set;
  }
  return nullptr;
}

void use_instruction_set(const InstructionSet& set) { active.store(&set, std::memory_order_release); }

}  // namespace kullback
