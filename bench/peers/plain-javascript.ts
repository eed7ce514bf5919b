// The peer that everybody has: the same loss and gradient as loops over typed arrays, as one writes them by hand.

/** mean over rows of KL(teacher ‖ student), and its gradient for the student's logits. */
export function plainForwardKl(
  student: Float32Array,
  teacher: Float32Array,
  rows: number,
  columns: number,
  gradient: Float32Array | undefined,
): number {
  let total = 0;
  for (let row = 0; row < rows; row++) {
    const begin = row * columns;
    const end = begin + columns;
    let studentMaximum = -Infinity;
    let teacherMaximum = -Infinity;
    for (let i = begin; i < end; i++) {
      if (student[i]! > studentMaximum) studentMaximum = student[i]!;
      if (teacher[i]! > teacherMaximum) teacherMaximum = teacher[i]!;
    }
    let studentSum = 0;
    let teacherSum = 0;
    for (let i = begin; i < end; i++) {
      studentSum += Math.exp(student[i]! - studentMaximum);
      teacherSum += Math.exp(teacher[i]! - teacherMaximum);
    }
    const studentLogSum = studentMaximum + Math.log(studentSum);
    const teacherLogSum = teacherMaximum + Math.log(teacherSum);
    for (let i = begin; i < end; i++) {
      const logQ = student[i]! - studentLogSum;
      const logP = teacher[i]! - teacherLogSum;
      const p = Math.exp(logP);
      total += p * (logP - logQ);
      if (gradient) gradient[i] = (Math.exp(logQ) - p) / rows;
    }
  }
  return total / rows;
}
