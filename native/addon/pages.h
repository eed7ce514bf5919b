// Memory that is about to be written for the first time: each fault of a small page costs more than what fills it.
#ifndef KULLBACK_ADDON_PAGES_H
#define KULLBACK_ADDON_PAGES_H

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace kullback {

// Asks for huge pages where there is room for some. A hint: pages that are there already stay as they are.
inline void expect_writes(void* memory, size_t bytes) {
#if defined(__linux__)
  constexpr size_t kWorthACall = size_t{4} << 20;
  if (bytes < kWorthACall) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + page - 1) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + bytes) / page * page;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)memory;
  (void)bytes;
#endif
}

}  // namespace kullback

#endif  // KULLBACK_ADDON_PAGES_H
