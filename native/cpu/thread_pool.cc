#include "thread_pool.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <thread>

namespace kullback {
namespace {

// A call from a training loop is often followed by the next within microseconds, while waking a sleeping thread
// takes tens of them.
constexpr std::chrono::microseconds kSpin{30};

template <class Condition>
void spin_until(const Condition& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  while (!condition() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
}

}  // namespace

ThreadPool& ThreadPool::instance() {
  static ThreadPool* const pool = new ThreadPool;
  return *pool;
}

void ThreadPool::set_thread_count(int count) {
  {
    // Under the lock, or a worker that has just looked would sleep through the news.
    const std::lock_guard<std::mutex> lock(mutex_);
    thread_count_.store(count, std::memory_order_relaxed);
  }
  work_arrived_.notify_all();
}

// Called with mutex_ held. Fewer threads than wanted is no error: callers do their own work.
void ThreadPool::start_workers(int count) {
  try {
    while (workers_ < count) {
      std::thread(&ThreadPool::work, this, workers_).detach();
      ++workers_;
    }
  } catch (const std::system_error&) {
  }
}

void ThreadPool::run(Loop& loop) {
  try {
    for (int64_t i; (i = loop.next.fetch_add(1, std::memory_order_relaxed)) < loop.count;) (*loop.body)(i);
  } catch (...) {
    loop.next.store(loop.count, std::memory_order_relaxed);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!loop.failure) loop.failure = std::current_exception();
  }
}

void ThreadPool::parallel_for(int64_t count, const std::function<void(int64_t)>& body) {
  const int helpers = static_cast<int>(std::min<int64_t>(thread_count(), count)) - 1;
  if (helpers <= 0) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  Loop loop;
  loop.body = &body;
  loop.count = count;
  loop.helpers_wanted = helpers;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    start_workers(helpers);
    loops_.push_back(&loop);
    arrivals_.fetch_add(1, std::memory_order_release);
  }
  work_arrived_.notify_all();
  run(loop);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    loops_.erase(std::find(loops_.begin(), loops_.end(), &loop));  // nobody joins from here on
  }
  spin_until([&] { return loop.helpers.load(std::memory_order_acquire) == 0; });
  std::unique_lock<std::mutex> lock(mutex_);
  helper_left_.wait(lock, [&] { return loop.helpers.load(std::memory_order_acquire) == 0; });
  if (loop.failure) std::rethrow_exception(loop.failure);
}

void ThreadPool::submit(std::function<void()> job) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    // One for each job that runs or waits; loops inside of them start their own.
    ++unfinished_jobs_;
    start_workers(std::min(std::max(1, thread_count()), unfinished_jobs_));
    if (workers_ > 0) {
      jobs_.push_back(std::move(job));
      arrivals_.fetch_add(1, std::memory_order_release);
      job = nullptr;
    }
  }
  // All, since the one that wakes might be a worker too many.
  work_arrived_.notify_all();
  if (job) job();  // no thread could be started at all
}

// Called with mutex_ held.
ThreadPool::Loop* ThreadPool::find_loop() {
  for (Loop* loop : loops_) {
    const bool unfinished = loop->next.load(std::memory_order_relaxed) < loop->count;
    if (unfinished && loop->helpers.load(std::memory_order_relaxed) < loop->helpers_wanted) return loop;
  }
  return nullptr;
}

void ThreadPool::work(int worker) {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    Loop* loop = nullptr;
    const auto arrived = [&] {
      if (worker >= std::max(1, thread_count())) return false;  // one too many since set_thread_count
      loop = find_loop();
      return loop != nullptr || !jobs_.empty();
    };
    if (!arrived()) {
      const uint64_t seen = arrivals_.load(std::memory_order_acquire);
      lock.unlock();
      spin_until([&] { return arrivals_.load(std::memory_order_acquire) != seen; });
      lock.lock();
      work_arrived_.wait(lock, arrived);
    }
    if (loop != nullptr) {
      loop->helpers.fetch_add(1, std::memory_order_relaxed);
      lock.unlock();
      run(*loop);
      lock.lock();
      loop->helpers.fetch_sub(1, std::memory_order_release);
      helper_left_.notify_all();
    } else {
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      lock.lock();
      --unfinished_jobs_;
    }
  }
}

}  // namespace kullback
