// top_k_row: what a teacher that names K columns leaves for the others, and what the terms of those K alone are worth.
// Scalars in float64, for both processors. Needs kullback_backend.h before it.
#ifndef KULLBACK_MATH_TOP_K_ROW_H
#define KULLBACK_MATH_TOP_K_ROW_H

#include <cmath>
#include <cstdint>

#include "anywhere.inc"

namespace kullback {

// Whether coarse rows end with a column for all that no slot names.
KULLBACK_ANYWHERE bool has_tail_column(kullback_tail tail) {
  return tail == KULLBACK_TAIL_BUCKET || tail == KULLBACK_TAIL_ZERO;
}
KULLBACK_ANYWHERE int64_t coarse_columns(const kullback_softmax_divergence_request& request) {
  return request.teacher_stride + (has_tail_column(request.tail) ? 1 : 0);
}
// Whether the columns that no slot names are read.
KULLBACK_ANYWHERE bool reads_outside(kullback_tail tail) { return tail != KULLBACK_TAIL_RENORMALIZE; }

// The teacher's logit for the tail: log(1 - sum p), out of log sum p. `all_named`: there is no column outside.
KULLBACK_ANYWHERE double teacher_tail(kullback_tail tail, double log_captured, bool all_named) {
  if (tail != KULLBACK_TAIL_BUCKET || all_named || !(log_captured < 0)) return -INFINITY;
  return log(-expm1(log_captured));
}

// The divergence of truncated rows out of that of the rows normalised on the support, D:
//   value = factor (D + constant),  gradient on the support = factor (dD + pull q / T),  outside = -factor pull q / T,
// q being normalised on the support there, and outside here.
struct Truncation {
  double factor, constant, pull;
};

// With P = sum p, Q = sum q on the support, and p = P p', q = Q q':
//   sum p log(p / q) = P (KL(p' || q') + log(P / Q)),  sum p' = 1 makes its gradient P (q' - p' - (1 - Q) q');
//   sum q log(q / p) = Q (KL(q' || p') + log(Q / P)),  whose Q has a gradient of its own.
// log_captured: log P; log_support, log_outside: log-sum-exps of the student's logits.
KULLBACK_ANYWHERE Truncation truncation_of(kullback_divergence divergence, double on_support, double log_captured,
                                           double log_support, double log_outside) {
  const double gap = log_outside - log_support;
  const double log_q = gap > 0 ? -gap - log1p(exp(-gap)) : -log1p(exp(gap));
  const double outside = 1 / (1 + exp(-gap));
  if (divergence == KULLBACK_REVERSE_KL) {
    const double constant = log_q - log_captured;
    return {exp(log_q), constant, outside * (on_support + constant + 1)};
  }
  const double entropy = divergence == KULLBACK_CROSS_ENTROPY ? 0 : log_captured;
  return {exp(log_captured), entropy - log_q, -outside};
}

}  // namespace kullback

#endif  // KULLBACK_MATH_TOP_K_ROW_H
