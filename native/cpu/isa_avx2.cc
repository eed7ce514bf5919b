// The kernels for AVX2 and FMA (x86-64 since 2013).
#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

namespace kullback::avx2 {
#include "simd/avx2.h"
// The types come first.
#include "isa_regions.inl.h"
}  // namespace kullback::avx2

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
