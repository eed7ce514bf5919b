// The driver of token_log_probs on the CPU: rows over threads, or the segments of few long rows over threads. The
// arithmetic on columns is softmax_divergence_exponentials.inl.h's, softmax_divergence.inl.h's and
// token_log_probs.inl.h's.
#include "token_log_probs.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "../math/token_row.h"
#include "backend.h"
#include "dispatch.h"
#include "element_types.h"
#include "scalar.h"
#include "scratch.h"
#include "segments.h"
#include "softmax_row.h"

namespace kullback {
namespace {

using Request = kullback_token_log_probs_request;

// Below this many logits the work is done before a second thread could wake up.
constexpr int64_t kParallelColumns = 1 << 15;
// What one thread takes at a time where rows are short.
constexpr int64_t kColumnsPerTask = 1 << 14;

// What a thread works with: a row belongs to the thread that it was given to, scratch to the one that fills it.
template <class T>
struct TokenWorkspace {
  SoftmaxRow<T> row;
  Scratch exponentials, unkept;
  Scratch logits;                // where the gradient is written over them
  std::vector<double> partials;  // one per segment

  static TokenWorkspace& of_this_thread() {
    static thread_local TokenWorkspace workspace;
    return workspace;
  }
};

template <class T>
class TokenLogProbs {
 public:
  TokenLogProbs(const Request& request, const kullback_control* control)
      : request_(request), kernels_(kernels_of<T>(*active_instruction_set().kernels)), stop_(control) {}

  kullback_status run() {
    ThreadPool& pool = ThreadPool::instance();
    const int64_t threads = pool.thread_count();
    const bool alone = threads <= 1 || request_.rows * request_.columns < kParallelColumns;
    if (!alone && request_.columns > kSegmentColumns && request_.rows < 2 * threads) {
      for (int64_t index = 0; index < request_.rows; ++index) row(index, &pool);
    } else {
      const int64_t rows_per_task = std::max<int64_t>(1, kColumnsPerTask / request_.columns);
      const int64_t tasks = ceil_divide(request_.rows, rows_per_task);
      const auto task = [&](int64_t index) {
        const int64_t end = std::min(request_.rows, (index + 1) * rows_per_task);
        for (int64_t i = index * rows_per_task; i < end; ++i) row(i, nullptr);
      };
      if (alone) {
        for (int64_t index = 0; index < tasks; ++index) task(index);
      } else {
        pool.parallel_for(tasks, task);
      }
    }
    return stop_.asked() ? KULLBACK_CANCELLED : KULLBACK_OK;
  }

 private:
  void row(int64_t index, ThreadPool* pool) {
    if (stop_.asked()) return;
    T* const gradient =
        request_.gradient == nullptr ? nullptr : static_cast<T*>(request_.gradient) + index * request_.stride;
    if (request_.row_mask != nullptr && request_.row_mask[index] == 0) {
      if (gradient != nullptr) std::fill(gradient, gradient + request_.stride, T{0});
      return write_token_row(request_, index, {0, 0, 0, 0});
    }
    TokenWorkspace<T>& work = TokenWorkspace<T>::of_this_thread();
    SoftmaxRow<T>& softmax = work.row;
    softmax.logits = static_cast<const T*>(request_.logits) + index * request_.stride;
    if (gradient == softmax.logits) {
      T* const copy = work.logits.template reserve<T>(request_.columns);
      std::copy(gradient, gradient + request_.columns, copy);
      softmax.logits = copy;
    }
    softmax.scale = softmax_scale<T>(request_.temperature);
    softmax.prepare(request_.columns);
    work.partials.resize(softmax.sums.size());
    const double entropy_slope = entropy_slope_of(request_, index);
    const bool wants_entropy = request_.entropy != nullptr || (gradient != nullptr && entropy_slope != 0);
    // Kept where there is more to come, over the gradient where there is one.
    softmax.exponentials = gradient != nullptr ? gradient
                           : wants_entropy     ? work.exponentials.template reserve<T>(request_.columns)
                                               : nullptr;
    take_exponentials(softmax, pool);
    if (stop_.asked()) return;
    softmax.merge();
    const double entropy = wants_entropy ? entropy_of(work, pool) : 0;
    const double logit = static_cast<double>(softmax.logits[request_.tokens[index]]);
    const double below = (logit - softmax.maximum) * inverse_temperature(softmax.scale);
    const TokenRow found = token_row(request_, index, below - softmax.log_sum, entropy, softmax.log_sum_exp(),
                                     [](double d) { return scalar::expm1_minus(d); });
    write_token_row(request_, index, found);
    if (gradient != nullptr) write_gradient(work, pool, gradient, index, found, entropy_slope);
    work.exponentials.trim();
    work.logits.trim();
  }

  // body(first column, columns, segment) for each segment, on the pool where there is one.
  template <class Body>
  void for_each_segment(ThreadPool* pool, const Body& body) {
    kullback::for_each_segment(request_.columns, pool, stop_, [&](int64_t begin, int64_t columns) {
      body(begin, columns, static_cast<size_t>(begin / kSegmentColumns));
    });
  }

  void take_exponentials(SoftmaxRow<T>& softmax, ThreadPool* pool) {
    for_each_segment(pool, [&](int64_t begin, int64_t columns, size_t segment) {
      ExponentialsTask<T> task;
      task.logits = softmax.logits + begin;
      task.columns = columns;
      task.scale = softmax.scale;
      task.exponentials = softmax.exponentials != nullptr
                              ? softmax.exponentials + begin
                              : TokenWorkspace<T>::of_this_thread().unkept.template reserve<T>(kSegmentColumns);
      kernels_.largest(task.logits, columns, task.maximum);
      kernels_.exponentials(task);
      softmax.take(segment, task);
    });
  }

  double entropy_of(TokenWorkspace<T>& work, ThreadPool* pool) {
    for_each_segment(pool, [&](int64_t begin, int64_t columns, size_t segment) {
      EntropyTask<T> task;
      task.side = work.row.segment(begin);
      task.columns = columns;
      kernels_.entropy(task);
      work.partials[segment] = task.entropy;
    });
    return std::accumulate(work.partials.begin(), work.partials.end(), 0.0);
  }

  void write_gradient(TokenWorkspace<T>& work, ThreadPool* pool, T* gradient, int64_t index, const TokenRow& found,
                      double entropy_slope) {
    const double slope = token_slope_of(request_, index, found);
    if (slope == 0 && entropy_slope == 0) {
      std::fill(gradient, gradient + request_.stride, T{0});
      return;
    }
    const double per_logit = inverse_temperature(work.row.scale);
    for_each_segment(pool, [&](int64_t begin, int64_t columns, size_t) {
      TokenGradientTask<T> task;
      task.side = work.row.segment(begin);
      task.columns = columns;
      task.slope = static_cast<T>(slope * per_logit);
      task.entropy_slope = static_cast<T>(entropy_slope * per_logit);
      task.entropy = static_cast<T>(found.entropy);
      task.gradient = gradient + begin;
      kernels_.token_gradient(task);
    });
    gradient[request_.tokens[index]] = static_cast<T>(token_gradient_of(found, slope, entropy_slope) * per_logit);
    std::fill(gradient + request_.columns, gradient + request_.stride, T{0});
  }

  const Request& request_;
  const Kernels<T>& kernels_;
  Stop stop_;
};

}  // namespace

kullback_status token_log_probs_cpu(const Request* request, const kullback_control* control) {
  return in_full_width(request->dtype, [&]<class T>() { return TokenLogProbs<T>(*request, control).run(); });
}

}  // namespace kullback
