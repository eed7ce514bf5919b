// Kullback's own threads: loops over tiles for every operation, and jobs that run beside the caller.
//
// Ownership. One pool a process, made on first use and never destroyed: a worker that waits when the process ends does
// no harm, one that outlives its pool does. The library is linked with -z nodelete for the same reason: a Node worker
// thread that ends must not unmap code that the pool's threads run.
//
// A loop lives on its caller's stack. The caller works on it too, so a loop always ends, even from inside a job and
// even if no thread could be started. Which thread runs which index is left to chance: results must not depend on it.
#ifndef KULLBACK_CPU_THREAD_POOL_H
#define KULLBACK_CPU_THREAD_POOL_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <vector>

namespace kullback {

class ThreadPool {
 public:
  static ThreadPool& instance();

  // 0 before the first set_thread_count: loops then run on their caller alone.
  int thread_count() const { return thread_count_.load(std::memory_order_relaxed); }
  // Takes effect for loops and jobs that start afterwards. count >= 1.
  void set_thread_count(int count);

  // Calls body(index) once for each index in [0, count), on this thread and on at most thread_count() - 1 others.
  // What body throws is rethrown here, after every thread has left the loop.
  void parallel_for(int64_t count, const std::function<void(int64_t)>& body);

  // Runs job on a worker, some time. A job must not throw.
  void submit(std::function<void()> job);

 private:
  struct Loop {
    const std::function<void(int64_t)>* body;
    int64_t count;
    int helpers_wanted;
    std::atomic<int64_t> next{0};
    std::atomic<int> helpers{0};
    std::exception_ptr failure;  // guarded by mutex_
  };

  ThreadPool() = default;
  void start_workers(int count);
  void work(int worker);
  void run(Loop& loop);
  Loop* find_loop();

  std::atomic<int> thread_count_{0};
  // Counts arrivals of work, so that a worker can spin on it before it sleeps.
  std::atomic<uint64_t> arrivals_{0};
  std::mutex mutex_;
  std::condition_variable work_arrived_;
  std::condition_variable helper_left_;
  std::vector<Loop*> loops_;
  std::deque<std::function<void()>> jobs_;
  int workers_ = 0;
  int unfinished_jobs_ = 0;
};

}  // namespace kullback

#endif  // KULLBACK_CPU_THREAD_POOL_H
