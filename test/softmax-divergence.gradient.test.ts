// softmaxDivergence's gradients against central differences of its values, in float64.
import test from "ava";
import { softmaxDivergence, type SoftmaxDivergenceOptions } from "../lib/index.js";
import { backends, choices, divergences, logitPair, named, sides, type Choice } from "./cases.js";
import { close, zeros } from "./close.js";

const rows = 3;
const columns = 6;
const weights = [0.5, 2, -1.25];
const slopes = [1.5, -0.25, 2];

/** What may change the gradients. */
const optionCases: Record<string, SoftmaxDivergenceOptions> = {
  "no options": {},
  "reduction sum": { reduction: "sum" },
  "reduction none": { reduction: "none" },
  "a temperature": { temperature: 1.7 },
  "two temperatures": { temperature: { student: 0.8, teacher: 2.5 } },
  "squared temperature scaling": {
    temperature: { student: 0.8, teacher: 2.5 },
    temperatureScaling: "squared",
  },
  "a divisor": { divisor: 0.7 },
  "row weights": { rowWeights: weights, reduction: "sum" },
  "a row mask": { rowMask: [1, 0, 1] },
  "a row mask and row weights": { rowMask: [true, false, true], rowWeights: weights },
  gradOutput: { gradOutput: -2.5 },
  "gradOutput per row": { gradOutput: slopes, reduction: "sum" },
  "gradOutput per row of a mean": { gradOutput: slopes, rowMask: [1, 1, 0] },
  "everything at once": {
    temperature: { student: 1.5, teacher: 0.75 },
    temperatureScaling: "squared",
    divisor: 1.3,
    rowWeights: weights,
    rowMask: [1, 1, 0],
    gradOutput: slopes,
  },
};

/** For the divergences that came after: what does not depend on the divergence has been seen to work. */
const fewOptionCases = ["no options", "two temperatures", "everything at once"];
const casesOf = ({ divergence }: Choice) =>
  Object.entries(optionCases).filter(
    ([name]) => fewOptionCases.includes(name) || (divergences as readonly string[]).includes(divergence),
  );

const data = { rows, columns, dtype: "float64", seed: 5 } as const;

/** What the gradients are gradients of: each row's value, times its gradOutput. */
function objective(pair: ReturnType<typeof logitPair>, options: SoftmaxDivergenceOptions): number {
  const { gradOutput = 1, reduction = "mean", divisor, rowMask, ...rest } = options;
  const { values } = softmaxDivergence(pair.student, pair.teacher, {
    ...rest,
    ...(rowMask && { rowMask }),
    reduction: "none",
  });
  const counted = rowMask ? [...rowMask].filter(Boolean).length : rows;
  const scale = reduction === "mean" ? 1 / (divisor ?? counted) : 1;
  return values.reduce((sum, value, row) => {
    const slope = typeof gradOutput === "number" ? gradOutput : (gradOutput[row] as number);
    return sum + scale * slope * value;
  }, 0);
}

function centralDifferences(side: "student" | "teacher", options: SoftmaxDivergenceOptions): number[] {
  const pair = logitPair(data);
  const logits = pair[side].data;
  const at = (index: number, x: number): number => {
    const kept = logits[index] as number;
    logits[index] = x;
    const value = objective(pair, options);
    logits[index] = kept;
    return value;
  };
  // Fourth order, so that steps are long enough for their differences to keep ten digits.
  const step = 1e-3;
  return Array.from(logits, (x, index) => {
    const near = at(index, x + step) - at(index, x - step);
    const far = at(index, x + 2 * step) - at(index, x - 2 * step);
    return (8 * near - far) / (12 * step);
  });
}

for (const backend of backends) {
  for (const choice of choices) {
    for (const [name, options] of casesOf(choice)) {
      test(`${backend}: the gradients of ${named(choice)} are those of its value with ${name}`, (t) => {
        const { student, teacher } = logitPair(data);
        const { gradients } = softmaxDivergence(student, teacher, {
          ...options,
          ...choice,
          gradients: sides,
          backend,
        });
        for (const side of sides) {
          const expected = centralDifferences(side, { ...options, ...choice, backend });
          for (let row = 0; row < rows; row++) {
            const ofRow = [row * columns, (row + 1) * columns] as const;
            const actual = gradients[side]?.slice(...ofRow) ?? [];
            const what = `${side}, row ${row}`;
            if (options.rowMask && !options.rowMask[row]) zeros(t, actual, what);
            else close(t, actual, expected.slice(...ofRow), { relative: 1e-8, what });
          }
        }
      });
    }
  }
}
