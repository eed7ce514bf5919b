// The kernels for NEON, which every AArch64 processor has: no target region is needed.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "kernels.h"

namespace kullback::neon {
#include "simd/neon.h"
// The types come first.
#include "isa_regions.inl.h"
}  // namespace kullback::neon

#endif  // __aarch64__
