// The access checker. Kernels are compiled with -fsanitize=thread but linked without its run-time library: the compiler
// then calls the functions below at every load and store that is not a provably private local, and this file decides
// what they mean. Knowing the block, warp and barrier interval of every access, it reports
//   - races on shared memory (block, warp and cluster scope) and on global memory (between blocks of one launch),
//   - reads of shared or device memory that nobody wrote,
//   - accesses outside every array, and host memory touched by a kernel.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>

#include "emulator.h"

namespace kullback::emulator {

namespace {

constexpr size_t kGrain = 2;  // bytes per shadow cell: the smallest element type

struct Mark {
  Stamp at{};
  const void* pc = nullptr;
  bool many = false, atomic = false;
};
struct Cell {
  Mark writer, reader, other_reader;
  bool initialised = false;
  const void* in_flight = nullptr;
};

// What a thread knows to have happened through fences, and atomics: everything of a thread up to a serial,
// everything of a block, warp or cluster before an epoch.
struct Knowledge {
  std::map<uint32_t, uint32_t> threads, blocks, warps, clusters;
  void raise(std::map<uint32_t, uint32_t>& m, uint32_t key, uint32_t value) {
    auto& v = m.emplace(key, value).first->second;
    v = std::max(v, value);
  }
  void add(const Knowledge& o) {
    for (auto [k, v] : o.threads) raise(threads, k, v);
    for (auto [k, v] : o.blocks) raise(blocks, k, v);
    for (auto [k, v] : o.warps) raise(warps, k, v);
    for (auto [k, v] : o.clusters) raise(clusters, k, v);
  }
  void add(const Stamp& s) {
    raise(threads, s.thread, s.serial + 1);
    raise(blocks, s.block, s.block_epoch);
    raise(warps, s.warp, s.warp_epoch);
    raise(clusters, s.cluster, s.cluster_epoch);
  }
  static bool above(const std::map<uint32_t, uint32_t>& m, uint32_t key, uint32_t value) {
    auto it = m.find(key);
    return it != m.end() && it->second > value;
  }
  bool covers(const Stamp& s) const {
    return above(threads, s.thread, s.serial) || above(blocks, s.block, s.block_epoch) ||
           above(warps, s.warp, s.warp_epoch) || above(clusters, s.cluster, s.cluster_epoch);
  }
  bool empty() const { return threads.empty(); }
};
struct ThreadKnowledge {
  Knowledge known, fenced, pending;
};

struct Region {
  const char* begin = nullptr;
  size_t bytes = 0;
  std::vector<Cell> cells;
  bool shared = false;
  unsigned rank = 0;
  size_t offset = 0;
};

std::string source_line(const void* pc) {
  Dl_info info{};
  char command[512], line[512] = "?";
  if (!dladdr(pc, &info) || !info.dli_fname) return "?";
  snprintf(command, sizeof command, "addr2line -s -e '%s' %zx 2>/dev/null", info.dli_fname,
           size_t(static_cast<const char*>(pc) - static_cast<const char*>(info.dli_fbase) - 1));
  if (FILE* pipe = popen(command, "r")) {
    if (!fgets(line, sizeof line, pipe)) line[0] = 0;
    pclose(pipe);
  }
  line[strcspn(line, " \n")] = 0;
  return line;
}

bool before(const Stamp& then, const Stamp& now) {  // is `then` ordered before `now`?
  return then.thread == now.thread || then.launch != now.launch ||
         (then.cluster == now.cluster && then.cluster_epoch < now.cluster_epoch) ||
         (then.block == now.block && then.block_epoch < now.block_epoch) ||
         (then.warp == now.warp && then.warp_epoch < now.warp_epoch);
}

struct AccessChecker : Checker {
  std::vector<ThreadKnowledge> threads;      // of the running cluster
  std::map<const void*, Knowledge> objects;  // what was released on an atomic
  std::map<const char*, Region> regions;     // by begin: device buffers and the live shared arrays
  Region* cached = nullptr;
  std::set<std::pair<const void*, const void*>> reported;
  const char* shared_base = nullptr;
  size_t shared_span = 0;
  Traffic moved;

  AccessChecker() { checker = this; }

  Region* find(const void* address) {
    auto* at = static_cast<const char*>(address);
    if (cached && at >= cached->begin && at < cached->begin + cached->bytes) return cached;
    auto it = regions.upper_bound(at);
    if (it == regions.begin()) return nullptr;
    --it;
    return at < it->second.begin + it->second.bytes ? cached = &it->second : nullptr;
  }
  void add(const void* address, size_t bytes, bool shared, unsigned rank, size_t offset) {
    Region& r = regions[static_cast<const char*>(address)];
    r.begin = static_cast<const char*>(address);
    r.bytes = bytes;
    r.cells.assign((bytes + kGrain - 1) / kGrain, Cell{});
    r.shared = shared;
    r.rank = rank;
    r.offset = offset;
    cached = nullptr;
  }
  void buffer(const void* address, size_t bytes, bool live) override {
    if (live)
      add(address, bytes, false, 0, 0);
    else {
      regions.erase(static_cast<const char*>(address));
      cached = nullptr;
    }
  }
  void initialised(const void* address, size_t bytes) override {
    Region* r = find(address);
    if (!r) return;
    size_t first = size_t(static_cast<const char*>(address) - r->begin);
    for (size_t i = first / kGrain; i < (first + bytes + kGrain - 1) / kGrain && i < r->cells.size(); ++i)
      r->cells[i] = Cell{}, r->cells[i].initialised = true;
  }
  void shared_begin(const void* address, size_t bytes, unsigned rank) override {
    auto* begin = static_cast<const char*>(address);
    if (rank == 0) {
      shared_base = begin;
      shared_span = 0;
    }
    shared_span += bytes;
    for (auto it = regions.lower_bound(begin); it != regions.end() && it->first < begin + bytes;)
      it = regions.erase(it);
    cached = nullptr;
  }
  void shared_array(const void* address, size_t bytes, unsigned rank, size_t offset) override {
    add(address, bytes, true, rank, offset);
  }

  std::string where(const Region* r, const void* address) {
    char text[128];
    if (!r)
      snprintf(text, sizeof text, "address %p", address);
    else
      snprintf(text, sizeof text, "%s memory (array of %zu bytes%s) at byte %zu", r->shared ? "shared" : "device",
               r->bytes, r->shared ? (" at shared offset " + std::to_string(r->offset)).c_str() : "",
               size_t(static_cast<const char*>(address) - r->begin));
    return text;
  }
  void report(const char* what, const Region* r, const void* address, const Access& a, const Stamp& now,
              const Mark* other, const char* other_is) {
    if (!reported.insert({a.pc, other ? other->pc : nullptr}).second) return;
    char threads[160] = "";
    if (other)
      snprintf(threads, sizeof threads, "; %s by block %u thread %u at %s", other_is, other->at.block,
               other->at.thread % (blockDim.x * blockDim.y * blockDim.z), source_line(other->pc).c_str());
    fail("%s: %s by block %u thread %u at %s on %s%s", what,
         a.kind == Access::read    ? "read"
         : a.kind == Access::write ? "write"
                                   : "atomic",
         now.block, now.thread % (blockDim.x * blockDim.y * blockDim.z), source_line(a.pc).c_str(),
         where(r, address).c_str(), threads);
  }

  bool ordered(const Mark& then, const Stamp& now) {
    return before(then.at, now) || threads[current_lane_global()].known.covers(then.at);
  }
  void cluster_begin(unsigned count) override { threads.assign(count, {}); }
  void fence(const Stamp& now) override {
    ThreadKnowledge& t = threads[current_lane_global()];
    t.known.add(t.pending);
    t.pending = {};
    t.fenced = t.known;
    t.fenced.add(now);
  }
  void joined(unsigned first, unsigned count) override {
    Knowledge all;
    for (unsigned i = first; i < first + count; ++i) all.add(threads[i].known);
    if (!all.empty())
      for (unsigned i = first; i < first + count; ++i) threads[i].known = all;
  }
  void in_flight(const Access& a, const Stamp& now, bool begins) override {
    if (begins) access(a, now);
    Region* r = find(a.address);
    if (!r) return;
    size_t first = size_t(static_cast<const char*>(a.address) - r->begin) / kGrain;
    for (size_t i = first; i < first + (a.size + kGrain - 1) / kGrain && i < r->cells.size(); ++i)
      r->cells[i].in_flight = begins ? a.pc : nullptr;
    if (!begins) access(a, now);
  }

  void check(Cell& c, const Region* r, const char* at, const Access& a, const Stamp& now) {
    if (c.in_flight) report("an asynchronous copy to this is still in flight", r, at, a, now, &c.writer, "started");
    if (a.kind != Access::write && !c.initialised && !c.writer.pc)
      report("nobody wrote this", r, at, a, now, nullptr, "");
    if (c.writer.pc && !ordered(c.writer, now) && !(a.kind == Access::atomic && c.writer.atomic))
      report("race", r, at, a, now, &c.writer, "written");
    if (a.kind != Access::read) {
      for (const Mark* m : {&c.reader, &c.other_reader})
        if (m->pc && !(a.kind == Access::atomic && m->atomic) &&
            (!ordered(*m, now) || (m->many && m->at.thread == now.thread && m->at.launch == now.launch &&
                                   m->at.warp_epoch == now.warp_epoch && m->at.block_epoch == now.block_epoch &&
                                   m->at.cluster_epoch == now.cluster_epoch)))
          report("race", r, at, a, now, m, "read");
      c.writer = {now, a.pc, false, a.kind == Access::atomic};
    } else {
      bool same_warp = c.reader.pc && c.reader.at.warp == now.warp && c.reader.at.launch == now.launch;
      bool many = same_warp && c.reader.at.warp_epoch == now.warp_epoch && c.reader.at.block_epoch == now.block_epoch &&
                  (c.reader.at.thread != now.thread || c.reader.many);
      if (!same_warp) c.other_reader = c.reader;
      c.reader = {now, a.pc, many, a.kind == Access::atomic};
    }
  }

  void access(const Access& a, const Stamp& now) override {
    if (!a.size) return;
    auto* begin = static_cast<const char*>(a.address);
    Region* r = find(begin);
    if (!r) {
      if (shared_base && begin >= shared_base && begin < shared_base + shared_span)
        report("outside every shared array", nullptr, begin, a, now, nullptr, "");
      if (is_heap(begin)) report("not device memory", nullptr, begin, a, now, nullptr, "");
      return;  // stacks, parameters, constants
    }
    if (!r->shared && a.kind != Access::write) moved.read += a.size;
    if (!r->shared && a.kind != Access::read) moved.written += a.size;
    if (begin + a.size > r->begin + r->bytes) report("runs over the end", r, begin, a, now, nullptr, "");
    if (reinterpret_cast<uintptr_t>(begin) % (a.size > 16 ? 16 : a.size) && (a.size & (a.size - 1)) == 0)
      report("misaligned", r, begin, a, now, nullptr, "");
    size_t first = size_t(begin - r->begin) / kGrain, last = (size_t(begin - r->begin) + a.size - 1) / kGrain;
    for (size_t i = first; i <= last; ++i) check(r->cells[i], r, r->begin + i * kGrain, a, now);
    if (a.kind == Access::atomic) {  // an atomic orders what fences around it say
      ThreadKnowledge& t = threads[current_lane_global()];
      Knowledge& o = objects[a.address];
      t.pending.add(o);
      o.add(t.fenced);
    }
  }

  // Neither a registered buffer, nor a stack, nor a constant of the program: host memory handed to a kernel.
  static bool is_heap(const char* at) {
    static uintptr_t program_pages[256];  // pages found to belong to a loaded object
    uintptr_t page = reinterpret_cast<uintptr_t>(at) >> 12;
    if (program_pages[page % 256] == page || on_fiber_stack(at)) return false;
    Dl_info info;
    if (!dladdr(at, &info)) return true;
    program_pages[page % 256] = page;
    return false;
  }

  void launch_begin() override {
    objects.clear();
    moved = {};
  }
  Traffic traffic() const override { return moved; }
};
AccessChecker& access_checker = *new AccessChecker;

void note(const void* address, size_t size, Access::Kind kind, const void* pc) {
  if (in_kernel()) access_checker.access({address, size, pc, kind}, stamp());
}

}  // namespace
}  // namespace kullback::emulator

// The static_assert takes the semicolon.
#define NOTE(name, size, kind)                                                                        \
  extern "C" void name(void* a) {                                                                     \
    kullback::emulator::note(a, size, kullback::emulator::Access::kind, __builtin_return_address(0)); \
  }                                                                                                   \
  static_assert(true)
NOTE(__tsan_read1, 1, read);
NOTE(__tsan_read2, 2, read);
NOTE(__tsan_read4, 4, read);
NOTE(__tsan_read8, 8, read);
NOTE(__tsan_read16, 16, read);
NOTE(__tsan_unaligned_read2, 2, read);
NOTE(__tsan_unaligned_read4, 4, read);
NOTE(__tsan_unaligned_read8, 8, read);
NOTE(__tsan_unaligned_read16, 16, read);
NOTE(__tsan_volatile_read4, 4, read);
NOTE(__tsan_write1, 1, write);
NOTE(__tsan_write2, 2, write);
NOTE(__tsan_write4, 4, write);
NOTE(__tsan_write8, 8, write);
NOTE(__tsan_write16, 16, write);
NOTE(__tsan_unaligned_write2, 2, write);
NOTE(__tsan_unaligned_write4, 4, write);
NOTE(__tsan_unaligned_write8, 8, write);
NOTE(__tsan_unaligned_write16, 16, write);
NOTE(__tsan_volatile_write4, 4, write);
extern "C" void __tsan_read_range(void* a, unsigned long size) {
  kullback::emulator::note(a, size, kullback::emulator::Access::read, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(void* a, unsigned long size) {
  kullback::emulator::note(a, size, kullback::emulator::Access::write, __builtin_return_address(0));
}
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
extern "C" void __tsan_vptr_update(void**, void*) {}
extern "C" void __tsan_vptr_read(void**) {}
