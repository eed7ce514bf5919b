// element_types: the type that an operation is computed in, by the element type of its request; and how it ends where
// memory does.
#ifndef KULLBACK_CPU_ELEMENT_TYPES_H
#define KULLBACK_CPU_ELEMENT_TYPES_H

#include <new>

#include "../abi/kullback_backend.h"

namespace kullback {

// run.operator()<T>(), T float for 16-bit elements too.
template <class Run>
kullback_status in_computed_type(kullback_dtype dtype, const Run& run) {
  try {
    switch (dtype) {
      case KULLBACK_FLOAT32:
      case KULLBACK_FLOAT16:
      case KULLBACK_BFLOAT16:
        return run.template operator()<float>();
      case KULLBACK_FLOAT64:
        return run.template operator()<double>();
    }
    return KULLBACK_UNSUPPORTED;
  } catch (const std::bad_alloc&) {
    return KULLBACK_OUT_OF_MEMORY;
  }
}

// Of operations without 16-bit elements.
template <class Run>
kullback_status in_full_width(kullback_dtype dtype, const Run& run) {
  if (dtype != KULLBACK_FLOAT32 && dtype != KULLBACK_FLOAT64) return KULLBACK_UNSUPPORTED;
  return in_computed_type(dtype, run);
}

}  // namespace kullback

#endif  // KULLBACK_CPU_ELEMENT_TYPES_H
