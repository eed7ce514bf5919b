#include "backends.h"

#include <condition_variable>
#include <deque>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "../cpu/backend.h"
#include "../cpu/thread_pool.h"
#include "cuda_library.h"
#include "errors.h"

namespace kullback {
namespace {

// Like the CPU's threads it is never destroyed: a thread that waits when the process ends does no harm.
class DeviceThread {
 public:
  DeviceThread() { std::thread(&DeviceThread::work, this).detach(); }

  void submit(std::function<void()> job) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      jobs_.push_back(std::move(job));
    }
    arrived_.notify_one();
  }

 private:
  void work() {
    for (;;) {
      std::function<void()> job;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        arrived_.wait(lock, [this] { return !jobs_.empty(); });
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
      job();
    }
  }

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::function<void()>> jobs_;
};

DeviceThread& thread_of(int64_t device) {
  static std::mutex mutex;
  static auto* const threads = new std::map<int64_t, DeviceThread*>;
  const std::lock_guard<std::mutex> lock(mutex);
  DeviceThread*& thread = (*threads)[device];
  if (thread == nullptr) thread = new DeviceThread;
  return *thread;
}

}  // namespace

const kullback_backend& backend_for(Napi::Env env, int64_t device) {
  if (device == kCpu) return cpu_backend;
  const kullback_backend* const cuda = cuda_backend();
  if (cuda == nullptr) throw argument_error(env, "the CUDA backend is not loaded");
  return *cuda;
}

void run_beside(int64_t device, std::function<void()> job) {
  if (device == kCpu) {
    ThreadPool::instance().submit(std::move(job));
  } else {
    thread_of(device).submit(std::move(job));
  }
}

void wait_for_device(int64_t device) {
  std::promise<void> done;
  run_beside(device, [&done] { done.set_value(); });
  done.get_future().wait();
}

}  // namespace kullback
