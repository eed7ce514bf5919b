// token_log_probs: the gradient of a row's log-probability and entropy, where the token's own column is the driver's.
//   formula  -q (slope + entropy_slope (log q + H)), q the softmax, H its entropy
//   shapes   logits, exponentials, gradient [columns], one segment (<= kSegmentColumns)
//   traffic  exponentials are read and overwritten in the second-level cache; logits once more with the entropy
//   work     the exponentials are the first pass's (softmax_divergence_exponentials.inl.h); 2 FMAs a column here
//   stable   log q = (x - maximum) / T - log_sum
//   order    none: each column is its own
//   edges    q = 0: 0, whatever its logarithm;  a row without a softmax: NaN
//   bound    docs/token-log-probs.md, tests "error bound";  speed: bench/token-log-probs

template <class V, bool kEntropy, bool Whole>
static KULLBACK_INLINE void token_gradient_lanes(const SideVectors<V>& side, V factor, V slope, V entropy_slope,
                                                 V entropy, const TokenGradientTask<Element<V>>& task, int64_t i,
                                                 int rest) {
  const V q = load_lanes<V, Whole>(task.side.exponentials + i, rest, 0) * factor;
  V pulled = slope;
  if constexpr (kEntropy) {
    const V log_q = side.log_probability(load_lanes<V, Whole>(task.side.logits + i, rest, 0));
    pulled = fma(entropy_slope, log_q + entropy, slope);
  }
  store_lanes<V, Whole>(constant<V>(0) - weighed(q, pulled), task.gradient + i, rest);
}

template <class V, bool kEntropy>
static inline void token_gradient_with(const TokenGradientTask<Element<V>>& task) {
  const SideVectors<V> side(task.side);
  const V factor = V::all(task.side.factor), slope = V::all(task.slope);
  const V entropy_slope = V::all(task.entropy_slope), entropy = V::all(task.entropy);
  const int64_t whole = task.columns / V::lanes * V::lanes;
  for (int64_t i = 0; i < whole; i += V::lanes) {
    token_gradient_lanes<V, kEntropy, true>(side, factor, slope, entropy_slope, entropy, task, i, 0);
  }
  const int rest = static_cast<int>(task.columns - whole);
  if (rest > 0)
    token_gradient_lanes<V, kEntropy, false>(side, factor, slope, entropy_slope, entropy, task, whole, rest);
}

template <class V>
static void token_gradient(const TokenGradientTask<Element<V>>& task) {
  if (task.entropy_slope != 0) return token_gradient_with<V, true>(task);
  return token_gradient_with<V, false>(task);
}
