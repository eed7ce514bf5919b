// The access checker. Knowing the block, warp and barrier interval of every access, it reports races on shared and on
// global memory, reads of what nobody wrote, accesses outside of every array, and host memory touched by a kernel.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "machine.h"
#include "ordering.h"
#include "shadow.h"

namespace kullback::emulator {
namespace {

// An access to a cell, or to an address that has none.
struct Event {
  const Access& access;
  const Stamp& now;
  const Region* region;  // nullptr: outside of all
  const char* address;

  bool reads() const { return access.kind != Access::write; }
  bool writes() const { return access.kind != Access::read; }
  bool atomic() const { return access.kind == Access::atomic; }
};

const char* name_of(Access::Kind kind) {
  switch (kind) {
    case Access::read:
      return "read";
    case Access::write:
      return "write";
    case Access::atomic:
      return "atomic";
  }
  return "?";
}

unsigned thread_in_block(const Stamp& stamp) { return stamp.thread % (blockDim.x * blockDim.y * blockDim.z); }

std::string source_line(const void* pc) {
  Dl_info object{};
  if (dladdr(pc, &object) == 0 || object.dli_fname == nullptr) return "?";
  const auto offset = size_t(static_cast<const char*>(pc) - static_cast<const char*>(object.dli_fbase));
  // The pc is where the call returns to: the line is that of the byte before.
  const std::string command = printed("addr2line -s -e '%s' %zx 2>/dev/null", object.dli_fname, offset - 1);
  FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "?";
  char line[512] = "";
  if (fgets(line, sizeof line, pipe) == nullptr) line[0] = '\0';
  pclose(pipe);
  return std::string(line, strcspn(line, " \n"));
}

std::string place_of(const Event& event) {
  const Region* const region = event.region;
  if (region == nullptr) return printed("address %p", static_cast<const void*>(event.address));
  const std::string offset = region->shared ? printed(" at shared offset %zu", region->offset) : "";
  return printed("%s memory (array of %zu bytes%s) at byte %zu", region->shared ? "shared" : "device", region->bytes,
                 offset.c_str(), size_t(event.address - region->begin));
}

// Neither a known array, nor a stack, nor a constant of the program: host memory handed to a kernel.
bool is_host_memory(const char* address) {
  static uintptr_t program_pages[256];  // pages found to belong to a loaded object
  const uintptr_t page = reinterpret_cast<uintptr_t>(address) >> 12;
  uintptr_t& known_page = program_pages[page % 256];
  if (known_page == page || on_fiber_stack(address)) return false;
  Dl_info object;
  if (dladdr(address, &object) == 0) return true;
  known_page = page;
  return false;
}

bool is_misaligned(const Access& access) {
  const bool power_of_two = (access.size & (access.size - 1)) == 0;
  const size_t alignment = std::min<size_t>(access.size, 16);
  return power_of_two && reinterpret_cast<uintptr_t>(access.address) % alignment != 0;
}

bool in_same_interval(const Stamp& one, const Stamp& other) {
  return one.launch == other.launch && one.warp_epoch == other.warp_epoch && one.block_epoch == other.block_epoch &&
         one.cluster_epoch == other.cluster_epoch;
}

void remember_reader(Cell& cell, const Event& event) {
  const Stamp& now = event.now;
  const Mark& last = cell.reader;
  const bool same_warp = last.pc != nullptr && last.at.warp == now.warp && last.at.launch == now.launch;
  const bool same_epoch = last.at.warp_epoch == now.warp_epoch && last.at.block_epoch == now.block_epoch &&
                          last.at.cluster_epoch == now.cluster_epoch;
  const bool by_others = last.by_several || last.at.thread != now.thread;
  const bool by_several = same_warp && same_epoch && by_others;
  if (!same_warp) cell.other_reader = cell.reader;
  cell.reader = {.at = now, .pc = event.access.pc, .by_several = by_several};
}

class AccessChecker : public Checker {
 public:
  void buffer(const void* address, size_t bytes, bool live) override {
    if (live) {
      shadow_.add_device_memory(address, bytes);
    } else {
      shadow_.remove(address, 1);
    }
  }

  void initialised(const void* address, size_t bytes) override {
    Region* const region = shadow_.find(address);
    if (region == nullptr) return;
    for (Cell& cell : region->cells_of(address, bytes)) {
      cell = Cell{};
      cell.initialised = true;
    }
  }

  void shared_begin(const void* address, size_t bytes, unsigned rank) override {
    if (rank == 0) {
      shared_begin_ = static_cast<const char*>(address);
      shared_end_ = shared_begin_;
    }
    shared_end_ += bytes;
    shadow_.remove(address, bytes);
  }

  void shared_array(const void* address, size_t bytes, size_t offset) override {
    shadow_.add_shared_array(address, bytes, offset);
  }

  void access(const Access& access, const Stamp& now) override {
    if (access.size == 0) return;
    Region* const region = shadow_.find(access.address);
    const Event event{access, now, region, static_cast<const char*>(access.address)};
    if (region == nullptr) {
      check_outside(event);
      return;
    }
    if (!region->shared) count(event);
    check_extent(event);
    const char* cell_address = region->begin + size_t(event.address - region->begin) / kCellBytes * kCellBytes;
    for (Cell& cell : region->cells_of(access.address, access.size)) {
      check(cell, {access, now, region, cell_address});
      cell_address += kCellBytes;
    }
    if (event.atomic()) exchange_knowledge(access.address);
  }

  void in_flight(const Access& destination, const Stamp& now, bool begins) override {
    if (begins) access(destination, now);
    Region* const region = shadow_.find(destination.address);
    if (region == nullptr) return;
    for (Cell& cell : region->cells_of(destination.address, destination.size)) cell.in_flight = begins;
    if (!begins) access(destination, now);
  }

  void fence(const Stamp& now) override {
    ThreadKnowledge& self = knowledge_of_current();
    self.known.add(self.pending);
    self.pending = {};
    self.fenced = self.known;
    self.fenced.add(now);
  }

  // Each then knows what any of them knew.
  void joined(unsigned first_thread, unsigned threads) override {
    const std::span<ThreadKnowledge> group(&threads_[first_thread], threads);
    Knowledge all;
    for (const ThreadKnowledge& thread : group) all.add(thread.known);
    if (all.empty()) return;
    for (ThreadKnowledge& thread : group) thread.known = all;
  }

  void cluster_begin(unsigned threads) override { threads_.assign(threads, {}); }

  void launch_begin() override {
    released_.clear();
    reported_.clear();
    traffic_ = {};
  }

  Traffic traffic() const override { return traffic_; }

 private:
  ThreadKnowledge& knowledge_of_current() { return threads_[thread_in_cluster()]; }

  bool is_ordered(const Mark& then, const Stamp& now) {
    return ordered_by_barriers(then.at, now) || knowledge_of_current().known.covers(then.at);
  }

  bool races_with_writer(const Mark& writer, const Event& event) {
    if (writer.pc == nullptr) return false;
    const bool both_atomic = writer.atomic && event.atomic();
    return !both_atomic && !is_ordered(writer, event.now);
  }

  bool races_with_reader(const Mark& reader, const Event& event) {
    if (reader.pc == nullptr) return false;
    if (!is_ordered(reader, event.now)) return true;
    // The writer's own read hides those of others, which nothing has ordered since.
    return reader.by_several && reader.at.thread == event.now.thread && in_same_interval(reader.at, event.now);
  }

  void check(Cell& cell, const Event& event) {
    if (cell.in_flight) {
      report("an asynchronous copy to this is still in flight", event, &cell.writer, "started");
    }
    const bool written = cell.initialised || cell.writer.pc != nullptr;
    if (event.reads() && !written) report("nobody wrote this", event);
    if (races_with_writer(cell.writer, event)) report("race", event, &cell.writer, "written");
    if (!event.writes()) {
      remember_reader(cell, event);
      return;
    }
    for (const Mark* reader : {&cell.reader, &cell.other_reader}) {
      if (races_with_reader(*reader, event)) report("race", event, reader, "read");
    }
    cell.writer = {.at = event.now, .pc = event.access.pc, .atomic = event.atomic()};
  }

  // Stacks, parameters and constants may be outside.
  void check_outside(const Event& event) {
    const bool in_shared_memory = event.address >= shared_begin_ && event.address < shared_end_;
    if (in_shared_memory) report("outside every shared array", event);
    if (is_host_memory(event.address)) report("not device memory", event);
  }

  void check_extent(const Event& event) {
    if (event.address + event.access.size > event.region->end()) report("runs over the end", event);
    if (is_misaligned(event.access)) report("misaligned", event);
  }

  void count(const Event& event) {
    if (event.reads()) traffic_.read += event.access.size;
    if (event.writes()) traffic_.written += event.access.size;
  }

  void exchange_knowledge(const void* atomic) {
    ThreadKnowledge& self = knowledge_of_current();
    Knowledge& released = released_[atomic];
    self.pending.add(released);
    released.add(self.fenced);
  }

  // `other_did` says what the other access did, as in "; read by block 0".
  void report(const char* what, const Event& event, const Mark* other = nullptr, const char* other_did = "") {
    const void* const other_pc = other == nullptr ? nullptr : other->pc;
    const bool is_new = reported_.insert({event.access.pc, other_pc}).second;
    if (!is_new) return;
    std::string other_access;
    if (other != nullptr) {
      other_access = printed("; %s by block %u thread %u at %s", other_did, other->at.block, thread_in_block(other->at),
                             source_line(other->pc).c_str());
    }
    fail("%s: %s by block %u thread %u at %s on %s%s", what, name_of(event.access.kind), event.now.block,
         thread_in_block(event.now), source_line(event.access.pc).c_str(), place_of(event).c_str(),
         other_access.c_str());
  }

  ShadowMemory shadow_;
  const char* shared_begin_ = nullptr;  // of all blocks of the cluster
  const char* shared_end_ = nullptr;
  std::vector<ThreadKnowledge> threads_;       // of the cluster
  std::map<const void*, Knowledge> released_;  // what threads have handed on, by the atomic
  std::set<std::pair<const void*, const void*>> reported_;
  Traffic traffic_;
};

[[maybe_unused]] const Checker* const installed = checker = new AccessChecker;

}  // namespace
}  // namespace kullback::emulator
