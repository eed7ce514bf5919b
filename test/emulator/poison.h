// What AddressSanitizer is told about memory that exists but must not be touched. Without it, nothing.
#ifndef KULLBACK_EMULATOR_POISON_H
#define KULLBACK_EMULATOR_POISON_H

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define KULLBACK_POISON(address, bytes) __asan_poison_memory_region(address, bytes)
#define KULLBACK_UNPOISON(address, bytes) __asan_unpoison_memory_region(address, bytes)
#else
#define KULLBACK_POISON(address, bytes) ((void)(address), (void)(bytes))
#define KULLBACK_UNPOISON(address, bytes) ((void)(address), (void)(bytes))
#endif

#endif  // KULLBACK_EMULATOR_POISON_H
