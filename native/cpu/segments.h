// segments: the parts of one row, on the threads of a pool or one after the other.
#ifndef KULLBACK_CPU_SEGMENTS_H
#define KULLBACK_CPU_SEGMENTS_H

#include <algorithm>

#include "softmax_divergence.h"
#include "stop.h"
#include "thread_pool.h"

namespace kullback {

// body(first column, columns) for each segment of a row, on the pool where there is one, until it is to stop.
template <class Body>
void for_each_segment(int64_t columns, ThreadPool* pool, Stop& stop, const Body& body) {
  const auto segment = [&](int64_t index) {
    if (stop.asked()) return;
    const int64_t begin = index * kSegmentColumns;
    body(begin, std::min(kSegmentColumns, columns - begin));
  };
  const int64_t segments = ceil_divide(columns, kSegmentColumns);
  if (pool != nullptr) {
    pool->parallel_for(segments, segment);
  } else {
    for (int64_t index = 0; index < segments; ++index) segment(index);
  }
}

}  // namespace kullback

#endif  // KULLBACK_CPU_SEGMENTS_H
