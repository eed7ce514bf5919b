// token_log_probs on the GPU: the log-probability of each row's token, the row's entropy, and the gradient of both.
//   formula  (x - maximum) / T - log_sum;  gradient: math/token_row.h at the token, -q (slope + entropy_slope (log q +
//   H))
//            elsewhere
//   shapes   logits, gradient [rows, stride]; a warp or a block a row
//   traffic  2 reads of the logits, one more with the entropy, one more and a write with the gradient
//   work     an exponential a column, one more with the entropy and with the gradient; binds: memory
//   stable   (x - maximum) * scale, never x * scale - maximum; 1 - q of the token as -expm1(log q)
//   order    a thread's columns in groups of 2, from there on in float64: threads, warps (team.h)
//   edges    q = 0: no entropy and gradient 0;  a row of -inf alone, or with +inf: NaN;  NaN stays in its row
//   bound    docs/token-log-probs.md, tests "error bound";  speed: bench/token-log-probs
#ifndef KULLBACK_CUDA_TOKEN_LOG_PROBS_CUH
#define KULLBACK_CUDA_TOKEN_LOG_PROBS_CUH

#include "softmax_row.cuh"
// After what includes kullback_backend.h.
#include "../math/token_row.h"

namespace kullback {

template <class T>
struct TokenLogProbsArguments {
  int64_t rows, columns, stride;
  const T* logits;  // [rows, stride]
  T* gradient;      // [rows, stride] or NULL
  const int32_t* tokens;
  const uint8_t* row_mask;  // [rows] or NULL
  SoftmaxScale<T> scale;
  kullback_estimator estimator;
  // [rows] or NULL
  const double *reference_log_probs, *grad_outputs, *entropy_grad_outputs, *estimate_grad_outputs;
  double grad_output, entropy_grad_output, estimate_grad_output;
  double *log_probs, *entropy, *log_sum_exp, *estimates;  // [rows]; but for the first, or NULL
};

template <class Team>
struct TokenLogProbsShared {
  Team team;
  TokenRow* row;  // one

#pragma nv_exec_check_disable
  template <class Arena>
  __host__ __device__ explicit TokenLogProbsShared(Arena& arena) : team(arena), row(arena.template take<TokenRow>(1)) {}
};

template <class T, class Team>
class TokenLogProbsRow {
 public:
  __device__ TokenLogProbsRow(const TokenLogProbsArguments<T>& arguments, TokenLogProbsShared<Team>& shared,
                              int64_t row)
      : arguments_(arguments),
        shared_(shared),
        team_(shared.team),
        row_(row),
        logits_(arguments.logits + row * arguments.stride) {}

  __device__ void run() {
    if (arguments_.row_mask != nullptr && arguments_.row_mask[row_] == 0) {
      clear(0);
      if (team_.leads()) write_token_row(arguments_, row_, {0, 0, 0, 0});
      return;
    }
    find_softmax();
    const double entropy_slope = entropy_slope_of(arguments_, row_);
    const bool differentiates = arguments_.gradient != nullptr;
    const bool wants_entropy = arguments_.entropy != nullptr || (differentiates && entropy_slope != 0);
    const double entropy = wants_entropy ? find_entropy() : 0;
    const TokenRow found = team_.from_leader(shared_.row, [&] { return row_of(entropy); });
    if (team_.leads()) write_token_row(arguments_, row_, found);
    if (!differentiates) return;
    const double slope = token_slope_of(arguments_, row_, found);
    const bool flat = slope == 0 && entropy_slope == 0;
    if (!flat) write_gradient(found, slope, entropy_slope);
    clear(flat ? 0 : arguments_.columns);
  }

 private:
  // body(column) for each of this thread's.
  template <class Body>
  __device__ void for_each_column(const Body& body) const {
    for (int64_t i = team_.rank(); i < arguments_.columns; i += team_.size()) body(i);
  }
  __device__ T exponential(T logit) const {
    count_exponential();
    const SoftmaxScale<T>& scale = arguments_.scale;
    const T lowest = T(FloatBits<T>::exp2_low) / scale.power_scale;
    return device::exp2_product(logit - maximum_, scale.power_scale, scale.power_scale_low, lowest);
  }
  __device__ T log_probability(T logit) const {
    return (logit - maximum_) * arguments_.scale.inverse_temperature - T(log_sum_);
  }

  __device__ void find_softmax() {
    double largest[1] = {-INFINITY};
    for_each_column([&](int64_t i) { largest[0] = Largest::of(double(logits_[i]), largest[0]); });
    team_.template reduce<Largest>(largest);
    maximum_ = T(largest[0]);
    GroupedSums<T, 1, 1> sums(false);
    for_each_column([&](int64_t i) {
      sums.add(0, 0, exponential(logits_[i]));
      sums.end_vector();
    });
    sums.fold();
    team_.template reduce<Sum>(sums.total);
    factor_ = T(1 / sums.total[0]);
    log_sum_ = log(sums.total[0]);
  }

  __device__ double find_entropy() {
    GroupedSums<T, 1, 1> sums(false);
    for_each_column([&](int64_t i) {
      const T q = exponential(logits_[i]) * factor_;
      // Probability 0 carries no entropy, even where its logarithm is -inf.
      sums.add(0, 0, q == 0 ? 0 : -q * log_probability(logits_[i]));
      sums.end_vector();
    });
    sums.fold();
    team_.template reduce<Sum>(sums.total);
    return sums.total[0];
  }

  __device__ TokenRow row_of(double entropy) const {
    const double per_logit = inverse_temperature(arguments_.scale), maximum = double(maximum_);
    const double below = (double(logits_[arguments_.tokens[row_]]) - maximum) * per_logit;
    return token_row(arguments_, row_, below - log_sum_, entropy, maximum * per_logit + log_sum_,
                     [](double d) { return device::expm1_minus(d); });
  }

  __device__ void write_gradient(const TokenRow& found, double slope, double entropy_slope) const {
    const double per_logit = inverse_temperature(arguments_.scale);
    const T of_log_prob = T(slope * per_logit), of_entropy = T(entropy_slope * per_logit), entropy = T(found.entropy);
    T* const gradient = arguments_.gradient + row_ * arguments_.stride;
    const int64_t token = arguments_.tokens[row_];
    for_each_column([&](int64_t i) {
      const T q = exponential(logits_[i]) * factor_;
      T pulled = of_log_prob;
      if (of_entropy != 0) pulled = device::fma(of_entropy, log_probability(logits_[i]) + entropy, pulled);
      gradient[i] =
          i == token ? T(token_gradient_of(found, slope, entropy_slope) * per_logit) : -device::weighed(q, pulled);
    });
  }

  // Zeros from column `from` to the end of the row's stride.
  __device__ void clear(int64_t from) const {
    if (arguments_.gradient == nullptr) return;
    for (int64_t i = from + team_.rank(); i < arguments_.stride; i += team_.size()) {
      arguments_.gradient[row_ * arguments_.stride + i] = 0;
    }
  }

  const TokenLogProbsArguments<T>& arguments_;
  TokenLogProbsShared<Team>& shared_;
  Team& team_;
  const int64_t row_;
  const T* const logits_;
  T maximum_, factor_;
  double log_sum_;
};

template <class T, class Team>
__global__ void __launch_bounds__(Team::kThreads, 512 / Team::kThreads)
    token_log_probs(const __grid_constant__ TokenLogProbsArguments<T> arguments) {
  SharedMemory arena;
  TokenLogProbsShared<Team> shared(arena);
  for (int64_t row = shared.team.first_row(); row < arguments.rows; row += shared.team.rows_at_once()) {
    TokenLogProbsRow<T, Team>(arguments, shared, row).run();
  }
}

}  // namespace kullback

#endif  // KULLBACK_CUDA_TOKEN_LOG_PROBS_CUH
