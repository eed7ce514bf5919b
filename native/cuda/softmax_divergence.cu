// The dispatcher of softmax_divergence on the GPU: rows to the device and back where they are not there already, and
// which kernel takes them.
#include "softmax_divergence.cuh"
#include "softmax_divergence_launch.h"
#include "softmax_divergence_probabilities.cuh"

#include "../math/sum.h"
#include "backend.h"

namespace kullback {
namespace {

using Request = kullback_softmax_divergence_request;

// Rows up to here are a warp's; longer ones a block's or a cluster's.
constexpr int64_t kWarpColumns = 1024;
constexpr unsigned kWarpThreads = 128, kBlockThreads = 320;

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
void launch_divergence(Device& device, cudaStream_t stream, const SoftmaxDivergenceArguments<T>& arguments) {
  switch (arguments.divergence.generator) {
    case Generator::kKullbackLeibler:
      return launch_rows<T, Only<device::KullbackLeiblerSlopes>>(device, stream, arguments);
    case Generator::kCrossEntropy:
      return launch_rows<T, Only<device::CrossEntropySlopes>>(device, stream, arguments);
#define KULLBACK_GENERATOR(name) case Generator::k##name:
#include "../math/generators.inc"
#undef KULLBACK_GENERATOR
      return launch_rows<T, Generated>(device, stream, arguments);
  }
}

template <class T>
class SoftmaxDivergence {
 public:
  SoftmaxDivergence(const Request& request, const kullback_control* control, Device& device)
      : request_(request), control_(control), device_(device), values_(static_cast<size_t>(request.rows)) {
    stage(student_, request.student, request.student_stride, request.student_gradient, request.student_log_prior,
          false);
    stage(teacher_, request.teacher, request.teacher_stride, request.teacher_gradient, request.teacher_log_prior,
          request.one_teacher != 0);
    row_weights_ = staging_.input(request.row_weights, sizeof(double));
    grad_outputs_ = staging_.input(request.grad_outputs, sizeof(double));
    row_mask_ = staging_.input(request.row_mask, 1);
    const bool on_host = request.on_device == 0;
    student_.gradient =
        staging_.output(on_host ? request.student_gradient : nullptr, row_bytes(request, request.student_stride));
    teacher_.gradient =
        staging_.output(on_host ? request.teacher_gradient : nullptr, row_bytes(request, request.teacher_stride));
    divergences_ = staging_.output(request.divergences, sizeof(double));
    student_.log_sum_exp = staging_.output(request.student_log_sum_exp, sizeof(double));
    teacher_.log_sum_exp = staging_.output(request.teacher_log_sum_exp, sizeof(double));
    student_.entropy = staging_.output(request.student_entropy, sizeof(double));
    teacher_.entropy = staging_.output(request.teacher_entropy, sizeof(double));
    argmax_agreement_ = staging_.output(request.argmax_agreement, 1);
    row_values_ = staging_.output(values_.data(), sizeof(double));
  }

  kullback_status run() {
    kullback_status status = request_.teacher_in_probabilities != 0 ? check_probabilities() : KULLBACK_OK;
    if (status != KULLBACK_OK) return status;
    status = run_softmax_rows(device_, request_, staging_, request_.rows, control_,
                              [&](const Slot& slot, int64_t first, int64_t rows) { launch_on(slot, first, rows); });
    if (status != KULLBACK_OK) return status;
    if (request_.values != nullptr) std::copy(values_.begin(), values_.end(), request_.values);
    if (request_.value != nullptr) *request_.value = sum_pairwise(values_.data(), request_.rows);
    return KULLBACK_OK;
  }

 private:
  struct StagedSide {
    size_t numbers, held, log_prior, gradient, log_sum_exp, entropy;
  };

  // The inputs of a side.
  void stage(StagedSide& staged, const void* numbers, int64_t stride, const void* gradient, const double* log_prior,
             bool one_row) {
    const bool on_host = request_.on_device == 0;
    const void* const host = on_host ? numbers : nullptr;
    staged.numbers = one_row ? staging_.shared_input(host, row_bytes(request_, stride))
                             : staging_.input(host, row_bytes(request_, stride));
    staged.held = staging_.input(on_host && request_.accumulate != 0 ? gradient : nullptr, row_bytes(request_, stride));
    staged.log_prior = staging_.shared_input(log_prior, static_cast<size_t>(request_.columns) * sizeof(double));
  }

  kullback_status check_probabilities() {
    return check_teacher(device_, request_, control_, [&](const Slot& slot, int64_t rows, const TeacherRows& teacher) {
      ProbabilityArguments arguments = {};
      arguments.numbers = teacher.numbers;
      arguments.storage = storage_of(request_.dtype);
      arguments.rows = rows;
      arguments.columns = request_.columns;
      arguments.row_step = request_.teacher_stride;
      arguments.row_mask = teacher.row_mask;
      arguments.tolerance = probability_tolerance(request_.dtype);
      arguments.improper = teacher.improper;
      SharedSize size;
      const BlockTeam<kBlockThreads> team(size);
      const LaunchShape shape = {dim3(static_cast<unsigned>(std::min(rows, kMostBlocks))), dim3(kBlockThreads),
                                 size.bytes(), 1};
      check(kullback::launch(improper_probabilities<T, kBlockThreads>, shape, slot.stream, arguments),
            "launching improper_probabilities");
    });
  }

  SoftmaxSide<T> side(const Slot& slot, const StagedSide& staged, const void* numbers, void* gradient, int64_t stride,
                      double temperature, bool one_row, int64_t first) const {
    SoftmaxSide<T> side = {};
    side.stride = stride;
    side.row_step = one_row ? 0 : stride;
    if (request_.on_device == 0) {
      side.numbers = staging_.at<const void>(slot, staged.numbers);
      side.gradient = staging_.at<void>(slot, staged.gradient);
      side.held = staging_.at<const void>(slot, staged.held);
    } else {
      const size_t begin = static_cast<size_t>(first) * row_bytes(request_, stride);
      side.numbers = static_cast<const char*>(numbers) + (one_row ? 0 : begin);
      side.gradient = gradient == nullptr ? nullptr : static_cast<char*>(gradient) + begin;
      side.held = request_.accumulate != 0 ? side.gradient : nullptr;
    }
    side.log_prior = staging_.at<const double>(slot, staged.log_prior);
    side.scale = softmax_scale<T>(temperature);
    side.temperature = static_cast<T>(temperature);
    side.storage = storage_of(request_.dtype);
    side.probabilities = &staged == &teacher_ && request_.teacher_in_probabilities != 0;
    side.plain = side.storage == Storage::kSame && !side.probabilities && side.log_prior == nullptr;
    side.whole_vectors = whole_vectors(side, element_bytes(request_.dtype));
    side.log_sum_exp = staging_.at<double>(slot, staged.log_sum_exp);
    side.entropy = staging_.at<double>(slot, staged.entropy);
    return side;
  }

  void launch_on(const Slot& slot, int64_t first, int64_t rows) const {
    const SoftmaxSide<T> student = side(slot, student_, request_.student, request_.student_gradient,
                                        request_.student_stride, request_.student_temperature, false, first);
    const SoftmaxSide<T> teacher =
        side(slot, teacher_, request_.teacher, request_.teacher_gradient, request_.teacher_stride,
             request_.teacher_temperature, request_.one_teacher != 0, first);
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
    arguments.divergences = staging_.at<double>(slot, divergences_);
    arguments.values = staging_.at<double>(slot, row_values_);
    arguments.argmax_agreement = staging_.at<uint8_t>(slot, argmax_agreement_);
    launch_divergence(device_, slot.stream, arguments);
  }

  const Request& request_;
  const kullback_control* control_;
  Device& device_;
  std::vector<double> values_;
  RowStaging staging_;
  StagedSide student_, teacher_;
  size_t row_weights_, row_mask_, grad_outputs_, divergences_, argmax_agreement_, row_values_;
};

template <class T>
kullback_status run(const Request& request, const kullback_control* control, Device& device) {
  if (request.tail != KULLBACK_NO_TAIL) return softmax_divergence_top_k<T>(request, control, device);
  return SoftmaxDivergence<T>(request, control, device).run();
}

}  // namespace

void launch_softmax_divergence(Device& device, cudaStream_t stream,
                               const SoftmaxDivergenceArguments<double>& arguments) {
  launch_divergence(device, stream, arguments);
}

kullback_status softmax_divergence_cuda(const Request* request, const kullback_control* control) {
  return run_on(request->device, [&](Device& device) {
    switch (request->dtype) {
      case KULLBACK_FLOAT32:
      case KULLBACK_FLOAT16:
      case KULLBACK_BFLOAT16:
        return run<float>(*request, control, device);
      case KULLBACK_FLOAT64:
        return run<double>(*request, control, device);
    }
    return KULLBACK_UNSUPPORTED;
  });
}

}  // namespace kullback
