// The dispatcher of softmax_divergence on the GPU where the teacher names K columns: coarse rows in the device's
// memory, gathered from rows and scattered to them, and compared by the kernel that compares all others.
#include "softmax_divergence_top_k.cuh"

#include "../math/sum.h"
#include "softmax_divergence_launch.h"

namespace kullback {
namespace {

using Request = kullback_softmax_divergence_request;

constexpr unsigned kThreads = 256;

template <class T>
class TopKDivergence {
 public:
  TopKDivergence(const Request& request, const kullback_control* control, Device& device)
      : request_(request),
        control_(control),
        device_(device),
        truncates_(request.tail == KULLBACK_TAIL_TRUNCATE),
        values_(static_cast<size_t>(request.rows)) {
    const bool on_host = request.on_device == 0, one_row = request.one_teacher != 0;
    const size_t student_bytes = row_bytes(request, request.student_stride);
    const auto of_teacher = [&](const void* host, size_t bytes) {
      return one_row ? staging_.shared_input(host, bytes) : staging_.input(host, bytes);
    };
    student_ = staging_.input(on_host ? request.student : nullptr, student_bytes);
    held_ = staging_.input(on_host && request.accumulate != 0 ? request.student_gradient : nullptr, student_bytes);
    teacher_ = of_teacher(on_host ? request.teacher : nullptr, row_bytes(request, request.teacher_stride));
    log_prior_ =
        staging_.shared_input(request.student_log_prior, static_cast<size_t>(request.columns) * sizeof(double));
    row_weights_ = staging_.input(request.row_weights, sizeof(double));
    grad_outputs_ = staging_.input(request.grad_outputs, sizeof(double));
    ids_ = of_teacher(request.teacher_ids, static_cast<size_t>(request.teacher_stride) * sizeof(int32_t));
    row_mask_ = staging_.input(request.row_mask, 1);
    gradient_ = staging_.output(on_host ? request.student_gradient : nullptr, student_bytes);
    row_values_ = staging_.output(values_.data(), sizeof(double));
    divergences_ = staging_.output(request.divergences, sizeof(double));
    student_log_sum_exp_ = staging_.output(request.student_log_sum_exp, sizeof(double));
    teacher_log_sum_exp_ = staging_.output(request.teacher_log_sum_exp, sizeof(double));
    student_entropy_ = staging_.output(request.student_entropy, sizeof(double));
    teacher_entropy_ = staging_.output(request.teacher_entropy, sizeof(double));
    argmax_agreement_ = staging_.output(request.argmax_agreement, 1);
    const size_t coarse_bytes = static_cast<size_t>(request.teacher_stride + 1) * sizeof(double);
    for (size_t& coarse : coarse_) coarse = staging_.scratch(coarse_bytes);
    for (size_t& number : numbers_) number = staging_.scratch(sizeof(double));
  }

  kullback_status run() {
    kullback_status status = check_log_probs();
    if (status != KULLBACK_OK) return status;
    status = run_softmax_rows(device_, request_, staging_, request_.rows, control_,
                              [&](const Slot& slot, int64_t first, int64_t rows) { launch_on(slot, first, rows); });
    if (status != KULLBACK_OK) return status;
    if (request_.values != nullptr) std::copy(values_.begin(), values_.end(), request_.values);
    if (request_.value != nullptr) *request_.value = sum_pairwise(values_.data(), request_.rows);
    return KULLBACK_OK;
  }

 private:
  enum Coarse { kStudent, kTeacher, kGradient, kCoarse };
  enum Number { kLogCaptured, kOutsideMaximum, kOutsideSum, kOnSupport, kLogSupport, kNumbers };

  static LaunchShape shape_of(int64_t rows, size_t shared_bytes) {
    return {dim3(static_cast<unsigned>(std::min(rows, kMostBlocks))), dim3(kThreads), shared_bytes, 1};
  }

  // Before anything is written.
  kullback_status check_log_probs() {
    return check_teacher(device_, request_, control_, [&](const Slot& slot, int64_t rows, const TeacherRows& teacher) {
      LogProbArguments arguments = {};
      arguments.numbers = teacher.numbers;
      arguments.ids = teacher.ids;
      arguments.storage = storage_of(request_.dtype);
      arguments.rows = rows;
      arguments.slots = request_.teacher_stride;
      arguments.row_mask = teacher.row_mask;
      arguments.tolerance = probability_tolerance(request_.dtype);
      arguments.improper = teacher.improper;
      SharedSize size;
      const BlockTeam<kThreads> team(size);
      check(launch(improper_log_probs<T, kThreads>, shape_of(rows, size.bytes()), slot.stream, arguments),
            "launching improper_log_probs");
    });
  }

  // The rows of the student's, with the gradient.
  SoftmaxSide<T> student(const Slot& slot, int64_t first) const {
    SoftmaxSide<T> side = {};
    side.stride = side.row_step = request_.student_stride;
    if (request_.on_device == 0) {
      side.numbers = staging_.at<const void>(slot, student_);
      side.gradient = staging_.at<void>(slot, gradient_);
      side.held = staging_.at<const void>(slot, held_);
    } else {
      const size_t begin = static_cast<size_t>(first) * row_bytes(request_, side.stride);
      side.numbers = static_cast<const char*>(request_.student) + begin;
      side.gradient =
          request_.student_gradient == nullptr ? nullptr : static_cast<char*>(request_.student_gradient) + begin;
      side.held = request_.accumulate != 0 ? side.gradient : nullptr;
    }
    side.log_prior = staging_.at<const double>(slot, log_prior_);
    side.scale = softmax_scale<T>(request_.student_temperature);
    side.temperature = static_cast<T>(request_.student_temperature);
    side.storage = storage_of(request_.dtype);
    return side;
  }

  TopKArguments<T> arguments_of(const Slot& slot, int64_t first, int64_t rows) const {
    const bool one_row = request_.one_teacher != 0;
    TopKArguments<T> arguments = {};
    arguments.rows = rows;
    arguments.columns = request_.columns;
    arguments.slots = request_.teacher_stride;
    arguments.tail = request_.tail;
    arguments.divergence = request_.divergence;
    arguments.student = student(slot, first);
    const size_t begin = one_row ? 0 : static_cast<size_t>(first) * row_bytes(request_, request_.teacher_stride);
    arguments.teacher = request_.on_device == 0 ? staging_.at<const void>(slot, teacher_)
                                                : static_cast<const char*>(request_.teacher) + begin;
    arguments.ids = staging_.at<const int32_t>(slot, ids_);
    arguments.teacher_step = one_row ? 0 : request_.teacher_stride;
    arguments.row_mask = staging_.at<const uint8_t>(slot, row_mask_);
    arguments.row_weights = staging_.at<const double>(slot, row_weights_);
    arguments.grad_outputs = staging_.at<const double>(slot, grad_outputs_);
    arguments.temperature = request_.student_temperature;
    arguments.scale = request_.scale;
    arguments.grad_output = request_.grad_output;
    arguments.coarse_student = staging_.at<double>(slot, coarse_[kStudent]);
    arguments.coarse_teacher = staging_.at<double>(slot, coarse_[kTeacher]);
    arguments.coarse_gradient = staging_.at<double>(slot, coarse_[kGradient]);
    arguments.log_captured = staging_.at<double>(slot, numbers_[kLogCaptured]);
    arguments.outside_maximum = staging_.at<double>(slot, numbers_[kOutsideMaximum]);
    arguments.outside_sum = staging_.at<double>(slot, numbers_[kOutsideSum]);
    arguments.on_support = staging_.at<double>(slot, numbers_[kOnSupport]);
    arguments.log_support = log_support(slot);
    arguments.divergences = staging_.at<double>(slot, divergences_);
    arguments.values = staging_.at<double>(slot, row_values_);
    return arguments;
  }

  // Truncation needs it, whether or not anybody has asked for it.
  double* log_support(const Slot& slot) const {
    double* const asked = staging_.at<double>(slot, student_log_sum_exp_);
    return asked == nullptr && truncates_ ? staging_.at<double>(slot, numbers_[kLogSupport]) : asked;
  }

  SoftmaxSide<double> coarse_side(const double* numbers, double temperature, double* log_sum_exp,
                                  double* entropy) const {
    SoftmaxSide<double> side = {};
    side.numbers = numbers;
    side.stride = side.row_step = request_.teacher_stride + 1;
    side.scale = softmax_scale<double>(temperature);
    side.temperature = temperature;
    side.storage = Storage::kSame;
    side.plain = true;
    side.log_sum_exp = log_sum_exp;
    side.entropy = entropy;
    return side;
  }

  SoftmaxDivergenceArguments<double> coarse_of(const Slot& slot, const TopKArguments<T>& rows) const {
    SoftmaxSide<double> student = coarse_side(rows.coarse_student, request_.student_temperature, log_support(slot),
                                              staging_.at<double>(slot, student_entropy_));
    SoftmaxSide<double> teacher =
        coarse_side(rows.coarse_teacher, request_.teacher_temperature, staging_.at<double>(slot, teacher_log_sum_exp_),
                    staging_.at<double>(slot, teacher_entropy_));
    if (request_.student_gradient != nullptr) student.gradient = rows.coarse_gradient;
    student.whole_vectors = whole_vectors(student, sizeof(double));
    teacher.whole_vectors = whole_vectors(teacher, sizeof(double));
    SoftmaxDivergenceArguments<double> arguments = {};
    arguments.divergence = divergence_of(request_.divergence, request_.parameter);
    const bool student_weighs = arguments.divergence.student_weighs;
    arguments.rows = rows.rows;
    arguments.columns = coarse_columns(request_);
    arguments.weigher = student_weighs ? student : teacher;
    arguments.other = student_weighs ? teacher : student;
    arguments.row_weights = rows.row_weights;
    arguments.row_mask = rows.row_mask;
    arguments.grad_outputs = rows.grad_outputs;
    arguments.scale = rows.scale;
    arguments.grad_output = rows.grad_output;
    arguments.divergences = truncates_ ? staging_.at<double>(slot, numbers_[kOnSupport]) : rows.divergences;
    arguments.values = rows.values;
    arguments.argmax_agreement = staging_.at<uint8_t>(slot, argmax_agreement_);
    return arguments;
  }

  void launch_on(const Slot& slot, int64_t first, int64_t rows) const {
    const TopKArguments<T> arguments = arguments_of(slot, first, rows);
    SharedSize size;
    const TopKShared<kThreads> shared(size);
    const LaunchShape shape = shape_of(rows, size.bytes());
    check(launch(gather_top_k<T, kThreads>, shape, slot.stream, arguments), "launching gather_top_k");
    launch_softmax_divergence(device_, slot.stream, coarse_of(slot, arguments));
    if (!truncates_ && request_.student_gradient == nullptr) return;
    check(launch(scatter_top_k<T, kThreads>, shape, slot.stream, arguments), "launching scatter_top_k");
  }

  const Request& request_;
  const kullback_control* control_;
  Device& device_;
  const bool truncates_;
  std::vector<double> values_;
  RowStaging staging_;
  size_t student_, held_, teacher_, log_prior_, row_weights_, grad_outputs_, ids_, row_mask_, gradient_, row_values_,
      divergences_, student_log_sum_exp_, teacher_log_sum_exp_, student_entropy_, teacher_entropy_, argmax_agreement_;
  size_t coarse_[kCoarse], numbers_[kNumbers];
};

}  // namespace

template <class T>
kullback_status softmax_divergence_top_k(const Request& request, const kullback_control* control, Device& device) {
  return TopKDivergence<T>(request, control, device).run();
}
template kullback_status softmax_divergence_top_k<float>(const Request&, const kullback_control*, Device&);
template kullback_status softmax_divergence_top_k<double>(const Request&, const kullback_control*, Device&);

}  // namespace kullback
