// softmax_divergence, first pass over one segment of one row: maxima, exponentials and their sums; and what all passes
// share: sums in float64, blocks, partial vectors.
//   shapes   weigher, other [columns], one segment (<= kSegmentColumns)
//   traffic  2 elements a column from memory, 2 written to the second-level cache
//   work     2 exponentials and about 10 further operations a column; binds: arithmetic, on AVX-512 memory
//   stable   (x - maximum) * scale, never x * scale - maximum; the product is not rounded where instructions fuse
//   order    8 vectors of 16 (8) lanes, from there on in float64
//   edges    no logit above -inf: 0 throughout;  a NaN anywhere: a NaN sum;  an infinite logit: a NaN moment
//   bound    docs/softmax-divergence.md, tests "error bound";  speed: bench/softmax-divergence

static inline double sum_of(F64 v) {
  alignas(64) double lane[F64::lanes];
  v.store(lane);
  for (int width = F64::lanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
  }
  return lane[0];
}

// A sum over many groups of vectors (kGroupVectors), in float64.
template <class V>
struct Total;

template <>
struct Total<F32> {
  F64 low, high;
  // Written out: GCC compiles an implicit constructor outside of the target region.
  KULLBACK_INLINE Total() : low(constant<F64>(0)), high(constant<F64>(0)) {}
  KULLBACK_INLINE void add(F32 group) {
    low = low + widen_low(group);
    high = high + widen_high(group);
  }
  double value() const { return sum_of(low + high); }
};

template <>
struct Total<F64> {
  F64 all;
  KULLBACK_INLINE Total() : all(constant<F64>(0)) {}
  KULLBACK_INLINE void add(F64 group) { all = all + group; }
  double value() const { return sum_of(all); }
};

// The next segment moves into the second-level cache while this one is computed: the search for its maximum would wait
// for memory.
template <class T>
static inline void prefetch_ahead(const T* logits) {
  __builtin_prefetch(logits + kSegmentColumns, 0, 2);
}

// So do the lines of a gradient that will be written soon: a store to a line that is elsewhere waits for it.
template <class T>
static inline void prefetch_to_write(T* exponentials) {
  __builtin_prefetch(exponentials + kBlockColumns, 1, 3);
}

template <class V>
static inline Element<V> largest_of(V v) {
  alignas(64) Element<V> lane[V::lanes];
  v.store(lane);
  for (int width = V::lanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lane[i] = lane[i] > lane[i + width] ? lane[i] : lane[i + width];
  }
  return lane[0];
}

// The columns of one block in whole vectors, then what is left over.
struct Span {
  int64_t begin, whole;
  int rest;
};
template <class V>
static inline Span span_of(int64_t block, int64_t columns) {
  const int64_t begin = block * kBlockColumns;
  const int64_t count = columns - begin < kBlockColumns ? columns - begin : kBlockColumns;
  return {begin, count / V::lanes * V::lanes, static_cast<int>(count % V::lanes)};
}

template <class V>
static inline int64_t group_end(int64_t begin, int64_t whole, int64_t vectors) {
  return begin + vectors * V::lanes < whole ? begin + vectors * V::lanes : whole;
}

template <class V>
static void largest(const Element<V>* values, int64_t count, Element<V>& result) {
  const Element<V> lowest = static_cast<Element<V>>(-FloatBits<Element<V>>::infinity);
  const int64_t whole = count / V::lanes * V::lanes;
  // Four chains, since each maximum waits for the one before it.
  V first = V::all(lowest), second = first, third = first, fourth = first;
  int64_t i = 0;
  for (; i + 4 * V::lanes <= whole; i += 4 * V::lanes) {
    first = maximum(first, V::load(values + i));
    second = maximum(second, V::load(values + i + V::lanes));
    third = maximum(third, V::load(values + i + 2 * V::lanes));
    fourth = maximum(fourth, V::load(values + i + 3 * V::lanes));
  }
  for (; i < whole; i += V::lanes) first = maximum(first, V::load(values + i));
  if (count > whole) second = maximum(second, V::load_first(values + whole, static_cast<int>(count - whole), lowest));
  result = largest_of(maximum(maximum(first, second), maximum(third, fourth)));
}

// A segment without any logit above -inf: probability 0 throughout, unless it hides a NaN, which no maximum shows.
template <class V>
static inline double empty_segment(const ExponentialsTask<Element<V>>& task) {
  // Counted, since GCC 12 turns "if (...) sum = NaN" over float64 into a maximum, which forgets it.
  int64_t unordered = 0;
  for (int64_t i = 0; i < task.columns; ++i) {
    task.exponentials[i] = 0;
    unordered += task.logits[i] != task.logits[i] ? 1 : 0;
  }
  return unordered > 0 ? FloatBits<Element<V>>::nan : 0;
}

// The scalars of e^((x - maximum) / T) as vectors, from whatever has a scale and a maximum.
template <class V>
struct ExponentialVectors {
  V maximum, scale, scale_low, lowest;

  template <class Side>
  explicit KULLBACK_INLINE ExponentialVectors(const Side& side)
      : maximum(V::all(side.maximum)),
        scale(V::all(side.scale.power_scale)),
        scale_low(V::all(side.scale.power_scale_low)),
        lowest(V::all(static_cast<Element<V>>(FloatBits<Element<V>>::exp2_low / side.scale.power_scale))) {}

  KULLBACK_INLINE V of_distance(V below_maximum) const { return exp2_product(below_maximum, scale, scale_low, lowest); }
};

template <class V>
static void exponentials(ExponentialsTask<Element<V>>& task) {
  const Element<V> lowest = static_cast<Element<V>>(-FloatBits<Element<V>>::infinity);
  if (task.maximum == lowest) {
    task.sum = empty_segment<V>(task);
    return;
  }
  const ExponentialVectors<V> side(task);
  const int64_t whole = task.columns / V::lanes * V::lanes;
  Total<V> total;
  for (int64_t i = 0; i < whole;) {
    const int64_t end = group_end<V>(i, whole, kGroupVectors);
    V sum = constant<V>(0);
    for (; i < end; i += V::lanes) {
      prefetch_ahead(task.logits + i);
      const V e = side.of_distance(V::load(task.logits + i) - side.maximum);
      e.store(task.exponentials + i);
      sum = sum + e;
    }
    total.add(sum);
  }
  const int rest = static_cast<int>(task.columns - whole);
  if (rest > 0) {
    const V e = side.of_distance(V::load_first(task.logits + whole, rest, lowest) - side.maximum);
    e.store_first(task.exponentials + whole, rest);
    total.add(e);
  }
  task.sum = total.value();
}

// Either a whole vector or its first `rest` lanes, the others being `fill`.
template <class V, bool Whole>
static KULLBACK_INLINE V load_lanes(const Element<V>* from, int rest, double fill) {
  if constexpr (Whole) return V::load(from);
  return V::load_first(from, rest, static_cast<Element<V>>(fill));
}

template <class V, bool Whole>
static KULLBACK_INLINE void store_lanes(V value, Element<V>* to, int rest) {
  if constexpr (Whole) return value.store(to);
  value.store_first(to, rest);
}

template <class V>
struct PairSums {
  V weighers, others, moments, other_moments;
  KULLBACK_INLINE PairSums()
      : weighers(constant<V>(0)), others(constant<V>(0)), moments(constant<V>(0)), other_moments(constant<V>(0)) {}
};

template <class V>
struct PairTotals {
  Total<V> weighers, others, moments, other_moments;
  KULLBACK_INLINE PairTotals() {}
  KULLBACK_INLINE void add(const PairSums<V>& sums) {
    weighers.add(sums.weighers);
    others.add(sums.others);
    moments.add(sums.moments);
    other_moments.add(sums.other_moments);
  }
};

template <class V, bool kOtherMoment, bool Whole>
static KULLBACK_INLINE void pair_lanes(const ExponentialVectors<V>& weigher, const ExponentialVectors<V>& other,
                                       const PairExponentialsTask<Element<V>>& task, int64_t i, int rest,
                                       PairSums<V>& sums) {
  constexpr double lowest = -FloatBits<Element<V>>::infinity;
  const V weigher_below = load_lanes<V, Whole>(task.weigher.logits + i, rest, lowest) - weigher.maximum;
  const V other_below = load_lanes<V, Whole>(task.other.logits + i, rest, lowest) - other.maximum;
  const V a = weigher.of_distance(weigher_below), b = other.of_distance(other_below);
  store_lanes<V, Whole>(a, task.weigher.exponentials + i, rest);
  store_lanes<V, Whole>(b, task.other.exponentials + i, rest);
  sums.weighers = sums.weighers + a;
  sums.others = sums.others + b;
  // What fills up the last vector weighs nothing. An infinite logit elsewhere makes the moment NaN.
  const auto weighed = [&](V value) {
    if constexpr (Whole) return value;
    return zero_where(equal(a, constant<V>(0)), value);
  };
  const V ratio = V::all(task.scale_ratio);
  sums.moments = fma(a, weighed(fma(other_below, ratio, constant<V>(0) - weigher_below)), sums.moments);
  if constexpr (kOtherMoment) sums.other_moments = fma(a, weighed(other_below), sums.other_moments);
}

template <class V, bool kOtherMoment>
static inline void pair_exponentials_with(PairExponentialsTask<Element<V>>& task) {
  const ExponentialVectors<V> weigher(task.weigher), other(task.other);
  const int64_t whole = task.columns / V::lanes * V::lanes;
  PairTotals<V> totals;
  for (int64_t i = 0; i < whole;) {
    const int64_t end = group_end<V>(i, whole, kGroupVectors);
    PairSums<V> sums;
    for (; i < end; i += V::lanes) {
      prefetch_ahead(task.weigher.logits + i);
      prefetch_ahead(task.other.logits + i);
      prefetch_to_write(task.other.exponentials + i);
      pair_lanes<V, kOtherMoment, true>(weigher, other, task, i, 0, sums);
    }
    totals.add(sums);
  }
  const int rest = static_cast<int>(task.columns - whole);
  if (rest > 0) {
    PairSums<V> sums;
    pair_lanes<V, kOtherMoment, false>(weigher, other, task, whole, rest, sums);
    totals.add(sums);
  }
  task.weigher.sum = totals.weighers.value();
  task.other.sum = totals.others.value();
  task.moment = totals.moments.value();
  task.other_moment = totals.other_moments.value();
}

template <class V>
static void pair_exponentials(PairExponentialsTask<Element<V>>& task) {
  if (task.wants_other_moment) return pair_exponentials_with<V, true>(task);
  return pair_exponentials_with<V, false>(task);
}
