// The dispatcher of softmax_divergence on the GPU: rows to the device and back where they are not there already, and
// which kernel takes them.
#include "softmax_divergence.cuh"

#include "../math/sum.h"
#include "backend.h"
#include "context.h"
#include "staging.h"

namespace kullback {
namespace {

using Request = kullback_softmax_divergence_request;

// Rows up to here are a warp's; longer ones a block's or a cluster's.
constexpr int64_t kWarpColumns = 1024;
constexpr unsigned kWarpThreads = 128, kBlockThreads = 320;
// Of the host's rows, what is on its way at a time: twice that is on the device.
constexpr size_t kSlotBytes = size_t{32} << 20;
// Of rows that are on the device already, what one launch takes: the call hears of an abort between two.
constexpr int64_t kLaunchElements = int64_t{1} << 31;
constexpr int64_t kMostBlocks = (int64_t{1} << 31) - 1;

// How a row's columns are spread.
struct Plan {
  enum { kWarp, kStreaming, kResident } storage;
  unsigned cluster;
};

template <class T>
size_t resident_bytes(int64_t columns, unsigned cluster) {
  SharedSize size;
  SoftmaxDivergenceShared<T, BlockTeam<kBlockThreads>, true>(size, columns_per_part<T>(columns, cluster));
  return size.bytes();
}

// Small enough that two blocks share a multiprocessor, since one loads while the other computes; or else just to fit,
// and then in clusters beyond the portable size where the device has them.
template <class T>
Plan choose(int64_t columns, size_t shared_limit, unsigned largest_cluster) {
  if (columns <= kWarpColumns) return {Plan::kWarp, 1};
  for (unsigned cluster = 1; cluster <= std::min(largest_cluster, kPortableCluster); cluster *= 2) {
    if (resident_bytes<T>(columns, cluster) <= shared_limit / 2 - 1024) return {Plan::kResident, cluster};
  }
  for (unsigned cluster = 1; cluster <= largest_cluster; cluster *= 2) {
    if (resident_bytes<T>(columns, cluster) <= shared_limit) return {Plan::kResident, cluster};
  }
  return {Plan::kStreaming, 1};
}

template <class T, class Formulas>
void launch_rows(Device& device, cudaStream_t stream, const SoftmaxDivergenceArguments<T>& arguments) {
  const auto limit = static_cast<size_t>(device.attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
  using Block = BlockTeam<kBlockThreads>;
  using Warp = WarpTeam<kWarpThreads>;
  const auto resident = softmax_divergence<T, Formulas, Block, true>;
  const Plan plan = choose<T>(arguments.columns, limit, device.largest_cluster(resident, kBlockThreads));
  SharedSize size;
  const auto blocks = [&](unsigned rows_per_block) {
    const int64_t wanted = (arguments.rows + rows_per_block - 1) / rows_per_block;
    return static_cast<unsigned>(std::min(wanted, kMostBlocks / plan.cluster)) * plan.cluster;
  };
  switch (plan.storage) {
    case Plan::kWarp: {
      SoftmaxDivergenceShared<T, Warp, false>(size, 0);
      const LaunchShape shape = {dim3(blocks(Warp::kTeamsPerBlock)), dim3(kWarpThreads), size.bytes(), 1};
      return check(launch(softmax_divergence<T, Formulas, Warp, false>, shape, stream, arguments),
                   "launching softmax_divergence, a warp a row");
    }
    case Plan::kStreaming: {
      SoftmaxDivergenceShared<T, Block, false>(size, 0);
      const LaunchShape shape = {dim3(blocks(1)), dim3(kBlockThreads), size.bytes(), 1};
      return check(launch(softmax_divergence<T, Formulas, Block, false>, shape, stream, arguments),
                   "launching softmax_divergence, streaming");
    }
    case Plan::kResident: {
      const LaunchShape shape = {dim3(blocks(1)), dim3(kBlockThreads),
                                 resident_bytes<T>(arguments.columns, plan.cluster), plan.cluster};
      return check(launch(resident, shape, stream, arguments), "launching softmax_divergence, resident");
    }
  }
}

template <class T>
bool whole_vectors(const SoftmaxSide<T>& side) {
  const auto aligned = [](const void* memory) { return reinterpret_cast<uintptr_t>(memory) % 16 == 0; };
  return aligned(side.logits) && aligned(side.gradient) && side.stride % kVector<T> == 0;
}

template <class T>
class SoftmaxDivergence {
 public:
  SoftmaxDivergence(const Request& request, const kullback_control* control, Device& device)
      : request_(request), control_(control), device_(device), values_(static_cast<size_t>(request.rows)) {
    const size_t student_bytes = static_cast<size_t>(request.student_stride) * sizeof(T);
    const size_t teacher_bytes = static_cast<size_t>(request.teacher_stride) * sizeof(T);
    const bool on_host = request.on_device == 0;
    student_.logits = staging_.input(on_host ? request.student : nullptr, student_bytes);
    teacher_.logits = staging_.input(on_host ? request.teacher : nullptr, teacher_bytes);
    row_weights_ = staging_.input(request.row_weights, sizeof(double));
    grad_outputs_ = staging_.input(request.grad_outputs, sizeof(double));
    row_mask_ = staging_.input(request.row_mask, 1);
    student_.gradient = staging_.output(on_host ? request.student_gradient : nullptr, student_bytes);
    teacher_.gradient = staging_.output(on_host ? request.teacher_gradient : nullptr, teacher_bytes);
    student_.log_sum_exp = staging_.output(request.student_log_sum_exp, sizeof(double));
    teacher_.log_sum_exp = staging_.output(request.teacher_log_sum_exp, sizeof(double));
    student_.entropy = staging_.output(request.student_entropy, sizeof(double));
    teacher_.entropy = staging_.output(request.teacher_entropy, sizeof(double));
    argmax_agreement_ = staging_.output(request.argmax_agreement, 1);
    row_values_ = staging_.output(values_.data(), sizeof(double));
  }

  kullback_status run() {
    const int64_t rows_of_launch = std::max<int64_t>(1, kLaunchElements / request_.columns);
    const kullback_status status = run_in_slots(
        device_, staging_, request_.rows, rows_of_launch, kSlotBytes, control_, "computing softmax_divergence",
        [&](const Slot& slot, int64_t first, int64_t rows) { launch_on(slot, first, rows); });
    if (status != KULLBACK_OK) return status;
    if (request_.values != nullptr) std::copy(values_.begin(), values_.end(), request_.values);
    if (request_.value != nullptr) *request_.value = sum_pairwise(values_.data(), request_.rows);
    return KULLBACK_OK;
  }

 private:
  struct StagedSide {
    size_t logits, gradient, log_sum_exp, entropy;
  };

  SoftmaxSide<T> side(const Slot& slot, const StagedSide& staged, const void* logits, void* gradient, int64_t stride,
                      double temperature, int64_t first) const {
    SoftmaxSide<T> side = {};
    side.logits = staging_.at<const T>(slot, staged.logits);
    side.gradient = staging_.at<T>(slot, staged.gradient);
    if (request_.on_device != 0) {
      side.logits = static_cast<const T*>(logits) + first * stride;
      side.gradient = gradient == nullptr ? nullptr : static_cast<T*>(gradient) + first * stride;
    }
    side.stride = stride;
    side.scale = softmax_scale<T>(temperature);
    side.whole_vectors = whole_vectors(side);
    side.log_sum_exp = staging_.at<double>(slot, staged.log_sum_exp);
    side.entropy = staging_.at<double>(slot, staged.entropy);
    return side;
  }

  void launch_on(const Slot& slot, int64_t first, int64_t rows) const {
    const SoftmaxSide<T> student = side(slot, student_, request_.student, request_.student_gradient,
                                        request_.student_stride, request_.student_temperature, first);
    const SoftmaxSide<T> teacher = side(slot, teacher_, request_.teacher, request_.teacher_gradient,
                                        request_.teacher_stride, request_.teacher_temperature, first);
    SoftmaxDivergenceArguments<T> arguments = {};
    arguments.divergence = divergence_of(request_.divergence, request_.parameter);
    const bool student_weighs = arguments.divergence.student_weighs;
    arguments.rows = rows;
    arguments.columns = request_.columns;
    arguments.weigher = student_weighs ? student : teacher;
    arguments.other = student_weighs ? teacher : student;
    arguments.row_weights = staging_.at<const double>(slot, row_weights_);
    arguments.row_mask = staging_.at<const uint8_t>(slot, row_mask_);
    arguments.grad_outputs = staging_.at<const double>(slot, grad_outputs_);
    arguments.scale = request_.scale;
    arguments.grad_output = request_.grad_output;
    arguments.values = staging_.at<double>(slot, row_values_);
    arguments.argmax_agreement = staging_.at<uint8_t>(slot, argmax_agreement_);
    switch (arguments.divergence.generator) {
      case Generator::kKullbackLeibler:
        return launch_rows<T, Only<device::KullbackLeiblerSlopes>>(device_, slot.stream, arguments);
      case Generator::kCrossEntropy:
        return launch_rows<T, Only<device::CrossEntropySlopes>>(device_, slot.stream, arguments);
#define KULLBACK_GENERATOR(name) case Generator::k##name:
#include "../math/generators.inc"
#undef KULLBACK_GENERATOR
        return launch_rows<T, Generated>(device_, slot.stream, arguments);
    }
  }

  const Request& request_;
  const kullback_control* control_;
  Device& device_;
  std::vector<double> values_;
  RowStaging staging_;
  StagedSide student_, teacher_;
  size_t row_weights_, row_mask_, grad_outputs_, argmax_agreement_, row_values_;
};

}  // namespace

kullback_status softmax_divergence_cuda(const Request* request, const kullback_control* control) {
  return run_on(request->device, [&](Device& device) {
    switch (request->dtype) {
      case KULLBACK_FLOAT32:
        return SoftmaxDivergence<float>(*request, control, device).run();
      case KULLBACK_FLOAT64:
        return SoftmaxDivergence<double>(*request, control, device).run();
    }
    return KULLBACK_UNSUPPORTED;
  });
}

}  // namespace kullback
