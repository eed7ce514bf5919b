// Everything that is compiled once per instruction set, in order. Included by each isa_*.cc inside its target region
// and its namespace, after the vector types. Nothing from the standard library may stand in here: a weak template
// instantiated inside a region could be linked into the baseline (style: "ISA by target regions").
//
// The order is the meaning: each file needs what stands above it.
#include "simd/constant.inl.h"
#include "../math/polynomial.inl.h"
#include "../math/exp2.inl.h"
#include "../math/log_series.inl.h"
#include "../math/elementary.inl.h"
#include "../math/expm1_minus.inl.h"
#include "../math/divergence.inl.h"
#include "../math/generators.inl.h"
#include "../math/f_divergence.inl.h"
#include "../math/log_ratio.inl.h"
#include "elementary.inl.h"
#include "softmax_divergence_exponentials.inl.h"
#include "stored.inl.h"
#include "softmax_divergence.inl.h"
#include "softmax_divergence_value.inl.h"
#include "softmax_divergence_generator.inl.h"
#include "softmax_divergence_mixture.inl.h"
#include "f_divergence.inl.h"
#include "token_log_probs.inl.h"
#include "matrix_product.inl.h"
#include "linear_softmax_divergence.inl.h"
#include "memory_limit.inl.h"

#define KULLBACK_KERNEL(name, parameters) &name<F32>,
static constexpr Kernels<float> float32_kernels = {
#include "kernels.inc"
};
#undef KULLBACK_KERNEL
#define KULLBACK_KERNEL(name, parameters) &name<F64>,
static constexpr Kernels<double> float64_kernels = {
#include "kernels.inc"
};
#undef KULLBACK_KERNEL
const KernelTable kernel_table = {float32_kernels, float64_kernels};
