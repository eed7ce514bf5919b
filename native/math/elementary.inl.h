// exp, expm1, log1p and log over vectors, float32 and float64; exp2 is math/exp2.inl.h.
//   exp      x = n log 2 + r, |r| <= log(2)/2;  e^x = 2^n (1 + r + r^2 P(r)), n by adding 1.5 * 2^23 (2^52)
//   expm1    2 (2^(n-1) (r + r^2 P(r)) + (2^(n-1) - 1/2)), halved so that 2^n cannot overflow before the result does
//   log      as log1p, of a number that is given as it is; subnormal ones are first multiplied by 2^64
//   log1p    1 + x = 2^k (1 + f), log(1 + f) = f - s (f - R(s^2)), s = f / (2 + f), with the rounding of 1 + x put back
//   bound    exp 1.3 ulp, exp2 2.2 ulp (baseline 3), expm1 1.8 ulp, log1p 1 ulp, log 1 ulp, on every instruction set
//            (test/parity/elementary.test.ts reads these numbers here)
//   edges    exp overflows to inf and underflows gradually; NaN stays NaN; log1p(-1) = log(0) = -inf, below NaN
//   source   Cody and Waite's reduction; P, Q by Remez exchange in 200-bit arithmetic; R: math/log_series.inl.h

template <class V>
struct Reduced {
  V n;         // the integer of the exponent
  V shifted;   // n as power_of_two() wants it
  V fraction;  // e^r - 1
};

// x must be so that n fits an exponent, or one more.
template <class V>
KULLBACK_INLINE Reduced<V> reduce_exp(V x) {
  using Bits = FloatBits<Element<V>>;
  const V shifted = fma(x, constant<V>(1.4426950408889634), constant<V>(Bits::round_magic));
  const V n = shifted - constant<V>(Bits::round_magic);
  const V r = fnma(n, constant<V>(Bits::log2_low), fnma(n, constant<V>(Bits::log2_high), x));
  V p;
  if constexpr (sizeof(Element<V>) == sizeof(float)) {
    p = polynomial(r, 0.5, 0.166665778, 0.0416668542, 0.00836314633, 0.00139013038);
  } else {
    p = polynomial(r, 0.5, 0.1666666666666667, 0.041666666666666616, 0.008333333333326162, 0.0013888888888917933,
                   0.00019841269874739488, 2.4801587245829572e-05, 2.7557255490376247e-06, 2.755734951221388e-07,
                   2.5105183620093198e-08, 2.0889417239922154e-09);
  }
  return {n, shifted, fma(r, r * p, r)};
}

template <class V>
KULLBACK_INLINE V exp(V x) {
  using Bits = FloatBits<Element<V>>;
  const V bounded = minimum(constant<V>(Bits::exp_high), maximum(constant<V>(Bits::exp_low), x));
  const Reduced<V> e = reduce_exp(bounded);
  // Two factors, since 2^n itself may be beyond the format while the result is not.
  const V half = fma(e.n, constant<V>(0.5), constant<V>(Bits::round_magic));
  const V rest = e.n - (half - constant<V>(Bits::round_magic)) + constant<V>(Bits::round_magic);
  const V first = power_of_two(half);
  return fma(first, e.fraction, first) * power_of_two(rest);
}

template <class V>
KULLBACK_INLINE V expm1(V x) {
  using Bits = FloatBits<Element<V>>;
  // Below -40 the answer is -1 in both formats.
  const Reduced<V> e = reduce_exp(minimum(constant<V>(Bits::exp_high), maximum(constant<V>(-40), x)));
  const V half = power_of_two(e.shifted - constant<V>(1));
  const V halved = fma(half, e.fraction, half - constant<V>(0.5));
  // Without a power of two the fraction is the answer, and subnormal x would lose a bit by the halving.
  return select(equal(e.n, constant<V>(0)), e.fraction, halved + halved);
}

template <class V>
KULLBACK_INLINE V log1p(V x) {
  using Bits = FloatBits<Element<V>>;
  const V one = constant<V>(1), two = constant<V>(2);
  const V sum = one + x;
  V mantissa;
  const V k = split_exponent(sum, mantissa);
  const auto small = equal(k, constant<V>(0));
  const V f = select(small, x, mantissa - one);
  // What 1 + x lost to rounding, relative to the sum; the larger addend is subtracted first, so this is exact.
  const V lost = select(less(one, x), one - (sum - x), x - (sum - one));
  const V correction = select(small, constant<V>(0), lost / sum);
  const V s = f / (two + f);
  const V series = log_series(s * s);
  const V half_square = f * f * constant<V>(0.5);
  const V tail = fma(k, constant<V>(Bits::log2_low), correction);
  const V log = fma(k, constant<V>(Bits::log2_high), f - (half_square - fma(s, half_square + series, tail)));
  const V infinity = constant<V>(Bits::infinity);
  const V edge = select(equal(x, constant<V>(-1)), constant<V>(0) - infinity, constant<V>(Bits::nan));
  return select(less(constant<V>(-1), x), select(less(x, infinity), log, x), edge);
}

template <class V>
KULLBACK_INLINE V log(V x) {
  using Bits = FloatBits<Element<V>>;
  const auto small = less(x, constant<V>(Bits::least_normal));
  V mantissa;
  const V k = split_exponent(select(small, x * constant<V>(18446744073709551616.0), x), mantissa) -
              select(small, constant<V>(64), constant<V>(0));
  const V f = mantissa - constant<V>(1);
  const V s = f / (constant<V>(2) + f);
  const V half_square = f * f * constant<V>(0.5);
  const V tail = fma(s, half_square + log_series(s * s), k * constant<V>(Bits::log2_low));
  const V log = fma(k, constant<V>(Bits::log2_high), f - (half_square - tail));
  const V infinity = constant<V>(Bits::infinity);
  const V edge = select(equal(x, constant<V>(0)), constant<V>(0) - infinity,
                        select(equal(x, infinity), infinity, constant<V>(Bits::nan)));
  return select(both(less(constant<V>(0), x), less(x, infinity)), log, edge);
}
