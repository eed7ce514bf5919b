#include "job.h"

#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include "backends.h"
#include "errors.h"
#include "pages.h"

namespace kullback {
namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

void Job::Free::operator()(void* memory) const { ::operator delete(memory, kAlignment); }

void* Job::allocate(size_t bytes) {
  buffers_.emplace_back(::operator new(bytes, kAlignment));
  void* const memory = buffers_.back().get();
  expect_writes(memory, bytes);
  return memory;
}

void Job::copy_out(Napi::TypedArray array, const void* from, size_t bytes) {
  outputs_.push_back({Napi::Persistent(array), from, bytes});
}

void Job::run() {
  const kullback_control control = {
      this,
      [](void* job) { return static_cast<Job*>(job)->cancelled_.load(std::memory_order_relaxed); },
  };
  if (cancelled_.load(std::memory_order_relaxed) == 0) {
    status_ = compute(&control, &value_);
    // Here, since it is this thread's.
    if (status_ != KULLBACK_OK) text_ = backend->last_error();
  }
  // Whoever waits for this thread may do so for the memory that these hold.
  compute = nullptr;
  kept_.clear();
}

// False, with nothing written, where an output was detached or shrunk meanwhile: the caller hears of it.
bool Job::write_outputs(Napi::Env env) {
  std::vector<void*> targets;
  for (const Output& output : outputs_) {
    const Napi::TypedArray array = output.array.Value();
    void* data = nullptr;
    size_t length = 0;
    napi_get_typedarray_info(env, array, nullptr, &length, &data, nullptr, nullptr);
    if (length * array.ElementSize() < output.bytes) return false;
    targets.push_back(data);
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    if (outputs_[i].bytes > 0) std::memcpy(targets[i], outputs_[i].from, outputs_[i].bytes);
  }
  return true;
}

void Job::finish(Napi::Env env) {
  if (callback.IsEmpty()) return;  // abandoned
  // cancel() is called on this thread too: once it was, nothing is written, however far the job had come.
  if (cancelled_.load(std::memory_order_relaxed) != 0) status_ = KULLBACK_CANCELLED;
  const bool outputs_lost = status_ == KULLBACK_OK && !write_outputs(env);
  outputs_.clear();
  buffers_.clear();
  const Napi::FunctionReference done = std::move(callback);
  done.Call({Napi::Number::New(env, status_), Napi::Number::New(env, value_), Napi::Boolean::New(env, outputs_lost),
             Napi::String::New(env, text_)});
}

void Job::abandon() {
  cancel();
  callback.Reset();
  outputs_.clear();
}

JobQueue::JobQueue(Napi::Env env) : gate_(std::make_shared<Gate>()) {
  gate_->channel = Channel::New(env, "kullback", 0, 1, this);
  gate_->channel.Unref(env);
}

void JobQueue::submit(Napi::Env env, std::shared_ptr<Job> job) {
  auto run = [gate = gate_, job]() mutable {
    job->run();
    auto message = std::make_unique<std::shared_ptr<Job>>(std::move(job));
    const std::lock_guard<std::mutex> lock(gate->mutex);
    if (gate->open && gate->channel.NonBlockingCall(message.get()) == napi_ok) message.release();
  };
  if (pending_.empty()) gate_->channel.Ref(env);
  pending_.insert(job);
  try {
    run_beside(job->device, run);
  } catch (const std::system_error& error) {
    pending_.erase(job);
    if (pending_.empty()) gate_->channel.Unref(env);
    job->abandon();
    throw coded_error(env, "ERR_KULLBACK_OUT_OF_MEMORY", std::string("no thread could be started: ") + error.what());
  }
}

void JobQueue::abandon_all() {
  {
    const std::lock_guard<std::mutex> lock(gate_->mutex);
    gate_->open = false;
  }
  for (const std::shared_ptr<Job>& job : pending_) job->abandon();
  pending_.clear();
}

void JobQueue::deliver(Napi::Env env, Napi::Function, JobQueue* queue, std::shared_ptr<Job>* message) {
  const std::unique_ptr<std::shared_ptr<Job>> owned(message);
  const std::shared_ptr<Job> job = std::move(*owned);
  if (static_cast<napi_env>(env) == nullptr) return;
  queue->pending_.erase(job);
  if (queue->pending_.empty()) queue->gate_->channel.Unref(env);
  job->finish(env);
}

}  // namespace kullback
