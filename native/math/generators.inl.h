// generators: what one column adds to the divergences beyond Kullback-Leibler's, and how it pulls at both sides.
//
// As in divergence.inl.h the side that weighs has probabilities a, the other side b, u = log b - log a. Each divergence
// here is sum a f(b / a) of an f with f(1) = f'(1) = 0, so that all terms are >= 0, and errors of the log-sum-exps,
// which all columns share, enter squared. The slopes are its derivatives for log a and log b, as if these were free:
//
//   slope of b   b f'(b / a)              slope of a   a f(b / a) - b f'(b / a)
//   gradient, logits of a side   slope - probability * (sum of the side's slopes)
//
//   Jeffreys         (b - a) u
//   TotalVariation   |b - a| / 2, whose slope is 0 where a = b
//   PowerDivergence  a (r^k - 1 - k (r - 1)) / (k (k - 1)), r = b / a: of order 1 - k; k = 1/2 is 4 Hellinger^2
//   JensenShannon    w a log(a / m) + (1 - w) b log(b / m), m = w a + (1 - w) b
//   Skew             a log(a / m), likewise
//
//   edges    a = b = 0: all 0;  either 0: the limit, which may be +inf;  a slope of probability 0: 0, if it has a limit
//   bound    docs/softmax-divergence.md, tests "error bound"

// Most formulas have two ways. `apart`, for rows whose value and slopes are of the probabilities' own size, takes
// differences of a and b as they stand, and logarithms of a, b and m, which there are all numbers; the other one takes
// them from u where that is small.
template <bool kApart, class V>
KULLBACK_INLINE V difference_of(const Column<V>& at) {
  if constexpr (kApart) return at.b - at.a;
  return pull(at);
}

template <class V>
struct Slopes {
  V term, a, b;
};

// A generator's parameter, and what formulas want of it.
template <class V>
struct Parameter {
  V value, rest, inverse, inverse_rest;  // p, 1 - p, 1 / p, 1 / (1 - p)

  explicit KULLBACK_INLINE Parameter(double p)
      : value(constant<V>(p)),
        rest(constant<V>(1 - p)),
        inverse(constant<V>(1 / p)),
        inverse_rest(constant<V>(1 / (1 - p))) {}
};

// p x, where a probability of 0 counts nothing.
template <class V>
KULLBACK_INLINE V weighed(V p, V x) {
  return select(equal(p, constant<V>(0)), constant<V>(0), p * x);
}

// e^x, +inf a little before it is.
template <class V>
KULLBACK_INLINE V power_of_e(V x) {
  using Bits = FloatBits<Element<V>>;
  constexpr double power_low = sizeof(Element<V>) == sizeof(float) ? 1.925963033500837e-8 : 2.0355273740931033e-17;
  const V power = exp2_product(x, constant<V>(1.4426950408889634), constant<V>(power_low),
                               constant<V>(Bits::exp2_low / 1.4426950408889634));
  const V largest = constant<V>(sizeof(Element<V>) == sizeof(float) ? 88.0 : 709.0);
  return select(less(largest, x), constant<V>(Bits::infinity), power);
}

// e^x - 1 where `second_order` is expm1_minus(x): in steps of x near 0.
template <class V>
KULLBACK_INLINE V grown(V x, V second_order) {
  return select(less(absolute(x), constant<V>(1)), x + second_order, power_of_e(x) - constant<V>(1));
}

template <class V>
class Jeffreys {
 public:
  static constexpr bool kTwoWays = true;
  explicit KULLBACK_INLINE Jeffreys(const Parameter<V>&) {}

  template <bool kApart>
  KULLBACK_INLINE Slopes<V> of(const Column<V>& at) const {
    const V difference = difference_of<kApart>(at);
    return {difference * at.u, constant<V>(0) - weighed(at.a, at.u) - difference, weighed(at.b, at.u) + difference};
  }
};

template <class V>
class TotalVariation {
 public:
  static constexpr bool kTwoWays = true;
  explicit KULLBACK_INLINE TotalVariation(const Parameter<V>&) {}

  template <bool kApart>
  KULLBACK_INLINE Slopes<V> of(const Column<V>& at) const {
    const V zero = constant<V>(0), half = constant<V>(0.5);
    const V difference = difference_of<kApart>(at);
    // Neither of the two: 0, or not a number, and then so is the slope.
    const V sign = select(less(zero, difference), half, select(less(difference, zero), zero - half, difference));
    return {difference * sign, zero - at.a * sign, at.b * sign};
  }
};

template <class V>
class PowerDivergence {
 public:
  static constexpr bool kTwoWays = false;
  explicit KULLBACK_INLINE PowerDivergence(const Parameter<V>& k)
      : k_(k.value), inverse_k_(k.inverse), inverse_rest_(k.inverse_rest) {}

  template <bool kApart>
  KULLBACK_INLINE Slopes<V> of(const Column<V>& at) const {
    const V one = constant<V>(1);
    const V power = k_ * at.u;
    const V second_order = expm1_minus(at.u), second_order_of_power = expm1_minus(power);
    const auto near = less(absolute(at.u), one);
    const V difference = select(near, at.a * (at.u + second_order), at.b - at.a);
    const V a_grown = weighed(at.a, grown(power, second_order_of_power));
    // Where u and k u are small, what is of first order in them cancels: it is left out.
    const V term =
        select(both(near, less(absolute(power), one)), at.a * fnma(second_order_of_power, inverse_k_, second_order),
               fnma(a_grown, inverse_k_, difference));
    return {term * inverse_rest_, constant<V>(0) - a_grown * inverse_k_, (difference - a_grown) * inverse_rest_};
  }

 private:
  V k_, inverse_k_, inverse_rest_;
};

// f - log(1 + f) for 1 + f in [sqrt(1/2), sqrt(2)]. In float32 f^2 P(f), P by Remez exchange in 200-bit arithmetic for
// a relative error of 5.9e-9 in the logarithm: without the division of f^2 / 2 - s (f^2 / 2 + R(s^2)), as in log1p.
template <class V>
KULLBACK_INLINE V minus_log1p_of_fraction(V f) {
  if constexpr (sizeof(Element<V>) == sizeof(float)) {
    return f * f *
           polynomial(f, 0.5, -0.333333317, 0.25000821, -0.200012282, 0.166233603, -0.142017341, 0.131601325,
                      -0.127617068, 0.0763477586);
  }
  const V s = f / (constant<V>(2) + f);
  const V half_square = f * f * constant<V>(0.5);
  return fnma(s, half_square + log_series(s * s), half_square);
}

// log x of a normal number.
template <class V>
KULLBACK_INLINE V logarithm(V x) {
  using Bits = FloatBits<Element<V>>;
  V mantissa;
  const V n = split_exponent(x, mantissa);
  const V f = mantissa - constant<V>(1);
  return fma(n, constant<V>(Bits::log2_high), f - fnma(n, constant<V>(Bits::log2_low), minus_log1p_of_fraction(f)));
}

// z - log(1 + z) for z > -1, where the caller knows 1 + z better than the sum would.
template <class V>
KULLBACK_INLINE V minus_log1p(V z, V one_plus_z) {
  using Bits = FloatBits<Element<V>>;
  V mantissa;
  const V n = split_exponent(one_plus_z, mantissa);
  const auto small = equal(n, constant<V>(0));
  const V f = select(small, z, mantissa - constant<V>(1));
  const V rest = minus_log1p_of_fraction(f);
  const V far = fnma(n, constant<V>(Bits::log2_high), z - f) - n * constant<V>(Bits::log2_low);
  return select(small, rest, far + rest);
}

// A column seen from one of its sides, the base, and the mixture m = base (1 + z) of both sides there: the other side
// is base e^t. Where the sides are near each other the caller says which is the base; where they are not it is the
// larger one, since e^t then is a number whatever the ratio is.
template <class V>
struct MixedColumn {
  using Mask = decltype(less(V(), V()));
  Mask is_a;  // whether a is the base
  V base, rest, base_share, rest_share;
  V t, growth;              // e^t - 1
  V z, one_plus_z;          // 1 + z, without cancellation where z is near -1
  V log_second_order, log;  // z - log(1 + z), log(1 + z)

  // The shares of a and b in the mixture sum to 1. `prefer_a` is 1 or -1.
  KULLBACK_INLINE MixedColumn(const Column<V>& at, V a_share, V b_share, V prefer_a) {
    const V one = constant<V>(1), zero = constant<V>(0);
    const auto near = less(absolute(at.u), one);
    is_a = less(zero, select(near, prefer_a, zero - at.u));
    base = select(is_a, at.a, at.b);
    rest = select(is_a, at.b, at.a);
    base_share = select(is_a, a_share, b_share);
    rest_share = select(is_a, b_share, a_share);
    t = select(is_a, at.u, zero - at.u);
    const V ratio = select(equal(base, zero), one, rest / base);
    growth = select(near, t + expm1_minus(t), ratio - one);
    z = rest_share * growth;
    one_plus_z = fma(rest_share, growth + one, base_share);
    log_second_order = minus_log1p(z, one_plus_z);
    log = z - log_second_order;
  }

  // t e^t - (e^t - 1), which is t^2 / 2 near 0.
  KULLBACK_INLINE V second_order() const {
    const V one = constant<V>(1), zero = constant<V>(0);
    return select(less(absolute(t), one), (one + growth) * expm1_minus(zero - t), weighed(one + growth, t) - growth);
  }
};

template <class V>
class JensenShannon {
 public:
  static constexpr bool kTwoWays = true;
  // Seen from the side with the larger share, nothing cancels.
  explicit KULLBACK_INLINE JensenShannon(const Parameter<V>& w)
      : a_share_(w.value),
        b_share_(w.rest),
        prefer_a_(select(less(w.value, constant<V>(0.5)), constant<V>(-1), constant<V>(1))) {}

  template <bool kApart>
  KULLBACK_INLINE Slopes<V> of(const Column<V>& at) const {
    if constexpr (kApart) {
      const V a = a_share_ * at.a, b = b_share_ * at.b;
      const V log_mixture = logarithm(a + b);
      const V a_slope = a * (at.log_a - log_mixture), b_slope = b * (at.log_b - log_mixture);
      return {a_slope + b_slope, a_slope, b_slope};
    } else {
      const MixedColumn<V> mixed(at, a_share_, b_share_, prefer_a_);
      const V base_slope = constant<V>(0) - mixed.base_share * mixed.base * mixed.log;
      const V rest_slope = mixed.rest_share * weighed(mixed.rest, mixed.t - mixed.log);
      // (1 + z) log(1 + z) - z
      const V of_mixture = fnma(mixed.one_plus_z, mixed.log_second_order, mixed.z * mixed.z);
      const V term = mixed.base * fma(mixed.rest_share, mixed.second_order(), constant<V>(0) - of_mixture);
      return {term, select(mixed.is_a, base_slope, rest_slope), select(mixed.is_a, rest_slope, base_slope)};
    }
  }

 private:
  V a_share_, b_share_, prefer_a_;
};

template <class V>
class Skew {
 public:
  static constexpr bool kTwoWays = true;
  explicit KULLBACK_INLINE Skew(const Parameter<V>& w) : a_share_(w.value), b_share_(w.rest) {}

  template <bool kApart>
  KULLBACK_INLINE Slopes<V> of(const Column<V>& at) const {
    const V zero = constant<V>(0);
    if constexpr (kApart) {
      const V mixture = fma(a_share_, at.a, b_share_ * at.b);
      const V log_ratio = at.log_a - logarithm(mixture);
      // (m - a) / m
      const V least = constant<V>(FloatBits<Element<V>>::least_normal);
      const V excess_share = b_share_ * (at.b - at.a) / maximum(mixture, least);
      return {at.a * log_ratio, at.a * fma(a_share_, excess_share, log_ratio), b_share_ * at.b * excess_share};
    } else {
      const MixedColumn<V> mixed(at, a_share_, b_share_, constant<V>(1));
      const V log_ratio = select(mixed.is_a, zero, mixed.t) - mixed.log;  // log(a / m)
      // (m - a) + a log(a / m); seen from a, without what cancels in first order.
      const V term =
          select(mixed.is_a, at.a * mixed.log_second_order, fma(b_share_, at.b - at.a, weighed(at.a, log_ratio)));
      const V excess_share = select(mixed.is_a, mixed.z, mixed.z - mixed.growth) / mixed.one_plus_z;
      // d term / d log a over a
      const V slope = select(mixed.is_a, mixed.log_second_order - mixed.z * fma(a_share_, excess_share, b_share_),
                             fma(a_share_, excess_share, log_ratio));
      return {term, weighed(at.a, slope), b_share_ * at.b * excess_share};
    }
  }

 private:
  V a_share_, b_share_;
};
