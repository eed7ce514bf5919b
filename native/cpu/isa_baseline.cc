// The kernels without instruction sets: what every processor can run.
#include "kernels.h"

namespace kullback::baseline {
#include "simd/baseline.h"
// The types come first.
#include "isa_regions.inl.h"
}  // namespace kullback::baseline
