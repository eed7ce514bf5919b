// linear_softmax_divergence: what the baseline driver (linear_softmax_divergence.cc) tells its vector kernel
// (linear_softmax_divergence.inl.h). A plain struct only.
#ifndef KULLBACK_CPU_LINEAR_SOFTMAX_DIVERGENCE_H
#define KULLBACK_CPU_LINEAR_SOFTMAX_DIVERGENCE_H

#include <cstdint>

namespace kullback {

// sums[column] += from[row * stride + column], row by row.
template <class T>
struct ColumnSumsTask {
  const T* from;
  int64_t stride, rows, columns;
  double* sums;
};

}  // namespace kullback

#endif  // KULLBACK_CPU_LINEAR_SOFTMAX_DIVERGENCE_H
