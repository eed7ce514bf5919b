// linearSoftmaxDivergence and linearCrossEntropy in float64, as the textbook has them: the specification, the tests'
// oracle, the last resort. One row of logits at a time.
import type { LinearRequestSide, LinearSoftmaxDivergenceRequest } from "../backend/table.js";
import { prepareSoftmaxDivergence } from "./softmax-divergence.js";

/** The bytes of what is held beside the arrays of the request: some rows of logits, and sums in float64. */
export function leastMemory({
  columns,
  student,
  weightsGradient,
  biasGradient,
}: LinearSoftmaxDivergenceRequest): number {
  const sums =
    (weightsGradient === undefined ? 0 : columns * student.width) +
    (biasGradient === undefined ? 0 : columns);
  return 8 * (16 * columns + sums);
}

/** Returns a function that adds one row to the gradients and returns its weighted divergence. */
export function prepareLinearSoftmaxDivergence(
  request: LinearSoftmaxDivergenceRequest,
): (row: number) => number {
  const { rows, columns, student, hiddenGradient, weightsGradient, biasGradient } = request;
  const { width, weights } = student;
  const weightsSums = new Float64Array(weightsGradient === undefined ? 0 : columns * width);
  const biasSums = new Float64Array(columns);
  hiddenGradient?.fill(0);
  const writeSums = (): void => {
    weightsGradient?.set(weightsSums);
    biasGradient?.set(biasSums);
  };
  if (rows === 0) writeSums();

  return (row) => {
    const { value, slopes } = counts(request, row) ? compare(request, row) : { value: 0, slopes: undefined };
    if (request.values) request.values[row] = value;
    // With z = W h + b and s the derivatives for z, those for h are Wᵀ s, for W the products s hᵀ, for b they are s.
    const derivatives =
      hiddenGradient === undefined || slopes === undefined ? undefined : new Float64Array(width);
    slopes?.forEach((slope, column) => {
      add(biasSums, column, slope);
      for (let i = 0; i < width; i++) {
        const weight = column * width + i;
        if (derivatives) add(derivatives, i, slope * (weights[weight] as number));
        if (weightsGradient) add(weightsSums, weight, slope * (student.hidden[row * width + i] as number));
      }
    });
    if (derivatives) hiddenGradient?.set(derivatives, row * width);
    if (row === rows - 1) writeSums();
    return value;
  };
}

function add(sums: Float64Array, index: number, term: number): void {
  sums[index] = (sums[index] as number) + term;
}

function counts({ rowMask, rowWeights, scale }: LinearSoftmaxDivergenceRequest, row: number): boolean {
  return rowMask?.[row] !== 0 && (rowWeights?.[row] ?? 1) * scale !== 0;
}

/** A row's weighted divergence, and its derivatives for the student's logits; none where they are multiplied by 0. */
function compare(
  request: LinearSoftmaxDivergenceRequest,
  row: number,
): { value: number; slopes: Float64Array | undefined } {
  const { columns, teacher, studentTemperature, teacherTemperature, scale, divergence, parameter } = request;
  const logits = logitsOf(request.student, columns, row);
  const weight = request.rowWeights?.[row] ?? 1;
  const gradOutput = request.gradOutputs?.[row] ?? request.gradOutput;
  const moving = gradOutput !== 0;
  if ("labels" in teacher) {
    const { value, gradient } = crossEntropy(logits, teacher.labels[row] as number, studentTemperature);
    const factor = weight * scale;
    return {
      value: factor * value,
      slopes: moving ? gradient.map((slope) => factor * gradOutput * slope) : undefined,
    };
  }
  const teacherLogits =
    "hidden" in teacher
      ? logitsOf(teacher, columns, row)
      : Float64Array.from(teacher.logits.subarray(row * columns, (row + 1) * columns));
  const slopes = new Float64Array(columns);
  const value = prepareSoftmaxDivergence({
    divergence,
    parameter,
    dtype: "float64",
    rows: 1,
    columns,
    student: { logits, stride: columns, temperature: studentTemperature, gradient: slopes },
    teacher: { logits: teacherLogits, stride: columns, temperature: teacherTemperature },
    scale: weight * scale,
    gradOutput,
  })(0);
  return { value, slopes: moving ? slopes : undefined };
}

/** hidden weightsᵀ + bias */
function logitsOf(
  { hidden, weights, bias, width }: LinearRequestSide,
  columns: number,
  row: number,
): Float64Array {
  return Float64Array.from({ length: columns }, (_, column) => {
    let sum = bias?.[column] ?? 0;
    for (let i = 0; i < width; i++) {
      sum += (hidden[row * width + i] as number) * (weights[column * width + i] as number);
    }
    return sum;
  });
}

/** −log q at the label, q the softmax of logits / temperature, and its derivatives (q − 1 at the label) / temperature. */
function crossEntropy(
  logits: Float64Array,
  label: number,
  temperature: number,
): { value: number; gradient: Float64Array } {
  const maximum = logits.reduce((largest, x) => Math.max(largest, x), -Infinity);
  const below = logits.map((x) => (x - maximum) / temperature);
  const logSum = Math.log(below.reduce((sum, x) => sum + Math.exp(x), 0));
  const value = logSum - (below[label] as number);
  return {
    value,
    gradient: below.map(
      (x, column) => (column === label ? Math.expm1(-value) : Math.exp(x - logSum)) / temperature,
    ),
  };
}
