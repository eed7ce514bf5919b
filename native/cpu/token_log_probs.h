// token_log_probs: what the baseline driver (token_log_probs.cc) tells its vector kernel (token_log_probs.inl.h) about
// one segment of one row. A plain struct only.
#ifndef KULLBACK_CPU_TOKEN_LOG_PROBS_H
#define KULLBACK_CPU_TOKEN_LOG_PROBS_H

#include "softmax_divergence.h"

namespace kullback {

// gradient = -q (slope + entropy_slope (log q + entropy)), over the exponentials that q is made of.
template <class T>
struct TokenGradientTask {
  SoftmaxSide<T> side;  // its exponentials are the gradient's memory
  int64_t columns;
  T slope, entropy_slope, entropy;
  T* gradient;
};

}  // namespace kullback

#endif  // KULLBACK_CPU_TOKEN_LOG_PROBS_H
