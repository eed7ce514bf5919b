// The sum of the rows' values: by halves, so that its rounding grows with the logarithm of their number, and always in
// the same order.
#ifndef KULLBACK_MATH_SUM_H
#define KULLBACK_MATH_SUM_H

#include <cstdint>

namespace kullback {

inline double sum_pairwise(const double* values, int64_t count) {
  if (count <= 8) {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += values[i];
    return sum;
  }
  const int64_t half = count / 2;
  return sum_pairwise(values, half) + sum_pairwise(values + half, count - half);
}

}  // namespace kullback

#endif  // KULLBACK_MATH_SUM_H
