// How the thirteen divergences are related: closed forms, what one is of another, limits, and the bounds between them.
import test from "ava";
import { softmaxDivergence, type BackendChoice, type NumericArray, type Rows } from "../lib/index.js";
import {
  agreementOf,
  backends,
  choices,
  everything,
  implementations,
  logitPair,
  named,
  normals,
  rowsOf,
  sides,
  type Choice,
} from "./cases.js";
import { close, identical } from "./close.js";

const { log, sqrt } = Math;
const logits = (...probabilities: number[]): number[] => probabilities.map((p) => log(p) - 0.5);
const temperatures = [1, { student: 2, teacher: 1.5 }] as const;

/** Of p = (0.1, 0.9) and q = (0.9, 0.1), by paper and pencil. */
const kl = 0.8 * log(9);
const js = log(2) + 0.1 * log(0.1) + 0.9 * log(0.9);
const skewed = 0.1 * log(0.1 / 0.82) + 0.9 * log(5);
const js75 = [0.75, 0.25].reduce((sum, beta) => {
  const [light, heavy] = [0.1 * beta + 0.9 * (1 - beta), 0.9 * beta + 0.1 * (1 - beta)];
  return sum + beta * (0.1 * log(0.1 / light) + 0.9 * log(0.9 / heavy));
}, 0);
const golden: Record<string, number> = {
  forwardKl: kl,
  reverseKl: kl,
  crossEntropy: -0.1 * log(0.9) - 0.9 * log(0.1),
  jeffreys: 2 * kl,
  jensenShannon: js,
  "jensenShannon 0.1": 0.1 * skewed + 0.9 * (0.9 * log(0.9 / 0.82) + 0.1 * log(0.1 / 0.18)),
  "jensenShannon 0.75 normalized": js75 / (0.75 * 0.25),
  totalVariation: 0.8,
  squaredHellinger: 0.4,
  chiSquared: 64 / 9,
  reverseChiSquared: 64 / 9,
  "alpha 1.5": (2.7 + 1 / 30 - 1) / 0.75,
  "alpha 0.3": (0.1 * 9 ** 0.7 + 0.9 * 9 ** -0.7 - 1) / -0.21,
  "alpha -0.5": (2.7 + 1 / 30 - 1) / 0.75,
  "renyi 2": log(73 / 9),
  "renyi 0.5": -2 * log(0.6),
  "skewForwardKl 0.1": skewed,
  "skewForwardKl 0.5": js,
  "skewReverseKl 0.1": skewed,
  "skewReverseKl 0.5": js,
};

/** Where no column is above 0 on both sides; Infinity unless it says otherwise. */
const disjoint: Record<string, number> = {
  jensenShannon: log(2),
  "jensenShannon 0.1": -0.1 * log(0.1) - 0.9 * log(0.9),
  "jensenShannon 0.75 normalized": (-0.75 * log(0.75) - 0.25 * log(0.25)) / (0.75 * 0.25),
  totalVariation: 1,
  squaredHellinger: 1,
  "alpha 0.3": 1 / 0.21,
  "skewForwardKl 0.1": log(10),
  "skewForwardKl 0.5": log(2),
  "skewReverseKl 0.1": log(10),
  "skewReverseKl 0.5": log(2),
};

interface Outcome {
  values: NumericArray;
  student: NumericArray;
  teacher: NumericArray;
}

/** [weight, divergence]: what their weighted sum is equal to. */
type Sum = readonly (readonly [number, Choice])[];

/** Values and gradients on the left are those on the right. */
const equations: [Choice, Sum][] = [
  [
    { divergence: "jeffreys" },
    [
      [1, { divergence: "forwardKl" }],
      [1, { divergence: "reverseKl" }],
    ],
  ],
  [{ divergence: "squaredHellinger" }, [[1 / 4, { divergence: "alpha", alpha: 0.5 }]]],
  [{ divergence: "chiSquared" }, [[2, { divergence: "alpha", alpha: 2 }]]],
  [{ divergence: "reverseChiSquared" }, [[2, { divergence: "alpha", alpha: -1 }]]],
  [{ divergence: "jensenShannon", normalized: true }, [[4, { divergence: "jensenShannon" }]]],
  ...[0.1, 0.5, 0.8].map((beta): [Choice, Sum] => [
    { divergence: "jensenShannon", beta },
    [
      [beta, { divergence: "skewForwardKl", lambda: beta }],
      [1 - beta, { divergence: "skewReverseKl", lambda: 1 - beta }],
    ],
  ]),
];

/** Each is the other with the sides exchanged. */
const exchanges: [Choice, Choice][] = [
  [{ divergence: "jeffreys" }, { divergence: "jeffreys" }],
  [{ divergence: "totalVariation" }, { divergence: "totalVariation" }],
  [{ divergence: "squaredHellinger" }, { divergence: "squaredHellinger" }],
  [{ divergence: "chiSquared" }, { divergence: "reverseChiSquared" }],
  [
    { divergence: "skewForwardKl", lambda: 0.2 },
    { divergence: "skewReverseKl", lambda: 0.2 },
  ],
  ...[0.1, 0.3, 0.5].map((beta): [Choice, Choice] => [
    { divergence: "jensenShannon", beta },
    { divergence: "jensenShannon", beta: 1 - beta },
  ]),
  ...[1.5, 0.3, 3].map((alpha): [Choice, Choice] => [
    { divergence: "alpha", alpha },
    { divergence: "alpha", alpha: 1 - alpha },
  ]),
];

/** A parameter at which one is defined to be another, and one nearby, where it must nearly be. */
const limits: [at: Choice, near: Choice, limit: "forwardKl" | "reverseKl"][] = [
  [{ divergence: "alpha", alpha: 1 }, { divergence: "alpha", alpha: 1.0001 }, "forwardKl"],
  [{ divergence: "alpha", alpha: 1 }, { divergence: "alpha", alpha: 0.9999 }, "forwardKl"],
  [{ divergence: "alpha", alpha: 0 }, { divergence: "alpha", alpha: 1e-4 }, "reverseKl"],
  [{ divergence: "alpha", alpha: -0 }, { divergence: "alpha", alpha: -1e-4 }, "reverseKl"],
  [{ divergence: "renyi", alpha: 1 }, { divergence: "renyi", alpha: 1.0001 }, "forwardKl"],
  [{ divergence: "renyi", alpha: 1 }, { divergence: "renyi", alpha: 0.9999 }, "forwardKl"],
  ...([0, 1] as const).map((beta): (typeof limits)[number] => [
    { divergence: "jensenShannon", beta, normalized: true },
    { divergence: "jensenShannon", beta: Math.abs(beta - 1e-4), normalized: true },
    beta === 0 ? "forwardKl" : "reverseKl",
  ]),
  [{ divergence: "skewForwardKl", lambda: 0 }, { divergence: "skewForwardKl", lambda: 1e-4 }, "forwardKl"],
  [{ divergence: "skewReverseKl", lambda: 0 }, { divergence: "skewReverseKl", lambda: 1e-4 }, "reverseKl"],
];

for (const { backend, dtype, title } of implementations) {
  const run = (
    student: Rows,
    teacher: Rows,
    choice: Choice,
    temperature: number | { student: number; teacher: number } = 1,
  ): Outcome => {
    const options = { ...everything, ...choice, temperature, backend };
    const { values, gradients } = softmaxDivergence(student, teacher, options);
    return { values, ...gradients };
  };
  const pairs = [2, 9, 200].map((columns) => ({ columns, ...logitPair({ rows: 4, columns, dtype }) }));

  test(`${title}: p = (0.1, 0.9) and q = (0.9, 0.1) are as far apart as paper and pencil say`, (t) => {
    const [student, teacher] = [rowsOf(dtype, 2, logits(0.9, 0.1)), rowsOf(dtype, 2, logits(0.1, 0.9))];
    t.deepEqual(choices.map(named), Object.keys(golden));
    for (const choice of choices) {
      const tolerance = { relative: agreementOf(choice, dtype), what: named(choice) };
      close(t, run(student, teacher, choice).values, [golden[named(choice)]!], tolerance);
      const { value } = softmaxDivergence(student, teacher, { ...choice, backend });
      close(t, value, golden[named(choice)]!, tolerance);
    }
    // q (c - sum q c), c = (1/2, -1/2), on either side.
    const variation = run(student, teacher, { divergence: "totalVariation" });
    close(t, variation.student, [0.09, -0.09], { relative: 1e-5 });
    close(t, variation.teacher, [-0.09, 0.09], { relative: 1e-5 });
  });

  test(`${title}: without a column in common a divergence is its largest, or Infinity`, (t) => {
    const student = rowsOf(dtype, 4, [1, 2, -Infinity, -Infinity]);
    const teacher = rowsOf(dtype, 4, [-Infinity, -Infinity, 0.5, 3]);
    for (const choice of choices) {
      const expected = disjoint[named(choice)];
      const beside = run(student, teacher, choice);
      const alone = softmaxDivergence(student, teacher, { ...choice, reduction: "none", backend }).values;
      for (const actual of [beside.values, alone]) {
        const what = `${named(choice)}: ${actual[0]}`;
        if (expected === undefined) identical(t, actual, [Infinity], what);
        else close(t, actual, [expected], { relative: agreementOf(choice, dtype), what });
      }
    }
  });

  test(`${title}: some are sums of others, with their gradients`, (t) => {
    for (const { columns, student, teacher } of pairs) {
      for (const temperature of temperatures) {
        for (const [choice, sum] of equations) {
          const actual = run(student, teacher, choice, temperature);
          const parts = sum.map(
            ([weight, part]) => [weight, run(student, teacher, part, temperature)] as const,
          );
          for (const name of ["values", ...sides] as const) {
            const expected = Array.from(actual[name], (_, i) =>
              parts.reduce((total, [weight, part]) => total + weight * part[name][i]!, 0),
            );
            const what = `${named(choice)}, ${columns} columns, ${name}`;
            const group = name === "values" ? 1 : columns;
            close(t, actual[name], expected, { relative: agreementOf(choice, dtype), group, what });
          }
        }
      }
    }
  });

  test(`${title}: some are others, or themselves, with the sides exchanged`, (t) => {
    for (const { columns, student, teacher } of pairs) {
      for (const [choice, other] of exchanges) {
        const actual = run(student, teacher, choice, { student: 2, teacher: 1.5 });
        const expected = run(teacher, student, other, { student: 1.5, teacher: 2 });
        const relative = agreementOf(choice, dtype);
        const what = `${named(choice)} and ${named(other)}, ${columns} columns`;
        close(t, actual.values, expected.values, { relative, group: 1, what });
        close(t, actual.student, expected.teacher, { relative, group: columns, what });
        close(t, actual.teacher, expected.student, { relative, group: columns, what });
      }
    }
  });

  test(`${title}: Rényi's divergence is a logarithm of the alpha divergence`, (t) => {
    for (const { columns, student, teacher } of pairs) {
      for (const temperature of temperatures) {
        const values = (choice: Choice): NumericArray => run(student, teacher, choice, temperature).values;
        const relative = agreementOf({ divergence: "renyi" }, dtype);
        for (const alpha of [0.3, 0.5, 1.5, 2, 5]) {
          const expected = values({ divergence: "alpha", alpha }).map(
            (value) => Math.log1p(alpha * (alpha - 1) * value) / (alpha - 1),
          );
          const tolerance = { relative, group: 1, what: `${alpha}, ${columns} columns` };
          close(t, values({ divergence: "renyi", alpha }), expected, tolerance);
        }
        const half = values({ divergence: "squaredHellinger" }).map((h) => -2 * Math.log1p(-h));
        close(t, values({ divergence: "renyi", alpha: 0.5 }), half, { relative, group: 1 });
        const squared = values({ divergence: "renyi", alpha: 2 }).map(Math.expm1);
        close(t, values({ divergence: "chiSquared" }), squared, { relative, group: 1 });
      }
    }
  });

  test(`${title}: at the ends of their parameters some are KL itself, and near them nearly`, (t) => {
    for (const { columns, student, teacher } of pairs) {
      for (const [at, near, divergence] of limits) {
        const limit = run(student, teacher, { divergence });
        const what = `${named(near)}, ${columns} columns`;
        const [exactly, nearly] = [at, near].map((choice) => run(student, teacher, choice)) as [
          Outcome,
          Outcome,
        ];
        for (const name of ["values", ...sides] as const) {
          identical(t, exactly[name], limit[name], what);
          close(t, nearly[name], limit[name], { relative: 5e-3, what });
        }
      }
      // Not a limit, but what Liger and TRL call the two ends.
      for (const beta of [0, 1]) {
        const divergence = beta === 0 ? "forwardKl" : "reverseKl";
        const actual = run(student, teacher, { divergence: "jensenShannon", beta });
        identical(t, actual.values, run(student, teacher, { divergence }).values);
      }
    }
  });

  test(`${title}: the bounds between them hold`, (t) => {
    // What float32 may add to a larger side.
    const slack = 1 + agreementOf({ divergence: "alpha" }, dtype);
    for (const distance of [3, 1, 1e-1, 1e-2]) {
      const { student, teacher } = logitPair({ rows: 20, columns: 50, dtype, distance, seed: 7 });
      const of = (choice: Choice): NumericArray => run(student, teacher, choice).values;
      const all = {
        forward: of({ divergence: "forwardKl" }),
        reverse: of({ divergence: "reverseKl" }),
        variation: of({ divergence: "totalVariation" }),
        hellinger: of({ divergence: "squaredHellinger" }),
        chi: of({ divergence: "chiSquared" }),
        js: of({ divergence: "jensenShannon" }),
        half: of({ divergence: "renyi", alpha: 0.5 }),
        two: of({ divergence: "renyi", alpha: 2 }),
        skew: of({ divergence: "skewForwardKl" }),
      };
      for (let row = 0; row < 20; row++) {
        const { forward, reverse, variation, hellinger, chi, js, half, two, skew } = Object.fromEntries(
          Object.entries(all).map(([name, values]) => [name, values[row]!]),
        ) as Record<keyof typeof all, number>;
        const bounds: [string, number, number][] = [
          ["Pinsker", variation ** 2, forward / 2],
          ["Pinsker, reversed", variation ** 2, reverse / 2],
          ["JS <= log 2", js, log(2)],
          ["JS <= jeffreys / 8", js, (forward + reverse) / 8],
          ["H² <= TV", hellinger, variation],
          ["TV <= H √(2 - H²)", variation, sqrt(hellinger * (2 - hellinger))],
          ["KL <= log(1 + χ²)", forward, Math.log1p(chi)],
          ["Rényi grows with its order", half, forward],
          ["Rényi grows with its order beyond 1", forward, two],
          ["a mixture is nearer", skew, forward],
          ["and no further than -log λ", skew, log(10)],
        ];
        for (const [name, less, more] of bounds) {
          t.true(less > 0 && less <= more * slack, `${name} at ${distance}: ${less} <= ${more}`);
        }
      }
    }
  });
}

// All columns share the rounding of their row's log-sum-exp, which no sum over columns would average out.
for (const { divergence, ...rest } of [
  { divergence: "jensenShannon" },
  { divergence: "skewForwardKl", lambda: 0.1 },
  { divergence: "skewReverseKl", lambda: 0.1 },
] as const) {
  test(`${divergence} of rows far apart keeps what the log-sum-exps round off`, (t) => {
    const [rows, columns, normal] = [12, 4000, normals(7)];
    const base = Float32Array.from({ length: rows * columns }, normal);
    const moved = base.map((x) => x + 0.9 * normal());
    type Numbers = Float32Array | Float64Array;
    const values = (student: Numbers, teacher: Numbers, backend: BackendChoice): Float64Array => {
      const options = { divergence, ...rest, reduction: "none", backend } as const;
      const rowsOfAll = (data: Numbers): Rows<Numbers> => ({ data, shape: [rows, columns] });
      const result = softmaxDivergence(rowsOfAll(student), rowsOfAll(teacher), options);
      return (result as unknown as { values: Float64Array }).values;
    };
    const exact = values(Float64Array.from(base), Float64Array.from(moved), "reference");
    t.true(exact.every((value) => value > 0.05));
    for (const backend of backends) {
      if (backend === "cuda") continue; // has its own sums
      values(base, moved, backend).forEach((value, row) => {
        t.true(
          Math.abs(value / exact[row]! - 1) < 7e-7,
          `${backend}, row ${row}: ${value / exact[row]! - 1}`,
        );
      });
    }
  });
}
