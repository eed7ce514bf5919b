#include "job.h"

#include <cstring>
#include <new>
#include <utility>

#include "../cpu/thread_pool.h"

namespace kullback {
namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

void Job::Free::operator()(void* memory) const { ::operator delete(memory, kAlignment); }

void* Job::allocate(size_t bytes) {
  buffers_.emplace_back(::operator new(bytes, kAlignment));
  return buffers_.back().get();
}

void Job::copy_out(Napi::TypedArray array, const void* from, size_t bytes) {
  outputs_.push_back({Napi::Persistent(array), from, bytes});
}

void Job::run() {
  const kullback_control control = {
      this,
      [](void* job) { return static_cast<Job*>(job)->cancelled_.load(std::memory_order_relaxed); },
  };
  if (cancelled_.load(std::memory_order_relaxed) == 0) status_ = compute(&control, &value_);
}

void Job::finish(Napi::Env env) {
  // An output may have been detached or shrunk meanwhile: then there is nowhere to write to, and the caller hears it.
  bool outputs_lost = false;
  // cancel() is called on this thread too: once it was, nothing is written, however far the job had come.
  if (cancelled_.load(std::memory_order_relaxed) != 0) status_ = KULLBACK_CANCELLED;
  if (status_ == KULLBACK_OK) {
    for (Output& output : outputs_) {
      const Napi::TypedArray array = output.array.Value();
      void* data = nullptr;
      size_t length = 0;
      napi_typedarray_type type;
      napi_get_typedarray_info(env, array, &type, &length, &data, nullptr, nullptr);
      if (length * array.ElementSize() < output.bytes || (data == nullptr && output.bytes > 0)) {
        outputs_lost = true;
      } else if (output.bytes > 0) {
        std::memcpy(data, output.from, output.bytes);
      }
    }
  }
  outputs_.clear();
  buffers_.clear();
  const Napi::FunctionReference done = std::move(callback);
  done.Call({Napi::Number::New(env, status_), Napi::Number::New(env, value_), Napi::Boolean::New(env, outputs_lost)});
}

void Job::abandon() {
  cancel();
  callback.Reset();
  outputs_.clear();
}

JobQueue::JobQueue(Napi::Env env) : channel_(Channel::New(env, "kullback", 0, 1, this)) { channel_.Unref(env); }

void JobQueue::submit(Napi::Env env, std::shared_ptr<Job> job) {
  if (pending_.empty()) channel_.Ref(env);
  pending_.insert(job);
  channel_.Acquire();
  ThreadPool::instance().submit([channel = channel_, job]() mutable {
    job->run();
    auto* message = new std::shared_ptr<Job>(std::move(job));
    const napi_status status = channel.NonBlockingCall(message);
    if (status != napi_ok) delete message;
    // A call that finds the environment closing has given up this thread's hold on the channel already.
    if (status != napi_closing) channel.Release();
  });
}

void JobQueue::abandon_all() {
  for (const std::shared_ptr<Job>& job : pending_) job->abandon();
  pending_.clear();
}

void JobQueue::deliver(Napi::Env env, Napi::Function, JobQueue* queue, std::shared_ptr<Job>* message) {
  const std::shared_ptr<Job> job = std::move(*message);
  delete message;
  if (static_cast<napi_env>(env) == nullptr) return;
  queue->pending_.erase(job);
  if (queue->pending_.empty()) queue->channel_.Unref(env);
  job->finish(env);
}

}  // namespace kullback
