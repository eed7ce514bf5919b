// Shadow memory: for every two bytes of each array that kernels may touch, who wrote and who read them last.
#ifndef KULLBACK_EMULATOR_SHADOW_H
#define KULLBACK_EMULATOR_SHADOW_H

#include <algorithm>
#include <iterator>
#include <map>
#include <span>
#include <vector>

#include "emulator.h"

namespace kullback::emulator {

constexpr size_t kCellBytes = 2;  // the smallest element type

// An access that a cell remembers.
struct Mark {
  Stamp at{};
  const void* pc = nullptr;  // none: there was no such access
  bool atomic = false;       // of a writer
  bool by_several = false;   // of a reader: others of its warp have read in the same interval
};

struct Cell {
  Mark writer, reader;
  Mark other_reader;         // the last one of another warp than the reader's
  bool initialised = false;  // from outside of kernels
  bool in_flight = false;    // an asynchronous copy will write it
};

// An array of shared memory, or an allocation of device memory.
struct Region {
  const char* begin = nullptr;
  size_t bytes = 0;
  bool shared = false;
  size_t offset = 0;  // of a shared array, on the GPU
  std::vector<Cell> cells;

  const char* end() const { return begin + bytes; }
  bool contains(const char* address) const { return address >= begin && address < end(); }

  // Those of `count` bytes from an address of the region, as far as the region goes.
  std::span<Cell> cells_of(const void* address, size_t count) {
    const auto first_byte = size_t(static_cast<const char*>(address) - begin);
    const size_t first = first_byte / kCellBytes;
    const size_t last = std::min((first_byte + count + kCellBytes - 1) / kCellBytes, cells.size());
    return {cells.data() + first, last - first};
  }
};

class ShadowMemory {
 public:
  Region* find(const void* address) {
    const auto* const byte = static_cast<const char*>(address);
    if (last_found_ != nullptr && last_found_->contains(byte)) return last_found_;
    auto next = regions_.upper_bound(byte);
    if (next == regions_.begin()) return nullptr;
    Region& region = std::prev(next)->second;
    if (!region.contains(byte)) return nullptr;
    last_found_ = &region;
    return last_found_;
  }

  void add_device_memory(const void* address, size_t bytes) { add(address, bytes); }

  void add_shared_array(const void* address, size_t bytes, size_t offset) {
    Region& region = add(address, bytes);
    region.shared = true;
    region.offset = offset;
  }

  // The regions that begin in those bytes.
  void remove(const void* address, size_t bytes) {
    const auto* const begin = static_cast<const char*>(address);
    regions_.erase(regions_.lower_bound(begin), regions_.lower_bound(begin + bytes));
    last_found_ = nullptr;
  }

 private:
  Region& add(const void* address, size_t bytes) {
    const auto* const begin = static_cast<const char*>(address);
    const size_t cells = (bytes + kCellBytes - 1) / kCellBytes;
    last_found_ = nullptr;
    Region& region = regions_[begin];
    region = {.begin = begin, .bytes = bytes, .cells = std::vector<Cell>(cells)};
    return region;
  }

  std::map<const char*, Region> regions_;  // by where they begin
  Region* last_found_ = nullptr;
};

}  // namespace kullback::emulator

#endif  // KULLBACK_EMULATOR_SHADOW_H
