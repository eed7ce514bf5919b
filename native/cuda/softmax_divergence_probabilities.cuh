// softmax_divergence on the GPU, before it where the teacher is given in probabilities: whether they are.
//   formula  improper = some number is not at least 0, or |sum - 1| > tolerance
//   shapes   numbers [rows, stride], or one row; improper [rows]; a block a row
//   traffic  1 read of each column
//   work     1 addition and 1 comparison a column; binds: memory
//   stable   sums in float64
//   order    threads, warps (team.h)
//   edges    a NaN is not at least 0; rows that do not count are proper
//   bound    exact up to rounding;  speed: bench/softmax-divergence
#ifndef KULLBACK_CUDA_SOFTMAX_DIVERGENCE_PROBABILITIES_CUH
#define KULLBACK_CUDA_SOFTMAX_DIVERGENCE_PROBABILITIES_CUH

#include "stored.cuh"
#include "team.h"

namespace kullback {

struct ProbabilityArguments {
  const void* numbers;
  Storage storage;
  int64_t rows, columns, row_step;
  const uint8_t* row_mask;  // [rows] or NULL
  double tolerance;
  uint32_t* improper;  // [rows]
};

template <class T, unsigned kThreads>
__global__ void __launch_bounds__(kThreads) improper_probabilities(const ProbabilityArguments arguments) {
  SharedMemory arena;
  BlockTeam<kThreads> team(arena);
  for (int64_t row = team.first_row(); row < arguments.rows; row += team.rows_at_once()) {
    const bool counts = arguments.row_mask == nullptr || arguments.row_mask[row] != 0;
    double sums[2] = {0, 0};
    for (int64_t i = team.rank(); counts && i < arguments.columns; i += team.size()) {
      T number[1];
      load_numbers(arguments.storage, arguments.numbers, row * arguments.row_step + i, true, 1, number);
      sums[0] += double(number[0]);
      sums[1] += number[0] >= 0 ? 0 : 1;
    }
    team.template reduce<Sum>(sums);
    const bool proper = sums[1] == 0 && fabs(sums[0] - 1) <= arguments.tolerance;
    if (team.leads()) arguments.improper[row] = counts && !proper ? 1 : 0;
  }
}

}  // namespace kullback

#endif  // KULLBACK_CUDA_SOFTMAX_DIVERGENCE_PROBABILITIES_CUH
