// An operation that runs beside JavaScript, on Kullback's own threads.
//
// Ownership. Node-API cannot pin an array's memory: JavaScript may transfer or resize it at any time. So a job works on
// copies, made on the JavaScript thread before it starts (inputs) and after it ended (outputs); of the host's memory
// threads see only the job's own buffers. A device's memory is used in place, and held until the job has run. A job is
// shared by the thread that runs it, the queue's message, and the function that cancels it.
//
// Ends. A thread delivers its job through the queue's thread-safe function, which the environment destroys when it ends
// (a Worker was terminated), whoever still holds it. So threads reach it through a gate that the environment's cleanup
// hook, which runs first, closes: behind a closed gate a job is dropped where it stands, and nobody waits for it.
#ifndef KULLBACK_ADDON_JOB_H
#define KULLBACK_ADDON_JOB_H

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../abi/kullback_backend.h"
#include "napi_setup.h"

namespace kullback {

class Job {
 public:
  // A buffer of at least `bytes`, aligned for vectors, that lives as long as the job. Throws std::bad_alloc.
  void* allocate(size_t bytes);
  // On success, `bytes` from `from` are copied into `array` on the JavaScript thread.
  void copy_out(Napi::TypedArray array, const void* from, size_t bytes);

  // Something that must live as long as the job.
  void keep(std::shared_ptr<const void> thing) { kept_.push_back(std::move(thing)); }

  void cancel() { cancelled_.store(1, std::memory_order_relaxed); }

  // What the job computes: called once, on a thread of the pool or of the device. Writes *value.
  std::function<kullback_status(const kullback_control* control, double* value)> compute;
  // Who computes: kCpu, or one of CUDA's devices.
  int64_t device = -1;
  const kullback_backend* backend = nullptr;
  // callback(status, value, outputsLost, text) on the JavaScript thread.
  Napi::FunctionReference callback;

 private:
  friend class JobQueue;
  struct Output {
    Napi::Reference<Napi::TypedArray> array;
    const void* from;
    size_t bytes;
  };
  struct Free {
    void operator()(void* memory) const;
  };

  void run();
  bool write_outputs(Napi::Env env);
  void finish(Napi::Env env);
  void abandon();

  std::vector<std::unique_ptr<void, Free>> buffers_;
  std::vector<std::shared_ptr<const void>> kept_;
  std::vector<Output> outputs_;
  std::atomic<int32_t> cancelled_{0};
  kullback_status status_ = KULLBACK_CANCELLED;
  double value_ = 0;
  std::string text_;  // what the backend says of a failure
};

// One a JavaScript environment (main thread or Worker).
class JobQueue {
 public:
  explicit JobQueue(Napi::Env env);
  void submit(Napi::Env env, std::shared_ptr<Job> job);
  // Called when the environment ends: what still runs should stop soon, and must hold nothing of JavaScript's, since
  // its last owner may be a thread of the pool.
  void abandon_all();

 private:
  static void deliver(Napi::Env env, Napi::Function, JobQueue* queue, std::shared_ptr<Job>* message);
  using Channel = Napi::TypedThreadSafeFunction<JobQueue, std::shared_ptr<Job>, &JobQueue::deliver>;
  struct Gate {
    std::mutex mutex;
    bool open = true;
    Channel channel;
  };

  std::shared_ptr<Gate> gate_;
  std::set<std::shared_ptr<Job>> pending_;
};

}  // namespace kullback

#endif  // KULLBACK_ADDON_JOB_H
