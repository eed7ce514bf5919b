// f_divergence: the generators f of D_f(pi || rho) = sum rho f(pi / rho), f(1) = f'(1) = 0, as functions of the log
// ratio x = log u, u = pi / rho. In terms of generators.inl.h they are the terms at a = 1 and b = u.
//
//   value f(u)    derivative f'(u)    value_gradient u f'(u) = d f / dx    derivative_gradient u f''(u) = d f' / dx
//
//   PowerRatio           (u^k - 1 - k (u - 1)) / (k (k - 1)), k = 1 - alpha; in the limit u - 1 - log u at alpha = 1
//   and
//                        u log u - (u - 1) at alpha = 0
//   JeffreysRatio        (u - 1) log u
//   TotalVariationRatio  |u - 1| / 2, whose derivative is 0 where u = 1
//   SkewForwardRatio     v - 1 - log v, v = l + l' u, l + l' = 1
//   SkewReverseRatio     u (v - 1 - log v), v = l + l' / u
//   JensenShannonRatio   l' u (x - log v) - l log v, v = l + l' u
//
//   stable  nothing is formed from u - 1 near u = 1: expm1(x), and e^x - 1 - x and z - log(1 + z) as one function each
//   edges   x = +-inf: the limit, which may be infinite; NaN stays NaN where the caller sees to it (f_of)
//   bound   docs/f-divergence.md, tests "error bound"

// Beyond, e^-x is 0, and e^(x / 2) still a number: a bound for what is multiplied by the one or under the other.
template <class V>
KULLBACK_INLINE V at_most_beyond(V x) {
  return minimum(constant<V>(sizeof(Element<V>) == sizeof(float) ? 150 : 1400), x);
}
template <class V>
KULLBACK_INLINE V at_least_beyond(V x) {
  return maximum(constant<V>(sizeof(Element<V>) == sizeof(float) ? -150 : -1400), x);
}

// e^y - 1 - y for any y.
template <class V>
KULLBACK_INLINE V second_order_growth(V y) {
  return select(less(absolute(y), constant<V>(1)), expm1_minus(y), expm1(y) - y);
}

// log(w + c e^t), w + c = 1, with all its digits near t = 0.
template <class V>
KULLBACK_INLINE V log_mixture(V t, V w, V c) {
  const V z = c * expm1(t);
  const V log_of_sum = logarithm(fma(c, exp(t), w));
  const V beyond = t + logarithm(fma(w, exp(constant<V>(0) - t), c));
  return select(less(z, constant<V>(-0.5)), log_of_sum,
                select(less(z, constant<V>(FloatBits<Element<V>>::infinity)), log1p(z), beyond));
}

// A factor of x, and its reciprocal; what is less than a number's least is 0.
template <class V>
struct Order {
  bool none;
  V value, inverse;

  explicit KULLBACK_INLINE Order(double order) {
    const double least = sizeof(Element<V>) == sizeof(float) ? 1e-37 : 1e-307;
    none = order > -least && order < least;
    value = constant<V>(none ? 0 : order);
    inverse = constant<V>(none ? 0 : 1 / order);
  }
  // order x, which is 0 even where x is infinite
  KULLBACK_INLINE V times(V x) const { return none ? constant<V>(0) : value * x; }
  // (e^(order x) - 1) / order, which tends to x
  KULLBACK_INLINE V growth(V x) const { return none ? x : expm1(value * x) * inverse; }
  // (e^(order x) - 1 - order x) / order
  KULLBACK_INLINE V second_order(V x) const { return none ? constant<V>(0) : second_order_growth(value * x) * inverse; }
};

template <class V>
class PowerRatio {
 public:
  // Seen from the side with the larger exponent, what cancels is never most of it: rho's 1 or pi's u.
  explicit KULLBACK_INLINE PowerRatio(double alpha)
      : from_rho_(alpha >= 0.5),
        smaller_(alpha >= 0.5 ? 1 - alpha : alpha),
        minus_alpha_(-alpha),
        rest_(1 - alpha),
        inverse_larger_(constant<V>(1 / (alpha >= 0.5 ? alpha : 1 - alpha))) {}

  KULLBACK_INLINE V value(V x) const {
    const V zero = constant<V>(0);
    const V y = from_rho_ ? x : zero - x;
    const V base = from_rho_ ? constant<V>(1) : exp(x);
    const V near = base * (second_order_growth(y) - smaller_.second_order(y));
    const V growth = expm1(x), shrunk = smaller_.growth(at_most_beyond(y));
    // Where y is large, so may its exponential be beside a base of nearly 0: their product is known on its own.
    const V far =
        select(less(zero, y), (from_rho_ ? growth : zero - growth) - base * shrunk, base * (expm1(y) - shrunk));
    return select(less(absolute(y), constant<V>(1)), near, far) * inverse_larger_;
  }
  KULLBACK_INLINE V derivative(V x) const { return minus_alpha_.growth(x); }
  KULLBACK_INLINE V value_gradient(V x) const {
    const V power = minus_alpha_.times(x);
    const V product = exp(x) * derivative(at_least_beyond(x));
    const V difference = (exp(rest_.times(x)) - exp(x)) * minus_alpha_.inverse;
    return select(both(less(x, constant<V>(0)), less(constant<V>(1), power)), difference, product);
  }
  KULLBACK_INLINE V derivative_gradient(V x) const { return exp(minus_alpha_.times(x)); }

 private:
  bool from_rho_;
  Order<V> smaller_, minus_alpha_, rest_;
  V inverse_larger_;
};

template <class V>
class JeffreysRatio {
 public:
  explicit KULLBACK_INLINE JeffreysRatio(double) {}

  KULLBACK_INLINE V value(V x) const { return expm1(x) * x; }
  KULLBACK_INLINE V derivative(V x) const { return x - expm1(constant<V>(0) - x); }
  KULLBACK_INLINE V value_gradient(V x) const { return exp(x) * at_least_beyond(x) + expm1(x); }
  KULLBACK_INLINE V derivative_gradient(V x) const { return constant<V>(1) + exp(constant<V>(0) - x); }
};

template <class V>
class TotalVariationRatio {
 public:
  explicit KULLBACK_INLINE TotalVariationRatio(double) {}

  KULLBACK_INLINE V value(V x) const { return constant<V>(0.5) * absolute(expm1(x)); }
  KULLBACK_INLINE V derivative(V x) const {
    const V zero = constant<V>(0), half = constant<V>(0.5);
    return select(less(zero, x), half, select(less(x, zero), zero - half, zero));
  }
  KULLBACK_INLINE V value_gradient(V x) const { return exp(x) * derivative(x); }
  KULLBACK_INLINE V derivative_gradient(V) const { return constant<V>(0); }
};

// What the skew divergences are made of: v = share + rest e^t, whose e^t may be beyond the format.
template <class V>
struct SkewMixture {
  V share, rest;

  explicit KULLBACK_INLINE SkewMixture(double lambda) : share(constant<V>(lambda)), rest(constant<V>(1 - lambda)) {}

  // v - 1 - log v
  KULLBACK_INLINE V second_order(V t) const { return minus_log1p(rest * expm1(t), fma(rest, exp(t), share)); }
  // 1 - 1 / v
  KULLBACK_INLINE V excess_share(V t) const {
    const V zero = constant<V>(0), excess = rest * expm1(zero - absolute(t));
    return select(less(zero, t), zero - excess, excess) / scaled_down(t);
  }
  // v, or v / e^t where that is more than 1
  KULLBACK_INLINE V scaled_down(V t) const {
    const V power = exp(constant<V>(0) - absolute(t));
    return select(less(constant<V>(0), t), fma(share, power, rest), fma(rest, power, share));
  }
};

template <class V>
class SkewForwardRatio {
 public:
  explicit KULLBACK_INLINE SkewForwardRatio(double lambda) : mixture_(lambda) {}

  KULLBACK_INLINE V value(V x) const { return mixture_.second_order(x); }
  KULLBACK_INLINE V derivative(V x) const { return mixture_.rest * mixture_.excess_share(x); }
  KULLBACK_INLINE V value_gradient(V x) const { return exp(x) * derivative(x); }
  KULLBACK_INLINE V derivative_gradient(V x) const {
    const V part = mixture_.rest / mixture_.scaled_down(x);
    return exp(constant<V>(0) - absolute(x)) * part * part;
  }

 private:
  SkewMixture<V> mixture_;
};

template <class V>
class SkewReverseRatio {
 public:
  explicit KULLBACK_INLINE SkewReverseRatio(double lambda) : mixture_(lambda) {}

  KULLBACK_INLINE V value(V x) const {
    const V t = constant<V>(0) - x, one = constant<V>(1);
    const V far = constant<V>(0) - fma(mixture_.rest, expm1(x), exp(x) * log(at_most_beyond(t)));
    return select(less(mixture_.rest * expm1(t), one), exp(x) * mixture_.second_order(t), far);
  }
  // share e - log v, e = 1 - 1 / v, of which near v = 1 the first order cancels: what is left is -(rest e + (second
  // order)).
  KULLBACK_INLINE V derivative(V x) const {
    const V t = constant<V>(0) - x, zero = constant<V>(0);
    const V excess = mixture_.excess_share(t);
    const V near = zero - fma(mixture_.rest, excess, minus_log1p(zero - excess, constant<V>(1) - excess));
    return select(less(absolute(excess), constant<V>(0.5)), near, fma(mixture_.share, excess, zero - log(t)));
  }
  KULLBACK_INLINE V value_gradient(V x) const { return exp(x) * derivative(at_least_beyond(x)); }
  KULLBACK_INLINE V derivative_gradient(V x) const {
    const V t = constant<V>(0) - x;
    const V power = select(less(constant<V>(0), t), constant<V>(1), exp(t));
    const V part = mixture_.rest * power / mixture_.scaled_down(t);
    return part * part;
  }

 private:
  KULLBACK_INLINE V log(V t) const { return log_mixture(t, mixture_.share, mixture_.rest); }

  SkewMixture<V> mixture_;
};

template <class V>
class JensenShannonRatio {
 public:
  explicit KULLBACK_INLINE JensenShannonRatio(double beta)
      : of_rho_(beta), of_pi_(1 - beta), share_(constant<V>(beta)), rest_(constant<V>(1 - beta)) {}

  // The skew divergences of either side from the mixture: what the normalisation of the one adds, that of the other
  // takes away, so that nothing cancels.
  KULLBACK_INLINE V value(V x) const { return fma(share_, of_rho_.value(x), rest_ * of_pi_.value(x)); }
  KULLBACK_INLINE V derivative(V x) const {
    const V zero = constant<V>(0);
    return zero - rest_ * log_mixture(zero - x, rest_, share_);
  }
  KULLBACK_INLINE V value_gradient(V x) const { return exp(x) * derivative(at_least_beyond(x)); }
  KULLBACK_INLINE V derivative_gradient(V x) const { return share_ * rest_ / fma(rest_, exp(x), share_); }

 private:
  SkewForwardRatio<V> of_rho_;
  SkewReverseRatio<V> of_pi_;
  V share_, rest_;
};

// What may be asked of a generator.
enum class FOutput { kValue, kDerivative, kValueGradient, kDerivativeGradient };

template <FOutput kOutput, class V, class Generator>
KULLBACK_INLINE V f_of(const Generator& generator, V x, V scale) {
  V result;
  if constexpr (kOutput == FOutput::kValue) {
    result = generator.value(x);
  } else if constexpr (kOutput == FOutput::kDerivative) {
    result = generator.derivative(x);
  } else if constexpr (kOutput == FOutput::kValueGradient) {
    result = generator.value_gradient(x);
  } else {
    result = generator.derivative_gradient(x);
  }
  return select(equal(x, x), result * scale, x);
}
