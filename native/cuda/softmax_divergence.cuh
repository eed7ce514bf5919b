// softmax_divergence on the GPU: value and gradients of D(teacher || student), row by row, from logits.
//   formula  math/divergence.inl.h and generators.inl.h; a, b: the weighing and the other side's probabilities
//   shapes   weigher, other, gradients [rows, stride]; a warp, a block or a cluster of blocks a row
//   traffic  resident: 2 reads and 1 write a gradient of each column; else 3 reads of both, 4 with a gradient, and one
//            more each with entropies and with the agreement of maxima; Renyi's mixture takes 2 to 4 more
//   work     4 exponentials a column; 2 more where a gradient finds nothing kept of the pass before it (the weighing
//            side's, and all that are not resident), 2 more with entropies; a power or a mixture 1 a pass; binds:
//            memory
//   stable   (x - maximum) * scale, never x * scale - maximum;  u = log b - log a: math/log_ratio.inl.h
//   order    a thread's columns in groups of 2 vectors, from there on in float64: threads, warps, blocks (team.h)
//   edges    both -inf: 0;  a > 0 on b = 0: +inf;  a row of -inf alone, or with +inf: NaN;  NaN stays in its row
//   bound    docs/softmax-divergence.md, tests "error bound";  speed: bench/softmax-divergence
#ifndef KULLBACK_CUDA_SOFTMAX_DIVERGENCE_CUH
#define KULLBACK_CUDA_SOFTMAX_DIVERGENCE_CUH

#include "softmax_row.cuh"

namespace kullback {

// Formulas: the one that a kernel is made for, or that of its arguments.
template <template <class> class Formula_>
struct Only {
  template <class T>
  static constexpr unsigned kWidth = kVector<T>;
  template <class T>
  struct Formula {
    __device__ explicit Formula(const Divergence&) {}
    __device__ device::Slopes<T> of(const device::Column<T>& at) const { return Formula_<T>().of(at); }
  };
};

struct Generated {
  template <class T>
  static constexpr unsigned kWidth = 1;
  template <class T>
  struct Formula {
    Generator generator;
    device::Parameter<T> parameter;

    __device__ explicit Formula(const Divergence& divergence)
        : generator(divergence.generator), parameter(divergence.parameter) {}

    __device__ device::Slopes<T> of(const device::Column<T>& at) const {
#define KULLBACK_GENERATOR(name) \
  if (generator == Generator::k##name) return device::name<T>(parameter).template of<false>(at);
#include "../math/generators.inc"
#undef KULLBACK_GENERATOR
      __builtin_unreachable();  // the others have kernels of their own
    }
  };
};

template <class T, class Formulas, class Team, bool kResident>
class RowDivergence : public SoftmaxRow<T, Team, kResident, Formulas::template kWidth<T>> {
  using Row = SoftmaxRow<T, Team, kResident, Formulas::template kWidth<T>>;
  using Formula = typename Formulas::template Formula<T>;

 public:
  using Row::Row;

  __device__ void run() {
    const double weight = arguments_.row_weights == nullptr ? 1 : arguments_.row_weights[row_];
    const double scale = weight * arguments_.scale;
    const double grad_output =
        arguments_.grad_outputs == nullptr ? arguments_.grad_output : arguments_.grad_outputs[row_];
    // A factor of 0 gives an exact 0 whatever the row holds.
    const double slope = scale == 0 || grad_output == 0 ? 0 : scale * grad_output;
    if (arguments_.row_mask != nullptr && arguments_.row_mask[row_] == 0) {
      this->write_nothing();
      return;
    }
    this->find_softmaxes();
    if (arguments_.weigher.entropy != nullptr || arguments_.other.entropy != nullptr) this->write_entropies();
    if (arguments_.argmax_agreement != nullptr) this->write_agreement();
    double value = divergence_and_gradients(slope);
    this->clear(arguments_.weigher, slope == 0 ? 0 : arguments_.columns);
    this->clear(arguments_.other, slope == 0 ? 0 : arguments_.columns);
    if (!team_.leads()) return;
    // Of nothing, the last rounding may leave less than nothing.
    if (value < 0) value = 0;
    if (arguments_.divergences != nullptr) arguments_.divergences[row_] = value;
    arguments_.values[row_] = scale == 0 ? 0 : scale * value;
  }

 private:
  using Row::arguments_;
  using Row::kWidth;
  using Row::numbers_;
  using Row::row_;
  using Row::shared_;
  using Row::team_;

  // Sums over columns: of the terms, of the slopes of either side, and of what either side's probabilities are.
  enum { kTerms, kWeigherSlope, kOtherSlope, kWeigher, kOther, kSums };

  __device__ double divergence_and_gradients(double slope) {
    double sums[kSums];
    second_pass(sums);
    const Divergence& divergence = arguments_.divergence;
    double outer = divergence.factor, value = divergence.factor * sums[kTerms];
    if (divergence.renyi_order != 0) {
      const double excess = mixture_excess(divergence, sums[kTerms]);
      if (!excess_serves(excess)) return mixed(slope);
      value = log1p(excess) / (divergence.renyi_order - 1);
      outer = divergence.renyi_order / (1 + excess);
    }
    if (slope != 0) write_gradients(sums, slope * outer);
    return value;
  }

  __device__ void second_pass(double (&result)[kSums]) {
    GroupedSums<T, kSums, 1> sums(arguments_.weigher.gradient != nullptr);
    const bool keeps = keeps_slopes();
    const Formula formula(arguments_.divergence);
    this->for_each_vector([&](int64_t i) {
      T weigher[kWidth], other[kWidth];
      this->load_pair(i, weigher, other);
      for (unsigned k = 0; k < kWidth; ++k) {
        const device::Column<T> at = this->column(weigher[k], other[k]);
        const device::Slopes<T> slopes = formula.of(at);
        sums.add(kTerms, k, slopes.term);
        sums.add(kWeigherSlope, k, slopes.a);
        sums.add(kOtherSlope, k, slopes.b);
        sums.add(kWeigher, k, at.a);
        sums.add(kOther, k, at.b);
        weigher[k] = at.b;
        other[k] = slopes.b;
      }
      sums.end_vector();
      if (keeps) {
        this->keep(shared_.weigher, i, weigher);
        this->keep(shared_.other, i, other);
      }
    });
    sums.fold();
    team_.template reduce<Sum>(sums.total);
    for (unsigned i = 0; i < kSums; ++i) result[i] = sums.total[i];
  }

  // Whether the resident logits may give way to b and its slope, which is all that the other side's gradient needs.
  __device__ bool keeps_slopes() const {
    return kResident && arguments_.weigher.gradient == nullptr && arguments_.divergence.renyi_order == 0;
  }

  // Slopes sum to 0 once each has given up its share of their sum, which also takes away what log ratios have in common
  // as the error of the log-sum-exps.
  struct Centre {
    T high, low, scale;
    __device__ T of(T slope, T probability) const {
      return device::fnma(probability, low, device::fnma(probability, high, slope)) * scale;
    }
  };
  __device__ static Centre centre(const SoftmaxSide<T>& side, double slope_sum, double sum, double slope) {
    Centre centre;
    split(slope_sum / sum, centre.high, centre.low);
    centre.scale = T(slope * inverse_temperature(side.scale));
    return centre;
  }

  __device__ void write_gradients(const double (&sums)[kSums], double slope) const {
    const SoftmaxSide<T>&weigher_side = arguments_.weigher, &other_side = arguments_.other;
    if (weigher_side.gradient == nullptr && other_side.gradient == nullptr) return;
    const Centre of_weigher = centre(weigher_side, sums[kWeigherSlope], sums[kWeigher], slope);
    const Centre of_other = centre(other_side, sums[kOtherSlope], sums[kOther], slope);
    if (keeps_slopes()) {
      this->for_each_vector([&](int64_t i) {
        T b[kWidth], slopes[kWidth];
        this->load_pair(i, b, slopes);
        for (unsigned k = 0; k < kWidth; ++k) slopes[k] = of_other.of(slopes[k], b[k]);
        this->store(other_side, i, slopes);
      });
      return;
    }
    const Formula formula(arguments_.divergence);
    this->for_each_vector([&](int64_t i) {
      T weigher[kWidth], other[kWidth];
      this->load_pair(i, weigher, other);
      for (unsigned k = 0; k < kWidth; ++k) {
        const device::Column<T> at = this->column(weigher[k], other[k]);
        const device::Slopes<T> slopes = formula.of(at);
        weigher[k] = of_weigher.of(slopes.a, at.a);
        other[k] = of_other.of(slopes.b, at.b);
      }
      if (weigher_side.gradient != nullptr) this->store(weigher_side, i, weigher);
      if (other_side.gradient != nullptr) this->store(other_side, i, other);
    });
  }

  // Renyi's divergence from the softmax of the mixture a^(1 - k) b^k, where its sum is far from 1 or beyond the format.
  __device__ double mixed(double slope) {
    double largest[1] = {-INFINITY};
    this->for_each_vector([&](int64_t i) {
      T weigher[kWidth], other[kWidth];
      this->load_pair(i, weigher, other);
      for (unsigned k = 0; k < kWidth; ++k) {
        largest[0] = Largest::of(double(log_mixture(weigher[k], other[k])), largest[0]);
      }
    });
    team_.template reduce<Largest>(largest);
    const T maximum = T(largest[0]);
    GroupedSums<T, 1, kWidth> sums(false);
    this->for_each_vector([&](int64_t i) {
      T weigher[kWidth], other[kWidth];
      this->load_pair(i, weigher, other);
      for (unsigned k = 0; k < kWidth; ++k) sums.add(0, k, mixture(weigher[k], other[k], maximum));
      sums.end_vector();
    });
    sums.fold();
    team_.template reduce<Sum>(sums.total);
    if (slope != 0) {
      const bool student_weighs = arguments_.divergence.student_weighs;
      write_mixture(maximum, sums.total[0], slope * mixture_slope(arguments_.divergence, student_weighs),
                    slope * mixture_slope(arguments_.divergence, !student_weighs));
    }
    const double sum = sums.total[0];
    // A column that the one side lacks, where that is infinitely far; or no column that both have.
    const T log_sums = numbers_.weigher.log_sum + numbers_.other.log_sum;
    if (fabs(largest[0]) == INFINITY && log_sums == log_sums) return INFINITY;
    return (largest[0] + log(sum)) / (arguments_.divergence.renyi_order - 1);
  }

  __device__ T log_mixture(T weigher, T other) const {
    const T k = T(arguments_.divergence.parameter);
    const T log_a = this->log_probability(arguments_.weigher, numbers_.weigher, weigher);
    const T log_b = this->log_probability(arguments_.other, numbers_.other, other);
    // The side that weighs has a positive part in the mixture: what it has not, the mixture has not.
    return log_a == T(-INFINITY) ? log_a : device::fma(k, log_b, (1 - k) * log_a);
  }
  __device__ T mixture(T weigher, T other, T maximum) const {
    return device::power_of_e(log_mixture(weigher, other) - maximum);
  }

  // slope (mixture - side) / T, of both sides at once, since a gradient may take its logits' place.
  __device__ void write_mixture(T maximum, double sum, double weigher_slope, double other_slope) const {
    const SoftmaxSide<T>&weigher_side = arguments_.weigher, &other_side = arguments_.other;
    const T factor = T(1 / sum);
    const T weigher_scale = T(weigher_slope * inverse_temperature(weigher_side.scale));
    const T other_scale = T(other_slope * inverse_temperature(other_side.scale));
    this->for_each_vector([&](int64_t i) {
      T weigher[kWidth], other[kWidth];
      this->load_pair(i, weigher, other);
      for (unsigned k = 0; k < kWidth; ++k) {
        const T mixed = mixture(weigher[k], other[k], maximum) * factor;
        weigher[k] = (mixed - this->probability(weigher_side, numbers_.weigher, weigher[k])) * weigher_scale;
        other[k] = (mixed - this->probability(other_side, numbers_.other, other[k])) * other_scale;
      }
      if (weigher_side.gradient != nullptr) this->store(weigher_side, i, weigher);
      if (other_side.gradient != nullptr) this->store(other_side, i, other);
    });
  }
};

// Threads that must fit a multiprocessor by their registers: two blocks of a row each, where float32 lets them. A
// warp's threads hold more, since each computes what one thread of a block computes for all.
template <class T, class Team>
constexpr unsigned kThreadsAtOnce = sizeof(T) == 8             ? 320
                                    : Team::kTeamsPerBlock > 1 ? 512
                                                               : 640;

template <class T, class Formulas, class Team, bool kResident>
__global__ void __launch_bounds__(Team::kThreads, kThreadsAtOnce<T, Team> / Team::kThreads)
    softmax_divergence(const __grid_constant__ SoftmaxDivergenceArguments<T> arguments) {
  SharedMemory arena;
  SoftmaxDivergenceShared<T, Team, kResident> shared(arena, columns_per_part<T>(arguments.columns, Cluster::size()));
  for (int64_t row = shared.team.first_row(); row < arguments.rows; row += shared.team.rows_at_once()) {
    RowDivergence<T, Formulas, Team, kResident>(arguments, shared, row).run();
  }
}

}  // namespace kullback

#endif  // KULLBACK_CUDA_SOFTMAX_DIVERGENCE_CUH
