// How a kernel's failure is told: in what words, and by which threads.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <utility>

#include "machine.h"

namespace kullback::emulator {
namespace {

std::string print(const char* format, va_list arguments) {
  va_list measured;
  va_copy(measured, arguments);
  std::string text(size_t(vsnprintf(nullptr, 0, format, measured)), '\0');
  va_end(measured);
  vsnprintf(text.data(), text.size() + 1, format, arguments);
  return text;
}

const char* name_of(State state) {
  switch (state) {
    case State::running:
      return "running";
    case State::at_collective:
      return "a warp collective";
    case State::at_block_barrier:
      return "__syncthreads";
    case State::at_cluster_barrier:
      return "cluster wait";
    case State::sleeping:
      return "__nanosleep";
    case State::exited:
      return "exited";
  }
  return "?";
}

std::string name_of(const Thread& thread) {
  const uint3& block = thread.block->index;
  return printed("block (%u,%u,%u) thread (%u,%u,%u)", block.x, block.y, block.z, thread.index.x, thread.index.y,
                 thread.index.z);
}

std::string whereabouts(const Thread& thread) {
  if (thread.state == State::exited) return name_of(thread.state);
  return printed("at %s, %s:%d", name_of(thread.state), thread.file, thread.line);
}

}  // namespace

std::string printed(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::string text = print(format, arguments);
  va_end(arguments);
  return text;
}

std::string describe_waiters() {
  struct Group {
    unsigned threads = 0;
    std::string first;
  };
  std::map<std::string, Group> groups;
  for (const Block& block : machine.blocks) {
    const Thread* const threads = &machine.threads[block.rank * machine.warps_per_block * kWarpSize];
    for (unsigned i = 0; i < machine.threads_per_block; ++i) {
      Group& group = groups[whereabouts(threads[i])];
      if (group.threads == 0) group.first = name_of(threads[i]);
      ++group.threads;
    }
  }
  std::string all;
  for (const auto& [place, group] : groups) {
    all += "\n  " + std::to_string(group.threads) + " thread(s) " + place + ", first " + group.first;
  }
  return all;
}

void note_failure(std::string error) {
  machine.error = std::move(error);
  machine.failed = true;
}

void fail(const char* format, ...) {
  // Kept where it is destroyed some day: a fiber that leaves its cluster never returns.
  va_list arguments;
  va_start(arguments, format);
  machine.error = print(format, arguments);
  va_end(arguments);
  if (!in_kernel()) throw Error(machine.error);
  note_failure(machine.error + " [" + name_of(*machine.current) + "]");
  leave_cluster();
  abort();
}

}  // namespace kullback::emulator
