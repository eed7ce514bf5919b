// RowStaging: the host's arrays of an operation, each with some bytes a row, or shared by all rows, on their way to the
// device and back, a range of rows at a time. In a slot all inputs lie in front of all outputs, so that each direction
// is one copy.
#ifndef KULLBACK_CUDA_STAGING_H
#define KULLBACK_CUDA_STAGING_H

#include <algorithm>
#include <cstring>
#include <vector>

#include "context.h"

namespace kullback {

// A part of an operation's working memory, which is counted first and handed out afterwards, 256 bytes aligned.
class MemoryPlan {
 public:
  size_t add(size_t bytes) {
    const size_t offset = bytes_;
    bytes_ = (bytes_ + bytes + 255) / 256 * 256;
    return offset;
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

class RowStaging {
 public:
  // Both return what at() wants. All inputs come before the first output. A NULL array is none.
  size_t input(const void* host, size_t row_bytes) { return add({host, nullptr, row_bytes, 0, false}); }
  size_t output(void* host, size_t row_bytes) { return add({nullptr, host, row_bytes, 0, false}); }
  // An input that all rows share.
  size_t shared_input(const void* host, size_t bytes) { return add({host, nullptr, bytes, 0, true}); }
  // Memory of the device's alone, which comes after the last output.
  size_t scratch(size_t row_bytes) { return add({nullptr, nullptr, row_bytes, 0, false, true}); }

  // Lays out slots for `rows` rows at a time: as many as `slot_bytes` hold, at least one. Returns their number.
  int64_t plan(int64_t rows, size_t slot_bytes) {
    size_t row_bytes = 1;
    for (const Array& array : arrays_) row_bytes += array.used() && !array.shared ? array.row_bytes : 0;
    const int64_t fitting = static_cast<int64_t>(slot_bytes / row_bytes);
    const int64_t rows_at_once = std::max<int64_t>(1, std::min(rows, fitting));
    MemoryPlan memory;
    for (Array& array : arrays_) {
      if (array.output != nullptr && outputs_begin_ == kNone) outputs_begin_ = memory.bytes();
      if (array.scratch && scratch_begin_ == kNone) scratch_begin_ = memory.bytes();
      if (array.used()) array.offset = memory.add(array.bytes(rows_at_once));
    }
    bytes_ = memory.bytes();
    if (scratch_begin_ == kNone) scratch_begin_ = bytes_;
    if (outputs_begin_ == kNone) outputs_begin_ = scratch_begin_;
    return rows_at_once;
  }
  size_t bytes() const { return bytes_; }

  // Where an array's rows are on the device; NULL for none.
  template <class T>
  T* at(const Slot& slot, size_t array) const {
    return arrays_[array].used() ? reinterpret_cast<T*>(slot.device + arrays_[array].offset) : nullptr;
  }

  void send(const Slot& slot, int64_t first, int64_t rows) const {
    for (const Array& array : arrays_) {
      if (array.input == nullptr) continue;
      const size_t begin = array.shared ? 0 : static_cast<size_t>(first) * array.row_bytes;
      std::memcpy(slot.host + array.offset, static_cast<const char*>(array.input) + begin, array.bytes(rows));
    }
    if (outputs_begin_ == 0) return;
    check(cudaMemcpyAsync(slot.device, slot.host, outputs_begin_, cudaMemcpyHostToDevice, slot.stream),
          "copying to the device");
  }

  void fetch(const Slot& slot) const {
    if (outputs_begin_ == scratch_begin_) return;
    check(cudaMemcpyAsync(slot.host + outputs_begin_, slot.device + outputs_begin_, scratch_begin_ - outputs_begin_,
                          cudaMemcpyDeviceToHost, slot.stream),
          "copying from the device");
  }

  // Once the slot's stream has been waited for.
  void deliver(const Slot& slot, int64_t first, int64_t rows) const {
    for (const Array& array : arrays_) {
      if (array.output == nullptr) continue;
      auto* const to = static_cast<char*>(array.output) + static_cast<size_t>(first) * array.row_bytes;
      std::memcpy(to, slot.host + array.offset, static_cast<size_t>(rows) * array.row_bytes);
    }
  }

 private:
  static constexpr size_t kNone = ~size_t{0};
  struct Array {
    const void* input;
    void* output;
    size_t row_bytes, offset;
    bool shared, scratch = false;
    size_t bytes(int64_t rows) const { return shared ? row_bytes : row_bytes * static_cast<size_t>(rows); }
    bool used() const { return input != nullptr || output != nullptr || scratch; }
  };
  size_t add(const Array& array) {
    arrays_.push_back(array);
    return arrays_.size() - 1;
  }

  std::vector<Array> arrays_;
  size_t outputs_begin_ = kNone, scratch_begin_ = kNone, bytes_ = 0;
};

// Takes `rows` rows through the device's slots, at most `rows_of_launch` at a time, so that copies run beside kernels:
// launch(slot, first row, rows). The call hears of an abort between two launches and while it waits for one. `what` was
// being done, should it fail.
template <class Launch>
kullback_status run_in_slots(Device& device, RowStaging& staging, int64_t rows, int64_t rows_of_launch,
                             size_t slot_bytes, const kullback_control* control, const char* what,
                             const Launch& launch) {
  const int64_t rows_at_once = staging.plan(std::min(rows, rows_of_launch), slot_bytes);
  struct Pending {
    int64_t first = 0, rows = 0;
  } pending[Device::kSlots];
  bool aborted = false;
  const auto finish = [&](unsigned index) {
    if (pending[index].rows == 0) return;
    const Slot& slot = device.slot(index, staging.bytes());
    aborted = wait(slot, aborted ? nullptr : control, what) || aborted;
    if (!aborted) staging.deliver(slot, pending[index].first, pending[index].rows);
    pending[index].rows = 0;
  };
  unsigned index = 0;
  for (int64_t first = 0; first < rows; first += rows_at_once, index = (index + 1) % Device::kSlots) {
    finish(index);
    aborted = aborted || (control != nullptr && control->cancelled(control->context) != 0);
    if (aborted) break;
    const int64_t rows_now = std::min(rows_at_once, rows - first);
    const Slot& slot = device.slot(index, staging.bytes());
    staging.send(slot, first, rows_now);
    launch(slot, first, rows_now);
    staging.fetch(slot);
    record(slot, what);
    pending[index] = {first, rows_now};
  }
  for (unsigned i = 0; i < Device::kSlots; ++i) finish((index + i) % Device::kSlots);
  return aborted ? KULLBACK_CANCELLED : KULLBACK_OK;
}

}  // namespace kullback

#endif  // KULLBACK_CUDA_STAGING_H
