// The driver of softmax_divergence on the CPU: rows over threads, or the segments of few long rows over threads. Rows
// are softmax_divergence_rows.h's, or softmax_divergence_top_k.h's where the teacher names some columns; one row is
// softmax_divergence_row.h's, the arithmetic on its columns softmax_divergence.inl.h's.
#include <algorithm>
#include <atomic>
#include <vector>

#include "../math/sum.h"
#include "backend.h"
#include "element_types.h"
#include "softmax_divergence_top_k.h"

namespace kullback {
namespace {

using Request = kullback_softmax_divergence_request;

// Below this many logits of one side the work is done before a second thread could wake up.
constexpr int64_t kParallelColumns = 1 << 15;
// What one thread takes at a time where rows are short.
constexpr int64_t kColumnsPerTask = 1 << 14;

template <class Rows>
class SoftmaxDivergence {
 public:
  SoftmaxDivergence(const Request& request, const kullback_control* control)
      : request_(request), stop_(control), rows_(request, stop_) {}

  kullback_status run() {
    if (rows_.must_be_proper() && !are_proper()) return stop_.asked() ? KULLBACK_CANCELLED : KULLBACK_BAD_VALUES;
    std::vector<double> values(static_cast<size_t>(request_.rows));
    ThreadPool& pool = ThreadPool::instance();
    const int64_t threads = pool.thread_count();
    if (!alone() && request_.columns > kSegmentColumns && request_.rows < 2 * threads) {
      for (int64_t row = 0; row < request_.rows; ++row) values[static_cast<size_t>(row)] = rows_.value(row, &pool);
    } else {
      for_each_row(request_.rows, [&](int64_t row) { values[static_cast<size_t>(row)] = rows_.value(row, nullptr); });
    }
    if (stop_.asked()) return KULLBACK_CANCELLED;
    if (request_.values != nullptr) std::copy(values.begin(), values.end(), request_.values);
    if (request_.value != nullptr) *request_.value = sum_pairwise(values.data(), request_.rows);
    return KULLBACK_OK;
  }

 private:
  bool alone() const {
    return ThreadPool::instance().thread_count() <= 1 || request_.rows * request_.columns < kParallelColumns;
  }

  // body(row) for each row, some at a time on one thread.
  template <class Body>
  void for_each_row(int64_t rows, const Body& body) const {
    const int64_t rows_per_task = std::max<int64_t>(1, kColumnsPerTask / request_.columns);
    const auto task = [&](int64_t index) {
      const int64_t end = std::min(rows, (index + 1) * rows_per_task);
      for (int64_t row = index * rows_per_task; row < end; ++row) body(row);
    };
    const int64_t tasks = ceil_divide(rows, rows_per_task);
    if (alone()) {
      for (int64_t index = 0; index < tasks; ++index) task(index);
    } else {
      ThreadPool::instance().parallel_for(tasks, task);
    }
  }

  // Before anything is written: whether all rows of the teacher's that count hold what they may.
  bool are_proper() {
    std::atomic<bool> all{true};
    const bool one = request_.one_teacher != 0;
    for_each_row(one ? std::min<int64_t>(1, request_.rows) : request_.rows, [&](int64_t row) {
      if (stop_.asked() || (!one && left_out(request_, row))) return;
      if (!rows_.is_proper(row)) all.store(false, std::memory_order_relaxed);
    });
    return all.load() && !stop_.asked();
  }

  const Request& request_;
  Stop stop_;
  Rows rows_;
};

template <class T>
kullback_status run(const Request& request, const kullback_control* control) {
  if (request.tail == KULLBACK_NO_TAIL) return SoftmaxDivergence<SoftmaxRows<T>>(request, control).run();
  return SoftmaxDivergence<TopKRows<T>>(request, control).run();
}

}  // namespace

kullback_status softmax_divergence_cpu(const Request* request, const kullback_control* control) {
  return in_computed_type(request->dtype, [&]<class T>() { return run<T>(*request, control); });
}

}  // namespace kullback
