// softmax_divergence on the GPU, around it where the teacher names K columns: from rows to coarse rows of K columns and
// one for all others, which softmax_divergence.cuh compares in float64, and from their gradient to the rows'.
//   formula  math/top_k_row.h; outside: log-sum-exp of the columns that no slot names, and their shares of it
//   shapes   student, gradient [rows, stride]; teacher, ids [rows, slots]; coarse [rows, slots + 1]; a block a row
//   traffic  2 reads of the student, one more and 1 write with the gradient; none of the columns outside under
//            KULLBACK_TAIL_RENORMALIZE but for the write
//   work     1 exponential a column, one more with the gradient; the slots' ids once for each kTile columns and pass;
//            binds: memory
//   stable   the named columns are left out of the sum, not subtracted from it
//   order    a thread's columns in groups of 2, from there on in float64: threads, warps (team.h)
//   edges    nothing above -inf outside: -inf;  a slot without a column: -inf on both sides;  NaN stays in its row
//   bound    docs/softmax-divergence.md, tests "top-k";  speed: bench/softmax-divergence
#ifndef KULLBACK_CUDA_SOFTMAX_DIVERGENCE_TOP_K_CUH
#define KULLBACK_CUDA_SOFTMAX_DIVERGENCE_TOP_K_CUH

#include "softmax_row.cuh"
// After what includes kullback_backend.h.
#include "../math/top_k_row.h"

namespace kullback {

// Of so many columns at a time it is known which are named.
constexpr unsigned kTile = 4096;

// All rows, and what the kernels around the coarse ones tell each other of them.
template <class T>
struct TopKArguments {
  int64_t rows, columns, slots;
  kullback_tail tail;
  kullback_divergence divergence;
  SoftmaxSide<T> student;      // neither log_sum_exp nor entropy
  const void* teacher;         // [rows, slots], or one row
  const int32_t* ids;          // likewise
  int64_t teacher_step;        // from one row's to the next's; 0 for one row
  const uint8_t* row_mask;     // [rows] or NULL
  const double* row_weights;   // [rows] or NULL
  const double* grad_outputs;  // [rows] or NULL
  double temperature;          // the student's
  double scale, grad_output;
  double *coarse_student, *coarse_teacher, *coarse_gradient;  // [rows, slots + 1]
  double *log_captured, *outside_maximum, *outside_sum;       // [rows]
  // Of truncated rows, what the coarse ones are found to be.
  const double *on_support, *log_support;  // [rows]
  double *divergences, *values;            // [rows]; the first or NULL
};

template <unsigned kThreads>
struct TopKShared {
  BlockTeam<kThreads> team;
  uint32_t* named;         // [kTile]
  Truncation* truncation;  // one

#pragma nv_exec_check_disable
  template <class Arena>
  __host__ __device__ explicit TopKShared(Arena& arena)
      : team(arena), named(arena.template take<uint32_t>(kTile)), truncation(arena.template take<Truncation>(1)) {}
};

template <class T, unsigned kThreads>
class TopKRow {
 public:
  __device__ TopKRow(const TopKArguments<T>& arguments, TopKShared<kThreads>& shared, int64_t row)
      : arguments_(arguments),
        shared_(shared),
        team_(shared.team),
        row_(row),
        coarse_(row * (arguments.slots + 1)),
        ids_(arguments.ids + row * arguments.teacher_step) {}

  __device__ bool counts() const { return arguments_.row_mask == nullptr || arguments_.row_mask[row_] != 0; }

  // Both coarse rows.
  __device__ void gather() {
    const int64_t slots = arguments_.slots;
    const double nothing = -INFINITY;
    double largest[1] = {nothing}, sums[2] = {0, 0};
    for_each_slot([&](int64_t slot) {
      const bool named = ids_[slot] >= 0;
      T log_prob[1];
      load_numbers(arguments_.student.storage, arguments_.teacher, row_ * arguments_.teacher_step + slot, true, 1,
                   log_prob);
      const double of_teacher = named ? double(log_prob[0]) : nothing;
      arguments_.coarse_student[coarse_ + slot] = named ? double(logit(ids_[slot])) : nothing;
      arguments_.coarse_teacher[coarse_ + slot] = of_teacher;
      largest[0] = Largest::of(of_teacher, largest[0]);
      sums[1] += named ? 1 : 0;
    });
    team_.template reduce<Largest>(largest);
    for_each_slot([&](int64_t slot) {
      // Each thread reads what it has written itself.
      const double below = arguments_.coarse_teacher[coarse_ + slot] - largest[0];
      sums[0] += largest[0] == nothing ? 0 : exp(below);
    });
    team_.template reduce<Sum>(sums);
    double maximum[1] = {nothing}, sum[1] = {0};
    if (reads_outside(arguments_.tail)) sum_outside(maximum, sum);
    if (!team_.leads()) return;
    const double log_captured = largest[0] == nothing ? nothing : largest[0] + log(sums[0]);
    arguments_.log_captured[row_] = log_captured;
    arguments_.outside_maximum[row_] = maximum[0];
    arguments_.outside_sum[row_] = sum[0];
    if (!has_tail_column(arguments_.tail)) return;
    arguments_.coarse_student[coarse_ + slots] = log_outside(maximum[0], sum[0]) * arguments_.temperature;
    arguments_.coarse_teacher[coarse_ + slots] =
        teacher_tail(arguments_.tail, log_captured, sums[1] == double(arguments_.columns));
  }

  // The gradient out of the coarse one; and truncated rows' divergences.
  __device__ void scatter() {
    const double weight = arguments_.row_weights == nullptr ? 1 : arguments_.row_weights[row_];
    const double scale = weight * arguments_.scale;
    const double grad_output =
        arguments_.grad_outputs == nullptr ? arguments_.grad_output : arguments_.grad_outputs[row_];
    // A factor of 0 gives an exact 0 whatever the row holds.
    const double slope = scale == 0 || grad_output == 0 ? 0 : scale * grad_output;
    Truncation truncation = {1, 0, 0};
    if (arguments_.tail == KULLBACK_TAIL_TRUNCATE) {
      truncation = team_.from_leader(shared_.truncation, [&] { return find_truncation(); });
      // Until all have it, the next row's must not take its place.
      __syncthreads();
      if (team_.leads()) {
        const double divergence =
            counts() ? truncation.factor * (arguments_.on_support[row_] + truncation.constant) : 0;
        if (arguments_.divergences != nullptr) arguments_.divergences[row_] = divergence;
        arguments_.values[row_] = scale == 0 ? 0 : scale * divergence;
      }
    }
    if (arguments_.student.gradient == nullptr) return;
    const bool writes = slope != 0 && counts();
    if (writes) write(truncation, slope);
    clear(writes ? arguments_.columns : 0);
  }

 private:
  template <class Body>
  __device__ void for_each_slot(const Body& body) const {
    for (int64_t slot = team_.rank(); slot < arguments_.slots; slot += team_.size()) body(slot);
  }

  // body(column) for each column of this thread's that no slot names. Each tile is marked anew.
  template <class Body>
  __device__ void for_each_outside(const Body& body) const {
    for (int64_t begin = 0; begin < arguments_.columns; begin += kTile) {
      const int64_t left = arguments_.columns - begin, count = left < int64_t(kTile) ? left : int64_t(kTile);
      for (int64_t i = team_.rank(); i < count; i += team_.size()) shared_.named[i] = 0;
      __syncthreads();
      for_each_slot([&](int64_t slot) {
        const int64_t i = ids_[slot] - begin;
        if (i >= 0 && i < count && ids_[slot] >= 0) shared_.named[i] = 1;
      });
      __syncthreads();
      for (int64_t i = team_.rank(); i < count; i += team_.size()) {
        if (shared_.named[i] == 0) body(begin + i);
      }
      __syncthreads();
    }
  }

  __device__ T logit(int64_t column) const {
    const SoftmaxSide<T>& side = arguments_.student;
    T number[1];
    load_numbers(side.storage, side.numbers, row_ * side.row_step + column, true, 1, number);
    if (side.log_prior == nullptr) return number[0];
    return device::fma(T(side.log_prior[column]), side.temperature, number[0]);
  }

  __device__ T exponential(T below_maximum) const {
    count_exponential();
    const SoftmaxScale<T>& scale = arguments_.student.scale;
    const T lowest = T(FloatBits<T>::exp2_low) / scale.power_scale;
    return device::exp2_product(below_maximum, scale.power_scale, scale.power_scale_low, lowest);
  }

  // Where the distance of logits is measured from: any number, if there is none above -inf.
  __device__ static T origin(double maximum) { return maximum == -INFINITY ? T(0) : T(maximum); }

  __device__ void sum_outside(double (&maximum)[1], double (&sum)[1]) {
    for_each_outside([&](int64_t i) { maximum[0] = Largest::of(double(logit(i)), maximum[0]); });
    team_.template reduce<Largest>(maximum);
    const T from = origin(maximum[0]);
    GroupedSums<T, 1, 1> sums(false);
    for_each_outside([&](int64_t i) {
      sums.add(0, 0, exponential(logit(i) - from));
      sums.end_vector();
    });
    sums.fold();
    sum[0] = sums.total[0];
    team_.template reduce<Sum>(sum);
  }

  __device__ double log_outside(double maximum, double sum) const {
    return sum == 0 ? -INFINITY : maximum * inverse_temperature(arguments_.student.scale) + log(sum);
  }

  __device__ Truncation find_truncation() const {
    // Of a row that is left out nothing is known.
    if (!counts()) return {0, 0, 0};
    return truncation_of(arguments_.divergence, arguments_.on_support[row_], arguments_.log_captured[row_],
                         arguments_.log_support[row_],
                         log_outside(arguments_.outside_maximum[row_], arguments_.outside_sum[row_]));
  }

  __device__ void write(const Truncation& truncation, double slope) const {
    const double pull = truncation.pull * slope / arguments_.temperature;
    const double tail = arguments_.tail == KULLBACK_TAIL_TRUNCATE ? -truncation.factor * pull
                        : has_tail_column(arguments_.tail) ? arguments_.coarse_gradient[coarse_ + arguments_.slots]
                                                           : 0;
    const double sum = arguments_.outside_sum[row_];
    const T factor = sum == 0 ? T(0) : T(tail / sum), from = origin(arguments_.outside_maximum[row_]);
    const bool reads = reads_outside(arguments_.tail);
    for_each_outside([&](int64_t i) { store(i, reads ? exponential(logit(i) - from) * factor : T(0)); });
    for_each_slot([&](int64_t slot) {
      if (ids_[slot] < 0) return;
      double gradient = arguments_.coarse_gradient[coarse_ + slot];
      if (arguments_.tail == KULLBACK_TAIL_TRUNCATE) {
        const double logit = arguments_.coarse_student[coarse_ + slot] / arguments_.temperature;
        gradient = truncation.factor * (gradient + pull * exp(logit - arguments_.log_support[row_]));
      }
      store(ids_[slot], T(gradient));
    });
  }

  // A column's gradient, added to what is held for it.
  __device__ void store(int64_t column, T gradient) const {
    const SoftmaxSide<T>& side = arguments_.student;
    const int64_t offset = row_ * side.stride + column;
    T number[1] = {gradient};
    if (side.held != nullptr) {
      T held[1];
      load_numbers(side.storage, side.held, offset, true, 1, held);
      number[0] += held[0];
    }
    store_numbers(side.storage, side.gradient, offset, true, 1, number);
  }

  // Zeros from column `from` to the end of the row's stride, or what is held there.
  __device__ void clear(int64_t from) const {
    if (arguments_.student.held == arguments_.student.gradient) return;
    for (int64_t i = from + team_.rank(); i < arguments_.student.stride; i += team_.size()) store(i, T(0));
  }

  const TopKArguments<T>& arguments_;
  TopKShared<kThreads>& shared_;
  BlockTeam<kThreads>& team_;
  const int64_t row_, coarse_;
  const int32_t* const ids_;
};

// How many blocks must fit a multiprocessor by their registers: float64 takes more of them.
template <class T>
constexpr unsigned kBlocksAtOnce = sizeof(T) == 8 ? 2 : 4;

template <class T, unsigned kThreads>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce<T>)
    gather_top_k(const __grid_constant__ TopKArguments<T> arguments) {
  SharedMemory arena;
  TopKShared<kThreads> shared(arena);
  for (int64_t index = shared.team.first_row(); index < arguments.rows; index += shared.team.rows_at_once()) {
    TopKRow<T, kThreads> row(arguments, shared, index);
    if (row.counts()) row.gather();
  }
}

template <class T, unsigned kThreads>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce<T>)
    scatter_top_k(const __grid_constant__ TopKArguments<T> arguments) {
  SharedMemory arena;
  TopKShared<kThreads> shared(arena);
  for (int64_t row = shared.team.first_row(); row < arguments.rows; row += shared.team.rows_at_once()) {
    TopKRow<T, kThreads>(arguments, shared, row).scatter();
  }
}

// Before anything is written: improper = some log-probability is not at most `tolerance`, or probabilities sum to more
// than 1 + tolerance.
struct LogProbArguments {
  const void* numbers;
  const int32_t* ids;
  Storage storage;
  int64_t rows, slots;
  const uint8_t* row_mask;  // [rows] or NULL
  double tolerance;
  uint32_t* improper;  // [rows]
};

template <class T, unsigned kThreads>
__global__ void __launch_bounds__(kThreads) improper_log_probs(const LogProbArguments arguments) {
  SharedMemory arena;
  BlockTeam<kThreads> team(arena);
  for (int64_t row = team.first_row(); row < arguments.rows; row += team.rows_at_once()) {
    const bool counts = arguments.row_mask == nullptr || arguments.row_mask[row] != 0;
    double sums[2] = {0, 0};
    for (int64_t slot = team.rank(); counts && slot < arguments.slots; slot += team.size()) {
      const int64_t i = row * arguments.slots + slot;
      if (arguments.ids[i] < 0) continue;
      T number[1];
      load_numbers(arguments.storage, arguments.numbers, i, true, 1, number);
      const double log_prob = double(number[0]);
      sums[0] += exp(log_prob);
      sums[1] += log_prob <= arguments.tolerance ? 0 : 1;
    }
    team.template reduce<Sum>(sums);
    const bool proper = sums[1] == 0 && sums[0] <= 1 + arguments.tolerance;
    if (team.leads()) arguments.improper[row] = counts && !proper ? 1 : 0;
  }
}

}  // namespace kullback

#endif  // KULLBACK_CUDA_SOFTMAX_DIVERGENCE_TOP_K_CUH
