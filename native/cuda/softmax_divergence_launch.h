// What the dispatchers of softmax_divergence share: how rows come to the device, and who takes them there.
#ifndef KULLBACK_CUDA_SOFTMAX_DIVERGENCE_LAUNCH_H
#define KULLBACK_CUDA_SOFTMAX_DIVERGENCE_LAUNCH_H

#include <algorithm>
#include <vector>

#include "context.h"
#include "softmax_row.cuh"
#include "staging.h"

namespace kullback {

// Of the host's rows, what is on its way at a time: twice that is on the device.
constexpr size_t kSlotBytes = size_t{32} << 20;
// Of rows that are on the device already, what one launch takes: the call hears of an abort between two.
constexpr int64_t kLaunchElements = int64_t{1} << 31;
constexpr int64_t kMostBlocks = (int64_t{1} << 31) - 1;

inline size_t row_bytes(const kullback_softmax_divergence_request& request, int64_t stride) {
  return static_cast<size_t>(stride * element_bytes(request.dtype));
}

// launch(slot, first row, rows) for all rows, as many at a time as the slots hold.
template <class Launch>
kullback_status run_softmax_rows(Device& device, const kullback_softmax_divergence_request& request,
                                 RowStaging& staging, int64_t rows, const kullback_control* control,
                                 const Launch& launch) {
  const int64_t rows_of_launch = std::max<int64_t>(1, kLaunchElements / request.columns);
  return run_in_slots(device, staging, rows, rows_of_launch, kSlotBytes, control, "computing softmax_divergence",
                      launch);
}

// A kernel's look at the teacher, before anything is written: launch(slot, rows, where) for rows whose arrays on the
// device are `where`. KULLBACK_BAD_VALUES where it calls any improper.
struct TeacherRows {
  const void* numbers;
  const int32_t* ids;
  const uint8_t* row_mask;
  uint32_t* improper;
};
template <class Launch>
kullback_status check_teacher(Device& device, const kullback_softmax_divergence_request& request,
                              const kullback_control* control, const Launch& launch) {
  const bool on_host = request.on_device == 0, one_row = request.one_teacher != 0;
  const int64_t all_rows = one_row ? std::min<int64_t>(1, request.rows) : request.rows;
  const size_t bytes = row_bytes(request, request.teacher_stride);
  std::vector<uint32_t> improper(static_cast<size_t>(all_rows));
  RowStaging staging;
  const size_t numbers = staging.input(on_host ? request.teacher : nullptr, bytes);
  const size_t ids = staging.input(request.teacher_ids, static_cast<size_t>(request.teacher_stride) * sizeof(int32_t));
  const size_t mask = staging.input(one_row ? nullptr : request.row_mask, 1);
  const size_t result = staging.output(improper.data(), sizeof(uint32_t));
  const kullback_status status =
      run_softmax_rows(device, request, staging, all_rows, control, [&](const Slot& slot, int64_t first, int64_t rows) {
        const char* const there = static_cast<const char*>(request.teacher) + static_cast<size_t>(first) * bytes;
        launch(
            slot, rows,
            TeacherRows{on_host ? staging.at<const void>(slot, numbers) : there, staging.at<const int32_t>(slot, ids),
                        staging.at<const uint8_t>(slot, mask), staging.at<uint32_t>(slot, result)});
      });
  if (status != KULLBACK_OK) return status;
  const bool proper = std::find(improper.begin(), improper.end(), 1u) == improper.end();
  return proper ? KULLBACK_OK : KULLBACK_BAD_VALUES;
}

template <class T>
bool whole_vectors(const SoftmaxSide<T>& side, int64_t element_bytes) {
  const auto aligned = [&](const void* memory) {
    return reinterpret_cast<uintptr_t>(memory) % (kVector<T> * static_cast<size_t>(element_bytes)) == 0;
  };
  return aligned(side.numbers) && aligned(side.gradient) && aligned(side.held) && side.stride % kVector<T> == 0;
}

// The kernel that is for the arguments' divergence and columns.
void launch_softmax_divergence(Device& device, cudaStream_t stream,
                               const SoftmaxDivergenceArguments<double>& arguments);

// Where the teacher names some columns.
template <class T>
kullback_status softmax_divergence_top_k(const kullback_softmax_divergence_request& request,
                                         const kullback_control* control, Device& device);

}  // namespace kullback

#endif  // KULLBACK_CUDA_SOFTMAX_DIVERGENCE_LAUNCH_H
