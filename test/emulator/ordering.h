// Which of two accesses of a launch must come first: by the barriers between them, as their stamps tell, or by fences
// and atomics, as their threads know.
#ifndef KULLBACK_EMULATOR_ORDERING_H
#define KULLBACK_EMULATOR_ORDERING_H

#include <algorithm>
#include <map>

#include "emulator.h"

namespace kullback::emulator {

inline bool ordered_by_barriers(const Stamp& then, const Stamp& now) {
  if (then.thread == now.thread || then.launch != now.launch) return true;
  return (then.cluster == now.cluster && then.cluster_epoch < now.cluster_epoch) ||
         (then.block == now.block && then.block_epoch < now.block_epoch) ||
         (then.warp == now.warp && then.warp_epoch < now.warp_epoch);
}

// What has happened for certain: everything of a thread before a serial, everything of a block, warp or cluster before
// an epoch.
class Knowledge {
 public:
  void add(const Knowledge& other) {
    raise_all(threads_, other.threads_);
    raise_all(blocks_, other.blocks_);
    raise_all(warps_, other.warps_);
    raise_all(clusters_, other.clusters_);
  }

  // All that a thread did until `now`, and what its barriers say of others.
  void add(const Stamp& now) {
    raise(threads_, now.thread, now.serial + 1);
    raise(blocks_, now.block, now.block_epoch);
    raise(warps_, now.warp, now.warp_epoch);
    raise(clusters_, now.cluster, now.cluster_epoch);
  }

  bool covers(const Stamp& then) const {
    return is_before(threads_, then.thread, then.serial) || is_before(blocks_, then.block, then.block_epoch) ||
           is_before(warps_, then.warp, then.warp_epoch) || is_before(clusters_, then.cluster, then.cluster_epoch);
  }

  bool empty() const { return threads_.empty(); }

 private:
  // From the number of a thread, block, warp or cluster to the first of its serials or epochs that is not known of.
  using Limits = std::map<uint32_t, uint32_t>;

  static void raise(Limits& limits, uint32_t number, uint32_t limit) {
    uint32_t& known = limits.emplace(number, limit).first->second;
    known = std::max(known, limit);
  }

  static void raise_all(Limits& limits, const Limits& others) {
    for (const auto& [number, limit] : others) raise(limits, number, limit);
  }

  static bool is_before(const Limits& limits, uint32_t number, uint32_t moment) {
    const auto known = limits.find(number);
    return known != limits.end() && moment < known->second;
  }

  Limits threads_, blocks_, warps_, clusters_;
};

// An atomic hands on what its thread knew at its last fence; what it finds is known from the next fence on.
struct ThreadKnowledge {
  Knowledge known, fenced, pending;
};

}  // namespace kullback::emulator

#endif  // KULLBACK_EMULATOR_ORDERING_H
