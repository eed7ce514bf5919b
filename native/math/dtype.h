// dtype: what both processors must know of an element type. Needs kullback_backend.h before it.
#ifndef KULLBACK_MATH_DTYPE_H
#define KULLBACK_MATH_DTYPE_H

#include <cstdint>

namespace kullback {

inline int64_t element_bytes(kullback_dtype dtype) {
  switch (dtype) {
    case KULLBACK_FLOAT64:
      return 8;
    case KULLBACK_FLOAT32:
      return 4;
    case KULLBACK_FLOAT16:
    case KULLBACK_BFLOAT16:
      return 2;
  }
  return 0;
}

// How far the sum of a row of probabilities may be from 1.
inline double probability_tolerance(kullback_dtype dtype) {
  return KULLBACK_PROBABILITY_TOLERANCE * (element_bytes(dtype) == 2 ? 10 : 1);
}

}  // namespace kullback

#endif  // KULLBACK_MATH_DTYPE_H
