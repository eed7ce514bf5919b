// token_row: what follows from one row's log-probability: the estimate of KL(policy || reference), and the slopes of
// the gradient. Scalars in float64, for both processors. Needs kullback_backend.h before it.
#ifndef KULLBACK_MATH_TOKEN_ROW_H
#define KULLBACK_MATH_TOKEN_ROW_H

#include <cmath>

#include "anywhere.inc"

namespace kullback {

struct TokenRow {
  double log_prob, entropy, log_sum_exp, estimate;
};

// With d = log reference - log policy: k1 = -d, k2 = d^2 / 2, k3 = e^d - 1 - d, which near 0 is expm1_minus(d):
// math/expm1_minus.inl.h's, for the processor.
template <class Request, class Expm1Minus>
KULLBACK_ANYWHERE TokenRow token_row(const Request& request, int64_t row, double log_prob, double entropy,
                                     double log_sum_exp, const Expm1Minus& expm1_minus) {
  TokenRow found = {log_prob, entropy, log_sum_exp, 0};
  if (request.estimator == KULLBACK_NO_ESTIMATOR) return found;
  const double d = request.reference_log_probs[row] - log_prob;
  found.estimate = request.estimator == KULLBACK_K1   ? -d
                   : request.estimator == KULLBACK_K2 ? d * d / 2
                   : fabs(d) < 1                      ? expm1_minus(d)
                                                      : expm1(d) - d;
  return found;
}

template <class Request>
KULLBACK_ANYWHERE void write_token_row(const Request& request, int64_t row, const TokenRow& found) {
  request.log_probs[row] = found.log_prob;
  if (request.entropy != nullptr) request.entropy[row] = found.entropy;
  if (request.log_sum_exp != nullptr) request.log_sum_exp[row] = found.log_sum_exp;
  if (request.estimates != nullptr) request.estimates[row] = found.estimate;
}

template <class Request>
KULLBACK_ANYWHERE double entropy_slope_of(const Request& request, int64_t row) {
  return request.entropy_grad_outputs != nullptr ? request.entropy_grad_outputs[row] : request.entropy_grad_output;
}

// What the log-probability's gradient is multiplied by: its own factor, and that of the estimate with the estimate's
// derivative, 1, -d or -(e^d - 1).
template <class Request>
KULLBACK_ANYWHERE double token_slope_of(const Request& request, int64_t row, const TokenRow& found) {
  const double own = request.grad_outputs != nullptr ? request.grad_outputs[row] : request.grad_output;
  if (request.estimator == KULLBACK_NO_ESTIMATOR) return own;
  const double estimates =
      request.estimate_grad_outputs != nullptr ? request.estimate_grad_outputs[row] : request.estimate_grad_output;
  if (estimates == 0) return own;
  const double d = request.reference_log_probs[row] - found.log_prob;
  const double derivative = request.estimator == KULLBACK_K1 ? 1 : request.estimator == KULLBACK_K2 ? -d : -expm1(d);
  return own + estimates * derivative;
}

// The gradient at the token itself, for its logit over the temperature: 1 - q keeps its digits as q nears 1.
KULLBACK_ANYWHERE double token_gradient_of(const TokenRow& found, double slope, double entropy_slope) {
  const double q = exp(found.log_prob);
  const double of_entropy = entropy_slope == 0 || q == 0 ? 0 : entropy_slope * q * (found.log_prob + found.entropy);
  return (slope == 0 ? 0 : slope * -expm1(found.log_prob)) - of_entropy;
}

}  // namespace kullback

#endif  // KULLBACK_MATH_TOKEN_ROW_H
