// softmax_row: one row of two sides on the GPU, as the threads of a team have it: its logits, from memory or resident,
// its two softmaxes, and what is told of them. The divergences are softmax_divergence.cuh's.
#ifndef KULLBACK_CUDA_SOFTMAX_ROW_CUH
#define KULLBACK_CUDA_SOFTMAX_ROW_CUH

#include "../abi/kullback_backend.h"
#include "../math/generator.h"
#include "stored.cuh"
#include "team.h"

namespace kullback {

// What a thread loads at a time: 16 bytes, where a formula is short enough for its registers to hold several columns.
template <class T>
constexpr unsigned kVector = 16 / sizeof(T);
// How many vectors a thread adds in their own type before it goes on in float64.
constexpr unsigned kGroupVectors = 2;

// One side of all rows.
template <class T>
struct SoftmaxSide {
  const void* numbers;      // [rows, stride], or one row
  void* gradient;           // [rows, stride] or NULL
  const void* held;         // [rows, stride], what the gradient is added to; NULL: nothing
  const double* log_prior;  // [columns] or NULL
  int64_t stride;
  int64_t row_step;  // from one row's numbers to the next's; 0 for one row
  SoftmaxScale<T> scale;
  T temperature;
  Storage storage;
  bool probabilities;
  bool plain;           // the numbers are logits in T as they stand
  bool whole_vectors;   // numbers, gradient and stride are multiples of a vector
  double* log_sum_exp;  // [rows] or NULL
  double* entropy;      // [rows] or NULL
};

template <class T>
struct SoftmaxDivergenceArguments {
  int64_t rows, columns;
  SoftmaxSide<T> weigher, other;
  const double* row_weights;   // [rows] or NULL
  const uint8_t* row_mask;     // [rows] or NULL
  const double* grad_outputs;  // [rows] or NULL
  double scale, grad_output;
  Divergence divergence;
  double* values;             // [rows]
  double* divergences;        // [rows] or NULL
  uint8_t* argmax_agreement;  // [rows] or NULL
};

// The columns of a row that one part (block of a cluster) has: whole vectors, but for the last.
template <class T>
__host__ __device__ constexpr int64_t columns_per_part(int64_t columns, unsigned parts) {
  return int64_t(round_up(size_t((columns + parts - 1) / parts), kVector<T>));
}

// What the first two looks at a row taught of one side.
template <class T>
struct SideNumbers {
  T maximum;
  T factor;   // probability = exponential * factor
  T log_sum;  // log sum exp((x - maximum) / T), kept apart from the maximum
};

template <class T>
struct RowNumbers {
  SideNumbers<T> weigher, other;
  RatioOffset<T> ratio;
};

template <class T, class Team, bool kResident>
struct SoftmaxDivergenceShared {
  Team team;
  RowNumbers<T>* numbers;  // one
  T *weigher, *other;      // [columns of this part]: logits; after the second pass a, and b - a

#pragma nv_exec_check_disable
  template <class Arena>
  __host__ __device__ SoftmaxDivergenceShared(Arena& arena, int64_t columns_of_part)
      : team(arena),
        numbers(arena.template take<RowNumbers<T>>(1)),
        weigher(kResident ? arena.template take<T>(unsigned(columns_of_part)) : nullptr),
        other(kResident ? arena.template take<T>(unsigned(columns_of_part)) : nullptr) {}
};

// A thread's sums: groups in T, all of them in float64. The columns of a vector are added apart if kLanes is as large,
// where one of them may be so large that it would round the others away.
template <class T, unsigned kCount, unsigned kLanes>
class GroupedSums {
 public:
  // `fine`: each vector goes on in float64, where the result would show the rounding of groups.
  __device__ explicit GroupedSums(bool fine) : vectors_per_group_(fine ? 1 : kGroupVectors) {
    for (unsigned i = 0; i < kCount; ++i) total[i] = 0;
    for (unsigned i = 0; i < kCount * kLanes; ++i) group_[i] = 0;
  }
  __device__ void add(unsigned index, unsigned column, T value) { group_[index * kLanes + column % kLanes] += value; }
  __device__ void end_vector() {
    if (++vectors_ % vectors_per_group_ == 0) fold();
  }
  __device__ void fold() {
    for (unsigned i = 0; i < kCount * kLanes; ++i) {
      total[i / kLanes] += double(group_[i]);
      group_[i] = 0;
    }
  }

  double total[kCount];

 private:
  T group_[kCount * kLanes];
  unsigned vectors_ = 0, vectors_per_group_;
};

template <class T, class Team, bool kResident, unsigned kWidth_>
class SoftmaxRow {
 public:
  static constexpr unsigned kWidth = kWidth_;  // columns of a thread at a time
  using Arguments = SoftmaxDivergenceArguments<T>;
  using Shared = SoftmaxDivergenceShared<T, Team, kResident>;

  __device__ SoftmaxRow(const Arguments& arguments, Shared& shared, int64_t row)
      : arguments_(arguments), team_(shared.team), shared_(shared), row_(row) {
    const int64_t columns = columns_per_part<T>(arguments.columns, team_.parts());
    begin_ = columns * team_.part();
    count_ = arguments.columns - begin_;
    count_ = count_ < 0 ? 0 : count_ < columns ? count_ : columns;
  }

 protected:
  // Logits of a thread's vector that begins at column i of this part; -inf, which counts nothing, beyond its end.
  __device__ void load(const SoftmaxSide<T>& side, int64_t i, T (&to)[kWidth]) const {
    const bool whole = side.whole_vectors && i + kWidth <= count_;
    load_numbers(side.storage, side.numbers, row_ * side.row_step + begin_ + i, whole, count_ - i, to);
    if (side.plain) return;
    for (unsigned k = 0; k < kWidth && i + k < count_; ++k) {
      if (side.probabilities) to[k] = device::log(to[k]);
      if (side.log_prior != nullptr) {
        to[k] = device::fma(T(side.log_prior[begin_ + i + k]), side.temperature, to[k]);
      }
    }
  }
  __device__ static void load(const T* resident, int64_t i, T (&to)[kWidth]) {
    const auto pack = *reinterpret_cast<const Pack<T, kWidth>*>(resident + i);
    for (unsigned k = 0; k < kWidth; ++k) to[k] = pack.element[k];
  }
  __device__ static void keep(T* resident, int64_t i, const T (&from)[kWidth]) {
    Pack<T, kWidth> pack;
    for (unsigned k = 0; k < kWidth; ++k) pack.element[k] = from[k];
    *reinterpret_cast<Pack<T, kWidth>*>(resident + i) = pack;
  }
  __device__ void load_pair(int64_t i, T (&weigher)[kWidth], T (&other)[kWidth]) const {
    if constexpr (kResident) {
      load(shared_.weigher, i, weigher);
      load(shared_.other, i, other);
    } else {
      load(arguments_.weigher, i, weigher);
      load(arguments_.other, i, other);
    }
  }
  // The gradient, added to what is held for it.
  __device__ void store(const SoftmaxSide<T>& side, int64_t i, const T (&from)[kWidth]) const {
    const int64_t offset = row_ * side.stride + begin_ + i;
    const bool whole = side.whole_vectors && i + kWidth <= count_;
    T sum[kWidth];
    for (unsigned k = 0; k < kWidth; ++k) sum[k] = from[k];
    if (side.held != nullptr) {
      T held[kWidth];
      load_numbers(side.storage, side.held, offset, whole, count_ - i, held);
      for (unsigned k = 0; k < kWidth; ++k) sum[k] += held[k];
    }
    store_numbers(side.storage, side.gradient, offset, whole, count_ - i, sum);
  }

  // body(first column) for each vector of this thread's.
  template <class Body>
  __device__ void for_each_vector(const Body& body) const {
    for (int64_t i = int64_t(team_.rank()) * kWidth; i < count_; i += int64_t(team_.size()) * kWidth) body(i);
  }

  // Sends a thread's vector on its way to shared memory.
  __device__ void fetch(const SoftmaxSide<T>& side, T* resident, int64_t i) const {
    if (!side.plain) {
      T logits[kWidth];
      load(side, i, logits);
      keep(resident, i, logits);
      return;
    }
    const T* const from = static_cast<const T*>(side.numbers) + row_ * side.row_step + begin_ + i;
    if (side.whole_vectors && i + kWidth <= count_) {
      copy_async<kWidth * sizeof(T)>(resident + i, from);
    } else {
      for (unsigned k = 0; k < kWidth; ++k) {
        if (i + k < count_) {
          copy_async<sizeof(T)>(resident + i + k, from + k);
        } else {
          resident[i + k] = T(-INFINITY);
        }
      }
    }
  }

  // The maxima, the sums, and what follows from them for both sides.
  __device__ void find_softmaxes() {
    if constexpr (kResident) {
      // All of the row is on its way at once. No barrier follows, since each thread reads what it has fetched itself.
      for_each_vector([&](int64_t i) {
        fetch(arguments_.weigher, shared_.weigher, i);
        fetch(arguments_.other, shared_.other, i);
      });
      commit_copies();
      wait_copies<0>();
    }
    double maxima[2] = {-INFINITY, -INFINITY};
    for_each_vector([&](int64_t i) {
      T weigher[kWidth], other[kWidth];
      load_pair(i, weigher, other);
      T largest_weigher = weigher[0], largest_other = other[0];
      for (unsigned k = 1; k < kWidth; ++k) {
        largest_weigher = device::maximum(weigher[k], largest_weigher);
        largest_other = device::maximum(other[k], largest_other);
      }
      maxima[0] = Largest::of(double(largest_weigher), maxima[0]);
      maxima[1] = Largest::of(double(largest_other), maxima[1]);
    });
    team_.template reduce<Largest>(maxima);

    const T weigher_maximum = T(maxima[0]), other_maximum = T(maxima[1]);
    GroupedSums<T, 2, kWidth> sums(false);
    for_each_vector([&](int64_t i) {
      T weigher[kWidth], other[kWidth];
      load_pair(i, weigher, other);
      for (unsigned k = 0; k < kWidth; ++k) {
        sums.add(0, k, exponential(arguments_.weigher, weigher[k] - weigher_maximum));
        sums.add(1, k, exponential(arguments_.other, other[k] - other_maximum));
      }
      sums.end_vector();
    });
    sums.fold();
    team_.template reduce<Sum>(sums.total);
    numbers_ = team_.from_leader(shared_.numbers, [&] { return numbers_of(maxima, sums.total); });
  }

  // Logarithms in float64 are dear on many GPUs: one thread computes them for all.
  __device__ RowNumbers<T> numbers_of(const double (&maxima)[2], const double (&sums)[2]) const {
    const double log_sums[2] = {log(sums[0]), log(sums[1])};
    RowNumbers<T> numbers;
    numbers.weigher = {T(maxima[0]), T(1 / sums[0]), T(log_sums[0])};
    numbers.other = {T(maxima[1]), T(1 / sums[1]), T(log_sums[1])};
    numbers.ratio = ratio_offset(maxima[0], maxima[1], log_sums[1] - log_sums[0], 0, arguments_.weigher.scale,
                                 arguments_.other.scale);
    if (team_.leads()) {
      write_log_sum_exp(arguments_.weigher, maxima[0], log_sums[0]);
      write_log_sum_exp(arguments_.other, maxima[1], log_sums[1]);
    }
    return numbers;
  }

  __device__ void write_log_sum_exp(const SoftmaxSide<T>& side, double maximum, double log_sum) const {
    if (side.log_sum_exp != nullptr) side.log_sum_exp[row_] = maximum * inverse_temperature(side.scale) + log_sum;
  }

  struct SideScalars {
    T maximum, scale, scale_low;
  };
  __device__ static SideScalars scalars(const SoftmaxSide<T>& side, const SideNumbers<T>& numbers) {
    return {numbers.maximum, side.scale.inverse_temperature, side.scale.inverse_temperature_low};
  }

  __device__ static T exponential(const SoftmaxSide<T>& side, T below_maximum) {
    count_exponential();
    const T lowest = T(FloatBits<T>::exp2_low) / side.scale.power_scale;
    return device::exp2_product(below_maximum, side.scale.power_scale, side.scale.power_scale_low, lowest);
  }
  __device__ static T probability(const SoftmaxSide<T>& side, const SideNumbers<T>& numbers, T logit) {
    return exponential(side, logit - numbers.maximum) * numbers.factor;
  }
  __device__ static T log_probability(const SoftmaxSide<T>& side, const SideNumbers<T>& numbers, T logit) {
    return (logit - numbers.maximum) * side.scale.inverse_temperature - numbers.log_sum;
  }

  __device__ device::Column<T> column(T weigher, T other) const {
    const device::LogRatio<T> ratio(numbers_.ratio);
    device::Column<T> at;
    at.a = probability(arguments_.weigher, numbers_.weigher, weigher);
    at.b = probability(arguments_.other, numbers_.other, other);
    const SideScalars weigher_scalars = scalars(arguments_.weigher, numbers_.weigher);
    const SideScalars other_scalars = scalars(arguments_.other, numbers_.other);
    switch (numbers_.ratio.distance) {
      case Distance::kClose:
        at.u = ratio.template of<Distance::kClose, true>(weigher, other, weigher_scalars, other_scalars);
        break;
      case Distance::kShifted:
        at.u = ratio.template of<Distance::kShifted, true>(weigher, other, weigher_scalars, other_scalars);
        break;
      case Distance::kApart:
        at.u = ratio.template of<Distance::kApart, true>(weigher, other, weigher_scalars, other_scalars);
        break;
    }
    // What neither side has is no difference between them, even where both logits are -inf.
    if (at.a == 0 && at.b == 0) at.u = 0;
    at.log_b = log_probability(arguments_.other, numbers_.other, other);
    return at;
  }

  __device__ void write_entropies() {
    GroupedSums<T, 2, 1> sums(false);
    for_each_vector([&](int64_t i) {
      T weigher[kWidth], other[kWidth];
      load_pair(i, weigher, other);
      for (unsigned k = 0; k < kWidth; ++k) {
        sums.add(0, k, entropy_term(arguments_.weigher, numbers_.weigher, weigher[k]));
        sums.add(1, k, entropy_term(arguments_.other, numbers_.other, other[k]));
      }
      sums.end_vector();
    });
    sums.fold();
    team_.template reduce<Sum>(sums.total);
    if (!team_.leads()) return;
    if (arguments_.weigher.entropy != nullptr) arguments_.weigher.entropy[row_] = sums.total[0];
    if (arguments_.other.entropy != nullptr) arguments_.other.entropy[row_] = sums.total[1];
  }
  // Probability 0 carries no entropy, even where its logarithm is -inf.
  __device__ static T entropy_term(const SoftmaxSide<T>& side, const SideNumbers<T>& numbers, T logit) {
    const T p = probability(side, numbers, logit);
    return p == 0 ? 0 : -p * log_probability(side, numbers, logit);
  }

  // The first columns that hold the maxima, as the largest of negated ones. Without a softmax there is none.
  __device__ void write_agreement() {
    double first[2] = {-INFINITY, -INFINITY};
    for_each_vector([&](int64_t i) {
      T weigher[kWidth], other[kWidth];
      load_pair(i, weigher, other);
      for (unsigned k = 0; k < kWidth; ++k) {
        const double column = -double(begin_ + i + k);
        if (weigher[k] == numbers_.weigher.maximum) first[0] = Largest::of(column, first[0]);
        if (other[k] == numbers_.other.maximum) first[1] = Largest::of(column, first[1]);
      }
    });
    team_.template reduce<Largest>(first);
    const T sums = numbers_.weigher.log_sum + numbers_.other.log_sum;
    if (team_.leads()) arguments_.argmax_agreement[row_] = sums == sums && first[0] == first[1] ? 1 : 0;
  }

  // Zeros from column `from` to the end of the row's stride, or what is held there.
  __device__ void clear(const SoftmaxSide<T>& side, int64_t from) const {
    if (side.gradient == nullptr || side.held == side.gradient) return;
    const int64_t step = int64_t(team_.size()) * team_.parts();
    for (int64_t i = from + int64_t(team_.part()) * team_.size() + team_.rank(); i < side.stride; i += step) {
      const int64_t offset = row_ * side.stride + i;
      T number[1] = {0};
      if (side.held != nullptr) load_numbers(side.storage, side.held, offset, true, 1, number);
      store_numbers(side.storage, side.gradient, offset, true, 1, number);
    }
  }

  __device__ void write_nothing() const {
    clear(arguments_.weigher, 0);
    clear(arguments_.other, 0);
    if (!team_.leads()) return;
    arguments_.values[row_] = 0;
    for (double* statistic : {arguments_.divergences, arguments_.weigher.log_sum_exp, arguments_.other.log_sum_exp,
                              arguments_.weigher.entropy, arguments_.other.entropy}) {
      if (statistic != nullptr) statistic[row_] = 0;
    }
    if (arguments_.argmax_agreement != nullptr) arguments_.argmax_agreement[row_] = 0;
  }

  const Arguments& arguments_;
  Team& team_;
  Shared& shared_;
  const int64_t row_;
  int64_t begin_, count_;  // the columns of this part
  RowNumbers<T> numbers_;
};

}  // namespace kullback

#endif  // KULLBACK_CUDA_SOFTMAX_ROW_CUH
