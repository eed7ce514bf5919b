// softmax_divergence without Node where the teacher names some columns: problems, and whether what a backend made of them
// is what the tail policies say.
#ifndef KULLBACK_TEST_SOFTMAX_DIVERGENCE_TOP_K_CASES_H
#define KULLBACK_TEST_SOFTMAX_DIVERGENCE_TOP_K_CASES_H

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "../../native/abi/kullback_backend.h"

namespace kullback::cases {

constexpr kullback_tail kTails[] = {KULLBACK_TAIL_TRUNCATE, KULLBACK_TAIL_RENORMALIZE, KULLBACK_TAIL_BUCKET,
                                    KULLBACK_TAIL_ZERO};

template <class T>
struct TopKProblem {
  int64_t rows, columns, slots, stride;
  std::vector<T> student, teacher, gradient;
  std::vector<int32_t> ids;
  std::vector<uint8_t> mask;
  std::vector<double> weights, prior, values, divergences, student_log_sum_exp, teacher_log_sum_exp, student_entropy,
      teacher_entropy;
  kullback_softmax_divergence_request request = {};

  TopKProblem(int64_t row_count, int64_t column_count, int64_t slot_count, kullback_tail tail,
          kullback_divergence divergence)
      : rows(row_count), columns(column_count), slots(slot_count), stride(column_count + 2) {
    student.resize(static_cast<size_t>(rows * stride));
    for (size_t i = 0; i < student.size(); ++i) student[i] = static_cast<T>(i * 7 % 23) / 5;
    gradient.assign(student.size(), T(7));
    for (int64_t row = 0; row < rows; ++row) {
      mask.push_back(row % 4 == 3 ? 0 : 1);
      weights.push_back(0.5 + static_cast<double>(row));
      for (int64_t slot = 0; slot < slots; ++slot) {
        // Spread over the row, from its end; every fifth is none.
        ids.push_back(slot % 5 == 4 ? -1 : static_cast<int32_t>(columns - 1 - slot * columns / slots));
        teacher.push_back(static_cast<T>(-std::log(static_cast<double>(slots)) - 0.25 * static_cast<double>(slot % 3) -
                                         (slots == 1 ? 0.5 : 0.1)));
      }
    }
    for (int64_t i = 0; i < columns; ++i) prior.push_back(i % 11 == 10 ? -INFINITY : 0.125 * static_cast<double>(i % 5));
    for (auto* output : {&values, &divergences, &student_log_sum_exp, &teacher_log_sum_exp, &student_entropy,
                         &teacher_entropy}) {
      output->assign(mask.size(), 7);
    }
    request.dtype = sizeof(T) == 4 ? KULLBACK_FLOAT32 : KULLBACK_FLOAT64;
    request.divergence = divergence;
    request.rows = rows;
    request.columns = columns;
    request.student = student.data();
    request.teacher = teacher.data();
    request.student_stride = stride;
    request.teacher_stride = slots;
    request.student_temperature = 1.5;
    request.teacher_temperature = 1;
    request.tail = tail;
    request.teacher_ids = ids.data();
    request.row_mask = mask.data();
    request.scale = 2;
    request.grad_output = 0.5;
    request.values = values.data();
  }

  void ask_for_all() {
    request.student_log_prior = prior.data();
    request.row_weights = weights.data();
    request.grad_outputs = weights.data();
    request.student_gradient = gradient.data();
    request.divergences = divergences.data();
    request.student_log_sum_exp = student_log_sum_exp.data();
    request.teacher_log_sum_exp = teacher_log_sum_exp.data();
    request.student_entropy = student_entropy.data();
    request.teacher_entropy = teacher_entropy.data();
  }

  // Of forward KL, without priors and weights, as the policy is defined.
  double expected(int64_t row) const {
    if (mask[static_cast<size_t>(row)] == 0) return 0;
    const T* const x = student.data() + row * stride;
    const auto weight = [&](int64_t i) { return std::exp(static_cast<double>(x[i]) / 1.5); };
    double all = 0, named = 0, captured = 0, sum = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < columns; ++i) all += weight(i);
    const auto for_each_slot = [&](const auto& body) {
      for (int64_t slot = row * slots; slot < (row + 1) * slots; ++slot) {
        if (ids[static_cast<size_t>(slot)] < 0) continue;
        body(std::exp(static_cast<double>(teacher[static_cast<size_t>(slot)])), weight(ids[static_cast<size_t>(slot)]));
      }
    };
    for_each_slot([&](double p, double q) {
      captured += p;
      named += q;
      ++count;
    });
    const bool rest = request.tail == KULLBACK_TAIL_BUCKET && count < columns;
    const double of_p = request.tail == KULLBACK_TAIL_TRUNCATE || rest ? 1 : captured;
    const double of_q = request.tail == KULLBACK_TAIL_RENORMALIZE ? named : all;
    for_each_slot([&](double p, double q) { sum += p / of_p * std::log(p / of_p / (q / of_q)); });
    if (rest) sum += (1 - captured) * std::log((1 - captured) / ((all - named) / all));
    return 2 * sum;
  }

  bool values_are_right() const {
    for (int64_t row = 0; row < rows; ++row) {
      const double value = values[static_cast<size_t>(row)], right = expected(row);
      if (std::fabs(value - right) <= (sizeof(T) == 4 ? 1e-5 : 1e-12)) continue;
      std::printf("tail %d, row %lld: %g, expected %g\n", static_cast<int>(request.tail), static_cast<long long>(row),
                  value, right);
      return false;
    }
    return true;
  }

  // Of rows that count, the columns' gradients sum to nothing; of others, and of padding, there is none.
  bool gradient_is_sound() const {
    for (int64_t row = 0; row < rows; ++row) {
      double sum = 0, size = 0;
      for (int64_t i = 0; i < stride; ++i) {
        const double x = static_cast<double>(gradient[static_cast<size_t>(row * stride + i)]);
        sum += x;
        size += std::fabs(x);
        if (i >= columns && x != 0) return false;
      }
      const bool counts = mask[static_cast<size_t>(row)] != 0;
      if (!counts ? size != 0 : !(std::fabs(sum) <= (sizeof(T) == 4 ? 1e-5 : 1e-12))) return false;
    }
    return true;
  }
};

}  // namespace kullback::cases

#endif  // KULLBACK_TEST_SOFTMAX_DIVERGENCE_TOP_K_CASES_H
