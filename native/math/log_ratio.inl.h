// log_ratio: u = log b - log a of one column, from the logits of `weigher` (a) and `other` (b).
//   close    (y - x) / T - offset, one rounding of the difference, which is exact where the logits are near each other
//   shifted  (y - x - shift) / T - offset, the difference with its rounding (Knuth's two-sum)
//   apart    (y - m_b) / T_b - (x - m_a) / T_a - offset, differences, products and 1 / T with their roundings
//   edges    both -inf: NaN;  Careful: an infinite logit on one side gives an infinite ratio
//   bound    softmax-divergence.error-bound.test.ts

// a - b as a sum that is exact; `low` is not a number where `high` is infinite.
template <class V>
struct Difference {
  V high, low;

  KULLBACK_INLINE Difference(V a, V b) : high(a - b) {
    const V part = high - a;
    low = (a - (high - part)) - (b + part);
  }
};

// a b - product, exact. Where instructions do not fuse, the vector type knows another way.
template <class V>
KULLBACK_INLINE V rounding_of_product(V a, V b, V product) {
  return fma(a, b, constant<V>(0) - product);
}

// What a careful look does with roundings beside an infinite logit.
template <bool Careful, class V>
KULLBACK_INLINE V number_or_zero(V low) {
  if constexpr (Careful) return select(equal(low, low), low, constant<V>(0));
  return low;
}

template <class V>
class LogRatio {
 public:
  explicit KULLBACK_INLINE LogRatio(const RatioOffset<Element<V>>& ratio)
      : shift_high(broadcast<V>(ratio.shift_high)),
        shift_low(broadcast<V>(ratio.shift_low)),
        offset_high(broadcast<V>(ratio.offset_high)),
        offset_low(broadcast<V>(ratio.offset_low)) {}

  // In the way that the ratio's distance wants. A side has maximum, scale (1 / T) and scale_low.
  template <Distance kDistance, bool Careful, class Side>
  KULLBACK_INLINE V of(V weigher_logits, V other_logits, const Side& weigher, const Side& other) const {
    if constexpr (kDistance == Distance::kClose) {
      return close(weigher_logits, other_logits, other.scale);
    } else if constexpr (kDistance == Distance::kShifted) {
      return shifted<Careful>(weigher_logits, other_logits, other.scale);
    } else {
      return apart<Careful>(weigher_logits, other_logits, weigher, other);
    }
  }

 private:
  KULLBACK_INLINE V close(V weigher_logits, V other_logits, V scale) const {
    return fma(other_logits - weigher_logits, scale, constant<V>(0) - offset_high) - offset_low;
  }

  template <bool Careful>
  KULLBACK_INLINE V shifted(V weigher_logits, V other_logits, V scale) const {
    const Difference<V> difference(other_logits, weigher_logits);
    const V exact = (difference.high - shift_high) + (number_or_zero<Careful>(difference.low) - shift_low);
    return fma(exact, scale, constant<V>(0) - offset_high) - offset_low;
  }

  // Each rounding of difference and product is kept.
  template <bool Careful, class Side>
  KULLBACK_INLINE V apart(V weigher_logits, V other_logits, const Side& weigher, const Side& other) const {
    const Difference<V> of_weigher(weigher_logits, weigher.maximum), of_other(other_logits, other.maximum);
    const V product = of_other.high * other.scale, weigher_product = of_weigher.high * weigher.scale;
    const V high = product - weigher_product;
    V low = rounding_of_product(of_other.high, other.scale, product) -
            rounding_of_product(of_weigher.high, weigher.scale, weigher_product);
    low = fnma(of_weigher.high, weigher.scale_low, fma(of_other.high, other.scale_low, low));
    low = fnma(of_weigher.low, weigher.scale, fma(of_other.low, other.scale, low));
    return (high - offset_high) + (number_or_zero<Careful>(low) - offset_low);
  }

  V shift_high, shift_low, offset_high, offset_low;
};
