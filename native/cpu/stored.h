// stored: rows as the caller has them, which need not be logits of the type that is computed in, nor gradients of it.
#ifndef KULLBACK_CPU_STORED_H
#define KULLBACK_CPU_STORED_H

#include <cstdint>

#include "../abi/kullback_backend.h"

namespace kullback {

// to[i] = log_prior[i] * temperature + (from[i], or its logarithm where it is a probability)
template <class T>
struct StageTask {
  const void* from;  // [columns], of `dtype`
  kullback_dtype dtype;
  bool probabilities;
  const T* log_prior;  // [columns] or NULL
  T temperature;
  int64_t columns;
  T* to;  // [columns]
};

// Whether numbers are probabilities.
template <class T>
struct ProbabilityTask {
  const void* from;  // [columns], of `dtype`
  kullback_dtype dtype;
  int64_t columns;
  T* block;  // room for kBlockColumns
  // Results
  double sum;
  bool negative;  // or not a number
};

// to[i] = from[i], or to[i] + from[i], rounded once
template <class T>
struct EmitTask {
  const T* from;  // [columns]
  int64_t columns;
  kullback_dtype dtype;
  bool accumulate;
  void* to;  // [columns], of `dtype`
};

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

}  // namespace kullback

#endif  // KULLBACK_CPU_STORED_H
