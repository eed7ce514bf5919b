// linear_softmax_divergence on the GPU: the gradient for the bias. Products are matrix_product.cuh's, rows those of
// softmax_divergence.cuh and token_log_probs.cuh.
//   formula  sums[column] += sum over rows of the logits' gradient
//   shapes   gradient [rows, columns], sums [columns]; a column a thread
//   traffic  the gradient once
//   work     1 addition an element; binds: memory
//   stable   float64
//   order    row by row, from where the rows before have left the sums
//   edges    none
//   bound    as many roundings of a float64 as there are rows;  speed: not measured
#ifndef KULLBACK_CUDA_LINEAR_SOFTMAX_DIVERGENCE_CUH
#define KULLBACK_CUDA_LINEAR_SOFTMAX_DIVERGENCE_CUH

#include "device.h"

namespace kullback {

template <class T, unsigned kThreads>
__global__ void __launch_bounds__(kThreads)
    column_sums(const T* gradient, int64_t rows, int64_t columns, double* sums) {
  const int64_t step = int64_t(gridDim.x) * kThreads;
  for (int64_t column = int64_t(blockIdx.x) * kThreads + threadIdx.x; column < columns; column += step) {
    double sum = sums[column];
    for (int64_t row = 0; row < rows; ++row) sum += double(gradient[row * columns + column]);
    sums[column] = sum;
  }
}

}  // namespace kullback

#endif  // KULLBACK_CUDA_LINEAR_SOFTMAX_DIVERGENCE_CUH
