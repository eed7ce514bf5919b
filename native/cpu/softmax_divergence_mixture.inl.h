// softmax_divergence of the power family by the mixture m = a^(1 - k) b^k of both sides, over one segment of one row.
//   formula  sum m = 1 + k (k - 1) D of the power divergence D; its gradients are differences of m and a side
//   shapes   one segment (<= kSegmentColumns) of one row a call; logits, exponentials, mixture [columns]
//   traffic  mixed_exponentials 2 elements a column from memory, up to 3 written to the second-level cache
//   work     3 exponentials and about 10 further operations a column; binds: arithmetic
//   stable   exponents as sums of two products with their roundings; the mixture's logarithms where no sum is a number
//   order    8 vectors of 16 (8) lanes, from there on in float64
//   edges    k < 0 and b = 0: +inf or NaN, for the generator's pass to look at
//   bound    docs/softmax-divergence.md, tests "error bound";  speed: bench/softmax-divergence

template <class V>
struct MixedVectors {
  ExponentialVectors<V> weigher, other;
  Factor<V> weigher_factor, other_factor;

  explicit KULLBACK_INLINE MixedVectors(const MixedExponentialsTask<Element<V>>& task)
      : weigher(task.weigher),
        other(task.other),
        weigher_factor{V::all(task.weigher_scale), V::all(task.weigher_scale_low)},
        other_factor{V::all(task.other_scale), V::all(task.other_scale_low)} {}
};

template <class V>
struct MixedSums {
  V weighers, others, mixtures;
  KULLBACK_INLINE MixedSums() : weighers(constant<V>(0)), others(constant<V>(0)), mixtures(constant<V>(0)) {}
};

template <class V>
struct MixedTotals {
  Total<V> weighers, others, mixtures;
  KULLBACK_INLINE MixedTotals() {}
  KULLBACK_INLINE void add(const MixedSums<V>& sums) {
    weighers.add(sums.weighers);
    others.add(sums.others);
    mixtures.add(sums.mixtures);
  }
};

template <class V, bool Whole>
static KULLBACK_INLINE void mixed_lanes(const MixedVectors<V>& with, const MixedExponentialsTask<Element<V>>& task,
                                        int64_t i, int rest, MixedSums<V>& sums) {
  constexpr double lowest = -FloatBits<Element<V>>::infinity;
  const V weigher_below = load_lanes<V, Whole>(task.weigher.logits + i, rest, lowest) - with.weigher.maximum;
  const V other_below = load_lanes<V, Whole>(task.other.logits + i, rest, lowest) - with.other.maximum;
  const V a = with.weigher.of_distance(weigher_below), b = with.other.of_distance(other_below);
  V mixture = exp2_of_products(weigher_below, with.weigher_factor, other_below, with.other_factor);
  // What fills up the last vector is in no mixture.
  if constexpr (!Whole) mixture = zero_where(equal(weigher_below, constant<V>(lowest)), mixture);
  store_lanes<V, Whole>(a, task.weigher.exponentials + i, rest);
  store_lanes<V, Whole>(b, task.other.exponentials + i, rest);
  if (task.mixture != nullptr) store_lanes<V, Whole>(mixture, task.mixture + i, rest);
  sums.weighers = sums.weighers + a;
  sums.others = sums.others + b;
  sums.mixtures = sums.mixtures + mixture;
}

template <class V>
static void mixed_exponentials(MixedExponentialsTask<Element<V>>& task) {
  const MixedVectors<V> with(task);
  const int64_t whole = task.columns / V::lanes * V::lanes;
  MixedTotals<V> totals;
  for (int64_t i = 0; i < whole;) {
    const int64_t end = group_end<V>(i, whole, kGroupVectors);
    MixedSums<V> sums;
    for (; i < end; i += V::lanes) {
      prefetch_ahead(task.weigher.logits + i);
      prefetch_ahead(task.other.logits + i);
      mixed_lanes<V, true>(with, task, i, 0, sums);
    }
    totals.add(sums);
  }
  const int rest = static_cast<int>(task.columns - whole);
  if (rest > 0) {
    MixedSums<V> sums;
    mixed_lanes<V, false>(with, task, whole, rest, sums);
    totals.add(sums);
  }
  task.weigher.sum = totals.weighers.value();
  task.other.sum = totals.others.value();
  task.sum = totals.mixtures.value();
}

// log(a^(1 - k) b^k) of each column, whose sum may be beyond the format while its logarithm is not.
template <class V, bool Whole>
static KULLBACK_INLINE void mixture_lanes(const SideVectors<V>& weigher, const SideVectors<V>& other, V k,
                                          const MixtureTask<Element<V>>& task, int64_t i, int rest) {
  const V lowest = constant<V>(-FloatBits<Element<V>>::infinity);
  const V log_a = weigher.log_probability(load_lanes<V, Whole>(task.weigher.logits + i, rest, 0));
  const V log_b = other.log_probability(load_lanes<V, Whole>(task.other.logits + i, rest, 0));
  const V mixed = fma(k, log_b, (constant<V>(1) - k) * log_a);
  // The side that weighs has a positive part in the mixture: what it has not, the mixture has not.
  store_lanes<V, Whole>(select(equal(log_a, lowest), lowest, mixed), task.logits + i, rest);
}

template <class V>
static void mixture(MixtureTask<Element<V>>& task) {
  const SideVectors<V> weigher(task.weigher), other(task.other);
  const V k = constant<V>(task.k);
  const int64_t whole = task.columns / V::lanes * V::lanes;
  for (int64_t i = 0; i < whole; i += V::lanes) mixture_lanes<V, true>(weigher, other, k, task, i, 0);
  const int rest = static_cast<int>(task.columns - whole);
  if (rest > 0) mixture_lanes<V, false>(weigher, other, k, task, whole, rest);
}
