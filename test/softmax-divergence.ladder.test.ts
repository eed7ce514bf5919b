// Down a ladder of ever nearer distributions: each divergence keeps its digits, and none is ever negative.
import test from "ava";
import { softmaxDivergence } from "../lib/index.js";
import {
  choices,
  implementations,
  inFloat64,
  logitPair,
  longColumnCounts,
  named,
  nativeBackends,
  type Choice,
  type Dtype,
} from "./cases.js";
import { close, type CloseOptions } from "./close.js";
import { exactDivergence } from "./oracle.js";

const distances = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5];

/** Of a cross-entropy most is entropy: it is not small. */
const small = choices.filter(({ divergence }) => divergence !== "crossEntropy");

/** The KL below which float32 promises no digits. */
const least = 5e-9;

function toleranceOf({ divergence }: Choice, dtype: Dtype, what: string): CloseOptions {
  // A sum of differences of probabilities themselves, not of their squares: its roundings are some of theirs.
  const linear = divergence === "totalVariation" ? 1 : 0;
  return dtype === "float32"
    ? { relative: 1e-4, absolute: linear * 2 ** -25, what }
    : { relative: 1e-12, absolute: linear * 4 * 2 ** -53, what };
}

/** 40 digits, once for all backends. */
const rungs = (["float32", "float64"] as const).flatMap((dtype) =>
  distances.flatMap((distance) =>
    [5, 33].map((columns) => {
      const { student, teacher } = logitPair({ rows: 1, columns, dtype, distance });
      const kl = exactDivergence({ divergence: "forwardKl" }, student.data, teacher.data).value;
      const exact = small.map(
        (choice) => [choice, exactDivergence(choice, student.data, teacher.data).value] as const,
      );
      return { dtype, distance, columns, student, teacher, kl, exact };
    }),
  ),
);

for (const { backend, dtype, title } of implementations) {
  test(`${title}: every divergence keeps its digits as the distributions approach each other`, (t) => {
    let compared = 0;
    for (const rung of rungs.filter((one) => one.dtype === dtype)) {
      const { student, teacher, exact, kl, columns, distance } = rung;
      for (const [choice, expected] of exact) {
        const alone = softmaxDivergence(student, teacher, { ...choice, backend }).value;
        const beside = softmaxDivergence(student, teacher, {
          ...choice,
          gradients: ["student"],
          backend,
        }).value;
        const what = `${named(choice)}, ${columns} columns, distance ${distance}`;
        t.true(alone >= 0 && beside >= 0, `${what}: ${alone} and ${beside}`);
        if (dtype === "float32" && kl < least) continue;
        close(t, alone, expected, toleranceOf(choice, dtype, `${what}, alone`));
        close(t, beside, expected, toleranceOf(choice, dtype, what));
        compared++;
      }
    }
    t.true(compared >= 4 * small.length);
  });
}

for (const backend of nativeBackends) {
  test(`${backend} float32: every divergence keeps its digits in rows as long as vocabularies`, (t) => {
    for (const columns of longColumnCounts) {
      for (const distance of [1e-1, 1e-3]) {
        const { student, teacher } = logitPair({ rows: 1, columns, dtype: "float32", distance });
        for (const choice of small) {
          const { value } = softmaxDivergence(inFloat64(student), inFloat64(teacher), {
            ...choice,
            backend: "reference",
          });
          const what = `${named(choice)}, ${columns} columns, distance ${distance}`;
          for (const gradients of [[], ["student", "teacher"]] as const) {
            const actual = softmaxDivergence(student, teacher, { ...choice, gradients, backend }).value;
            close(t, actual, value, toleranceOf(choice, "float32", what));
          }
        }
      }
    }
  });
}
