// divergence: what one column adds to a softmax divergence, and to its two gradients.
//
// Each divergence here is an expectation under one of the two distributions. The side that weighs has probabilities a,
// the other side b; u = log b - log a is formed by the caller from logits, not from a and b.
//
//   KullbackLeibler  KL(a || b) = sum a (e^u - 1 - u)      CrossEntropy  -sum a log b
//   exact because sum a = sum b = 1; every KL term is >= 0, so a small divergence keeps its digits, and an error of
//   the log-sum-exps enters squared (softmax-divergence.md, "Numerics")
//
//   gradient, logits of b   pull = b - a = a (e^u - 1)
//   gradient, logits of a   a (score - D), where D = sum a score is the divergence
//
//   edges   a = 0: the KL term is b, the cross-entropy term 0;  a > 0 on b = 0: +inf;  both logits -inf: 0
//
// Beyond |u| = 1 the differences no longer cancel, and b, known on its own, is more accurate than a e^u.

// One column, seen from the side that weighs. Logarithms are only there where a divergence reads them.
template <class V>
struct Column {
  V a, b, u, log_a, log_b;
};

template <class V>
KULLBACK_INLINE V pull(const Column<V>& at) {
  const V near = at.a * (expm1_minus(at.u) + at.u);
  return select(less(absolute(at.u), constant<V>(1)), near, at.b - at.a);
}

struct KullbackLeibler {
  static constexpr bool kInSums = true;  // sum b - sum a - sum a u is the sum of its terms
  template <class V>
  static KULLBACK_INLINE V term(const Column<V>& at) {
    const V near = at.a * expm1_minus(at.u);
    return select(less(absolute(at.u), constant<V>(1)), near, fnma(at.a, at.u, at.b - at.a));
  }
  // The term where a = 0, in place of 0 * log 0.
  template <class V>
  static KULLBACK_INLINE V weightless_term(const Column<V>& at) {
    return at.b;
  }
  template <class V>
  static KULLBACK_INLINE V score(const Column<V>& at) {
    return constant<V>(0) - at.u;
  }
};

struct CrossEntropy {
  static constexpr bool kInSums = false;
  template <class V>
  static KULLBACK_INLINE V term(const Column<V>& at) {
    return fnma(at.a, at.log_b, constant<V>(0));
  }
  template <class V>
  static KULLBACK_INLINE V weightless_term(const Column<V>&) {
    return constant<V>(0);
  }
  template <class V>
  static KULLBACK_INLINE V score(const Column<V>& at) {
    return constant<V>(0) - at.log_b;
  }
};
