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

}  // namespace kullback

#endif  // KULLBACK_CPU_STORED_H
