// How every function of the vector types and of the formulas over them is declared: a call would spill all vectors.
#ifndef KULLBACK_CPU_INLINE_H
#define KULLBACK_CPU_INLINE_H

#include "../../math/float_bits.h"

#define KULLBACK_INLINE inline __attribute__((always_inline))

#endif  // KULLBACK_CPU_INLINE_H
