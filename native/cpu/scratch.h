// Scratch memory of one thread: grows as needed, aligned for vectors, kept for the next call unless it is very large.
#ifndef KULLBACK_CPU_SCRATCH_H
#define KULLBACK_CPU_SCRATCH_H

#include <cstddef>
#include <cstdint>
#include <new>

namespace kullback {

class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { release(); }

  // Room for `count` elements; what the previous call returned is lost. Throws std::bad_alloc.
  template <class T>
  T* reserve(int64_t count) {
    const size_t bytes = static_cast<size_t>(count) * sizeof(T);
    if (bytes > capacity_) {
      release();
      memory_ = ::operator new(bytes, std::align_val_t{kAlignment});
      capacity_ = bytes;
    }
    return static_cast<T*>(memory_);
  }

  // Gives memory back to the system if it is more than a thread should hold on to between calls.
  void trim() {
    if (capacity_ > kKept) release();
  }

 private:
  static constexpr size_t kAlignment = 64;
  static constexpr size_t kKept = size_t{8} << 20;

  void release() {
    ::operator delete(memory_, std::align_val_t{kAlignment});
    memory_ = nullptr;
    capacity_ = 0;
  }

  void* memory_ = nullptr;
  size_t capacity_ = 0;
};

}  // namespace kullback

#endif  // KULLBACK_CPU_SCRATCH_H
