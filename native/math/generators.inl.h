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
//   edges    a = b = 0: all 0;  either 0: the limit, which may be +inf;  a slope of probability 0 is 0 where it has a
//   limit bound    docs/softmax-divergence.md, tests "error bound"

template <class V>
struct Slopes {
  V term, a, b;
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
  explicit KULLBACK_INLINE Jeffreys(double) {}

  KULLBACK_INLINE Slopes<V> of(const Column<V>& at) const {
    const V difference = pull(at);
    return {difference * at.u, constant<V>(0) - weighed(at.a, at.u) - difference, weighed(at.b, at.u) + difference};
  }
};

template <class V>
class TotalVariation {
 public:
  explicit KULLBACK_INLINE TotalVariation(double) {}

  KULLBACK_INLINE Slopes<V> of(const Column<V>& at) const {
    const V zero = constant<V>(0), half = constant<V>(0.5);
    const V difference = pull(at);
    // Neither of the two: 0, or not a number, and then so is the slope.
    const V sign = select(less(zero, difference), half, select(less(difference, zero), zero - half, difference));
    return {difference * sign, zero - at.a * sign, at.b * sign};
  }
};

template <class V>
class PowerDivergence {
 public:
  explicit KULLBACK_INLINE PowerDivergence(double k)
      : k_(constant<V>(k)), inverse_k_(constant<V>(1 / k)), inverse_rest_(constant<V>(1 / (1 - k))) {}

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

// A column seen from one of its sides, the base: the other side is base e^t. Where the sides are near each other the
// caller says which; where they are not it is the larger one, since e^t then is a number whatever the ratio is.
template <class V>
struct FromBase {
  using Mask = decltype(less(V(), V()));
  V base, rest, t, growth;  // e^t - 1
  V second_order;           // t e^t - growth, which is t^2 / 2 near 0

  // `prefer_a` is 1 or -1. `is_a` tells where a is the base.
  KULLBACK_INLINE FromBase(const Column<V>& at, V prefer_a, Mask& is_a) {
    const V one = constant<V>(1), zero = constant<V>(0);
    const auto near = less(absolute(at.u), one);
    is_a = less(zero, select(near, prefer_a, zero - at.u));
    base = select(is_a, at.a, at.b);
    rest = select(is_a, at.b, at.a);
    t = select(is_a, at.u, zero - at.u);
    growth = select(near, t + expm1_minus(t), rest / base - one);
    second_order = select(near, (one + growth) * expm1_minus(zero - t), weighed(one + growth, t) - growth);
  }
};

// z - log(1 + z) for z > -1, where the caller knows 1 + z better than the sum would.
template <class V>
KULLBACK_INLINE V minus_log1p(V z, V one_plus_z) {
  using Bits = FloatBits<Element<V>>;
  const V one = constant<V>(1), two = constant<V>(2);
  V mantissa;
  const V n = split_exponent(one_plus_z, mantissa);
  const auto small = equal(n, constant<V>(0));
  const V f = select(small, z, mantissa - one);
  const V s = f / (two + f);
  // f - log(1 + f) = f^2 / 2 - s (f^2 / 2 + R(s^2)), as in log1p.
  const V half_square = f * f * constant<V>(0.5);
  const V rest = fnma(s, half_square + log_series(s * s), half_square);
  const V apart = fnma(n, constant<V>(Bits::log2_high), z - f) - n * constant<V>(Bits::log2_low);
  return select(small, rest, apart + rest);
}

// The mixture m of both sides at a column, m = base (1 + z).
template <class V>
struct Mixture {
  V z, one_plus_z;
  V second_order;  // z - log(1 + z)
  V log;           // log(1 + z)

  // The shares of base and rest in it sum to 1.
  KULLBACK_INLINE Mixture(const FromBase<V>& at, V base_share, V rest_share) {
    z = rest_share * at.growth;
    // Without cancellation where z is near -1.
    one_plus_z = fma(rest_share, at.growth + constant<V>(1), base_share);
    second_order = minus_log1p(z, one_plus_z);
    log = z - second_order;
  }
};

template <class V>
class JensenShannon {
 public:
  // Seen from the side with the larger share, nothing cancels.
  explicit KULLBACK_INLINE JensenShannon(double w)
      : a_share_(constant<V>(w)), b_share_(constant<V>(1 - w)), prefer_a_(constant<V>(w < 0.5 ? -1 : 1)) {}

  KULLBACK_INLINE Slopes<V> of(const Column<V>& at) const {
    typename FromBase<V>::Mask is_a;
    const FromBase<V> from(at, prefer_a_, is_a);
    const V base_share = select(is_a, a_share_, b_share_), rest_share = select(is_a, b_share_, a_share_);
    const Mixture<V> mixture(from, base_share, rest_share);
    // (1 + z) log(1 + z) - z
    const V of_mixture = fnma(mixture.one_plus_z, mixture.second_order, mixture.z * mixture.z);
    const V base_slope = constant<V>(0) - base_share * from.base * mixture.log;
    const V rest_slope = rest_share * weighed(from.rest, from.t - mixture.log);
    return {from.base * fma(rest_share, from.second_order, constant<V>(0) - of_mixture),
            select(is_a, base_slope, rest_slope), select(is_a, rest_slope, base_slope)};
  }

 private:
  V a_share_, b_share_, prefer_a_;
};

template <class V>
class Skew {
 public:
  explicit KULLBACK_INLINE Skew(double w) : a_share_(constant<V>(w)), b_share_(constant<V>(1 - w)) {}

  KULLBACK_INLINE Slopes<V> of(const Column<V>& at) const {
    const V zero = constant<V>(0);
    typename FromBase<V>::Mask is_a;
    const FromBase<V> from(at, constant<V>(1), is_a);
    const Mixture<V> mixture(from, select(is_a, a_share_, b_share_), select(is_a, b_share_, a_share_));
    const V log_ratio = select(is_a, zero - mixture.log, from.t - mixture.log);                    // log(a / m)
    const V excess_share = select(is_a, mixture.z, mixture.z - from.growth) / mixture.one_plus_z;  // (m - a) / m
    // (m - a) + a log(a / m), and its slope for log a, where seen from a without what cancels in first order.
    const V term = select(is_a, at.a * mixture.second_order, fma(b_share_, at.b - at.a, weighed(at.a, log_ratio)));
    const V from_a = mixture.second_order - mixture.z * fma(a_share_, excess_share, b_share_);
    const V slope = select(is_a, from_a, fma(a_share_, excess_share, log_ratio));
    return {term, weighed(at.a, slope), b_share_ * at.b * excess_share};
  }

 private:
  V a_share_, b_share_;
};
