// exp2: the softmax's exponential, as a power of two.
//   method   y = n + f, |f| <= 1/2, n by adding 1.5 * 2^23 (2^52);  2^y = 2^n + 2^n f Q(f)
//   bound    2.2 ulp, 3 where nothing fuses (test/parity/elementary.test.ts)
//   edges    NaN stays NaN; below the least normal number 0
//   source   Q by Remez exchange in 200-bit arithmetic

// 2^(n + f) where `power` is 2^n.
template <class V>
KULLBACK_INLINE V exp2_fraction(V power, V f) {
  V p;
  if constexpr (sizeof(Element<V>) == sizeof(float)) {
    p = polynomial(f, 0.693146978, 0.240222421, 0.0555073374, 0.00967151284, 0.00132647288);
  } else {
    p = polynomial(f, 0.69314718055994533, 0.24022650695910131, 0.055504108664820083, 0.0096181291075941206,
                   0.0013333558146774649, 0.00015403530457111361, 1.525273349309594e-5, 1.3215435282680663e-6,
                   1.0178199586447909e-7, 7.0737831844583163e-9, 4.4347689286262759e-10);
  }
  return fma(power * f, p, power);
}

// 2^(x (scale + scale_low)) for products below 127 (1023): the softmax's exponential, nothing but the polynomial, a
// shift and one bound. Where instructions fuse the product is not rounded: its rounding would be of the exponent, and
// all equal logits share it. It is 0 where x <= lowest, or the product rounds to less than the least normal exponent,
// which the exponent field 0 brings about by itself.
template <class V>
KULLBACK_INLINE V exp2_product(V x, V scale, V scale_low, V lowest) {
  using Bits = FloatBits<Element<V>>;
  const V bounded = maximum(lowest, x);  // in this order: a NaN stays
  const V shifted = fma(bounded, scale, constant<V>(Bits::round_magic));
  const V minus_n = constant<V>(Bits::round_magic) - shifted;
  const V f = fma(bounded, scale_low, fma(bounded, scale, minus_n));
  return exp2_fraction(power_of_two(shifted), f);
}

// A factor in two parts, as SoftmaxScale has them.
template <class V>
struct Factor {
  V high, low;
};

// 2^(x a + y b), neither product nor the sum rounded where instructions fuse; no number where that is beyond the
// format.
template <class V>
KULLBACK_INLINE V exp2_of_products(V x, Factor<V> a, V y, Factor<V> b) {
  using Bits = FloatBits<Element<V>>;
  const V product = fma(x, a.high, y * b.high);
  // In this order: a NaN stays. The upper bound is the exponent of infinity.
  const V beyond = constant<V>(sizeof(Element<V>) == sizeof(float) ? 128 : 1024);
  const V bounded = maximum(constant<V>(Bits::exp2_low), minimum(beyond, product));
  const V shifted = bounded + constant<V>(Bits::round_magic);
  const V minus_n = constant<V>(Bits::round_magic) - shifted;
  const V f = fma(x, a.low, fma(y, b.low, fma(x, a.high, fma(y, b.high, minus_n))));
  return exp2_fraction(power_of_two(shifted), f);
}

// 2^y for y < 127 (1023).
template <class V>
KULLBACK_INLINE V exp2(V y) {
  using Bits = FloatBits<Element<V>>;
  return exp2_product(y, constant<V>(1), constant<V>(0), constant<V>(Bits::exp2_low));
}
