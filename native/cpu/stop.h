// Stop: whether the caller of an operation has asked for it to end.
#ifndef KULLBACK_CPU_STOP_H
#define KULLBACK_CPU_STOP_H

#include <atomic>

#include "../abi/kullback_backend.h"

namespace kullback {

class Stop {
 public:
  explicit Stop(const kullback_control* control) : control_(control) {}
  // Once true it stays so.
  bool asked() {
    if (control_ == nullptr) return false;
    if (!asked_.load(std::memory_order_relaxed) && control_->cancelled(control_->context) != 0) {
      asked_.store(true, std::memory_order_relaxed);
    }
    return asked_.load(std::memory_order_relaxed);
  }

 private:
  const kullback_control* control_;
  std::atomic<bool> asked_{false};
};

}  // namespace kullback

#endif  // KULLBACK_CPU_STOP_H
