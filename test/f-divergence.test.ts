// fDivergence: closed forms, identities, gradients, error bound, edges, determinism, errors.
import test from "ava";
import {
  DtypeError,
  fDivergence,
  fDivergenceAsync,
  OptionError,
  setThreadCount,
  ShapeError,
  softmaxDivergence,
  threadCount,
  type FDivergenceName,
  type FDivergenceOutput,
  type NumericArray,
} from "../lib/index.js";
import { arrayOf, backends, choices, implementations, named, normals, type Choice } from "./cases.js";
import { close, identical, zeros } from "./close.js";
import { exactGenerator } from "./f-oracle.js";

type FChoice = Choice & { divergence: FDivergenceName };
const fChoices = choices.filter(
  ({ divergence }) => divergence !== "crossEntropy" && divergence !== "renyi",
) as FChoice[];
const outputs = ["values", "derivatives", "valueGradients", "derivativeGradients"] as const;
type Outputs = Record<FDivergenceOutput, NumericArray>;

// Closed forms: the tables of f-DPO, DPH-RL and f-DPG, at Δ = −2, −0.5, 0, 0.3, 1.5. The first number is what theirs is
// a multiple of ours: they double Jensen and Shannon's, and sum (√π − √ρ)².
const deltas = [-2, -0.5, 0, 0.3, 1.5];
const published: [FChoice, number, values: number[], derivatives: number[] | undefined][] = [
  [
    { divergence: "forwardKl" },
    1,
    [1.1353352832, 0.1065306597, 0, 0.0498588076, 1.9816890703],
    [-6.3890560989, -0.6487212707, 0, 0.2591817793, 0.7768698399],
  ],
  [
    { divergence: "reverseKl" },
    1,
    [0.5939941503, 0.0902040104, 0, 0.0550988347, 3.2408445352],
    [-2, -0.5, 0, 0.3, 1.5],
  ],
  [
    { divergence: "jensenShannon" },
    2,
    [0.3721780347, 0.0486776573, 0, 0.0261414534, 1.1955323593],
    [-1.4337808305, -0.2809298036, 0, 0.1387919361, 0.4917339026],
  ],
  [
    { divergence: "alpha", alpha: 0.3 },
    1,
    [0.7054177825, 0.0946827242, 0, 0.0534433588, 2.7596725294],
    [-2.7403960013, -0.5394474758, 0, 0.2868960491, 1.2079061613],
  ],
  [
    { divergence: "alpha", alpha: 0.5 },
    1,
    [0.7991528018, 0.0978581871, 0, 0.0523806442, 2.4953780742],
    [-3.4365636569, -0.5680508334, 0, 0.2785840471, 1.0552668945],
  ],
  [
    { divergence: "totalVariation" },
    1,
    [0.4323323584, 0.1967346701, 0, 0.1749294038, 1.7408445352],
    [-0.5, -0.5, 0, 0.5, 0.5],
  ],
  [
    { divergence: "reverseChiSquared" },
    1,
    [0.7476450724, 0.1548181217, 0, 0.1224011852, 12.1221587825],
    undefined,
  ],
  [{ divergence: "chiSquared" }, 1, [5.5243913822, 0.2552519304, 0, 0.0906770283, 2.7048192305], undefined],
  [
    { divergence: "squaredHellinger" },
    2,
    [0.3995764009, 0.0489290936, 0, 0.0261903221, 1.2476890371],
    undefined,
  ],
];
for (const backend of backends) {
  test(`${backend}: the published tables of f and f′`, (t) => {
    for (const [choice, factor, values, derivatives] of published) {
      const options = { ...choice, outputs: ["values", "derivatives"], backend } as const;
      const result = fDivergence(Float64Array.from(deltas), options);
      const what = named(choice);
      const tolerance = { absolute: 1e-10, relative: 1e-10, what };
      close(
        t,
        result.values.map((x) => factor * x),
        values,
        tolerance,
      );
      if (derivatives) {
        close(
          t,
          result.derivatives.map((x) => factor * x),
          derivatives,
          tolerance,
        );
      }
    }
  });

  // Identities.
  test(`${backend}: Σ ρ f(u) is softmaxDivergence, and Σ ρ u f′(u) its derivative for log π`, (t) => {
    const [columns, normal] = [17, normals(7)];
    const logits = (): Float64Array => Float64Array.from({ length: columns }, () => 1.5 * normal());
    const logSoftmax = (x: Float64Array): Float64Array => {
      const logSum = Math.log(x.reduce((sum, y) => sum + Math.exp(y), 0));
      return x.map((y) => y - logSum);
    };
    const [logPi, logRho] = [logSoftmax(logits()), logSoftmax(logits())];
    const rows = (data: Float64Array) => ({ data, shape: [columns] });
    for (const choice of fChoices) {
      const f = fDivergence(
        logPi.map((x, i) => x - logRho[i]!),
        { ...choice, outputs, backend },
      );
      const expected = softmaxDivergence(rows(logPi), rows(logRho), {
        ...choice,
        gradients: ["student"],
        backend,
      });
      const mean = (array: Float64Array): number =>
        array.reduce((sum, x, i) => sum + Math.exp(logRho[i]!) * x, 0);
      const what = named(choice);
      close(t, mean(f.values), expected.value, { relative: 1e-12, what });
      // The gradient for the logits of π: ρ u f′ less π times its sum.
      const slope = mean(f.valueGradients);
      const gradient = f.valueGradients.map((x, i) => Math.exp(logRho[i]!) * x - Math.exp(logPi[i]!) * slope);
      close(t, gradient, expected.gradients.student, { relative: 1e-12, what });
    }
  });

  // Gradients.
  test(`${backend}: the gradients are the derivatives of values and derivatives for the log ratio`, (t) => {
    const [step, points] = [1e-5, [-3, -1.2, -0.7, -0.01, 0.02, 0.6, 1.1, 4]];
    for (const choice of fChoices) {
      const at = (shift: number): Outputs =>
        fDivergence(
          Float64Array.from(points, (x) => x + shift),
          { ...choice, outputs, backend },
        );
      const [below, here, above] = [at(-step), at(0), at(step)];
      for (const name of ["value", "derivative"] as const) {
        const slope = here.values.map((_, i) => (above[`${name}s`][i]! - below[`${name}s`][i]!) / (2 * step));
        const what = `${named(choice)}, ${name}`;
        const gradients = here[`${name}Gradients`];
        if (choice.divergence === "totalVariation" && name === "derivative") zeros(t, gradients, what);
        else close(t, gradients, slope, { relative: 1e-8, what });
      }
    }
  });
}

// Error bound: roundings of the formula, and the rounding of exponents, which one of the log ratio would bring too.
for (const { backend, dtype, title } of implementations) {
  test(`${title}: every output is right to the documented bound at log ratios of every size`, (t) => {
    const ulp = { float32: 2 ** -23, float64: 2 ** -52 }[dtype];
    const sizes = [1e-8, 1e-4, 0.01, 0.3, 0.49, 0.51, 0.7, 0.99, 1.01, 1.7, 3, 6, 11, 19, 30];
    const logRatios = arrayOf(
      dtype,
      sizes.flatMap((x) => [-x, x]),
    );
    for (const choice of fChoices) {
      const actual = fDivergence(logRatios, { ...choice, outputs, backend });
      const order = Math.max(1, Math.abs(choice.alpha ?? 1), Math.abs(1 - (choice.alpha ?? 0)));
      logRatios.forEach((x, i) => {
        const exact = exactGenerator(choice, x);
        for (const name of outputs) {
          const what = `${named(choice)}, ${name} at ${x}`;
          if (exact[name] === 0) zeros(t, actual[name][i]!, what);
          else
            close(t, actual[name][i]!, exact[name], { relative: (16 + 2 * order * Math.abs(x)) * ulp, what });
        }
      });
    }
  });

  // Edges.
  test(`${title}: limits at infinite log ratios, 0 at 0, NaN at NaN, and nothing of nothing`, (t) => {
    const inf = Infinity;
    // values, derivatives, valueGradients and derivativeGradients at −Infinity, then at Infinity
    const limits: [FChoice, number[], number[]][] = [
      [{ divergence: "forwardKl" }, [inf, -inf, -1, inf], [inf, 1, inf, 0]],
      [{ divergence: "reverseKl" }, [1, -inf, 0, 1], [inf, inf, inf, 1]],
      [{ divergence: "jeffreys" }, [inf, -inf, -1, inf], [inf, inf, inf, 1]],
      [{ divergence: "jensenShannon" }, [Math.LN2 / 2, -inf, 0, 0.5], [inf, Math.LN2 / 2, inf, 0]],
      [{ divergence: "totalVariation" }, [0.5, -0.5, 0, 0], [inf, 0.5, inf, 0]],
      [{ divergence: "squaredHellinger" }, [0.5, -inf, 0, inf], [inf, 0.5, inf, 0]],
      [{ divergence: "chiSquared" }, [inf, -inf, -inf, inf], [inf, 1, inf, 0]],
      [{ divergence: "reverseChiSquared" }, [1, -2, 0, 0], [inf, inf, inf, inf]],
      [{ divergence: "alpha", alpha: 0.3 }, [1 / 0.7, -inf, 0, inf], [inf, 1 / 0.3, inf, 0]],
      [{ divergence: "alpha", alpha: 0.75 }, [4, -inf, 0, inf], [inf, 4 / 3, inf, 0]],
      [{ divergence: "alpha", alpha: 1e-3 }, [1 / 0.999, -inf, 0, inf], [inf, 1000, inf, 0]],
      [{ divergence: "alpha", alpha: 1.5 }, [inf, -inf, -inf, inf], [inf, 2 / 3, inf, 0]],
      [{ divergence: "skewForwardKl", lambda: 0.25 }, [Math.log(4) - 0.75, -2.25, 0, 0], [inf, 0.75, inf, 0]],
      [{ divergence: "skewReverseKl", lambda: 0.25 }, [0.75, -inf, 0, 1], [inf, Math.log(4) - 0.75, inf, 0]],
    ];
    for (const [choice, below, above] of limits) {
      const logRatios = arrayOf(dtype, [-inf, -2000, inf, 2000, NaN, 0]);
      const actual = fDivergence(logRatios, { ...choice, outputs, backend });
      outputs.forEach((name, i) => {
        const what = `${named(choice)}, ${name}`;
        const wanted = [below[i]!, above[i]!];
        const got = actual[name];
        [got[0]!, got[2]!].forEach((value, side) => {
          const limit = wanted[side]!;
          if (Number.isFinite(limit) && limit !== 0) close(t, value, limit, { relative: 1e-5, what });
          else identical(t, Math.abs(value) === 0 ? 0 : value, limit, what);
        });
        t.false(Number.isNaN(got[1]), what);
        t.false(Number.isNaN(got[3]), what);
        t.true(Number.isNaN(got[4]), what);
        if (name !== "derivativeGradients") zeros(t, got[5]!, what);
      });
    }
    t.is(fDivergence(arrayOf(dtype, []), { backend }).values.length, 0);
  });

  // Determinism.
  test(`${title}: later, alone, in pieces and on any number of threads the same bits`, async (t) => {
    const normal = normals(11);
    const length = backend === "cpu" ? 70000 : 1000;
    const logRatios = arrayOf(
      dtype,
      Float64Array.from({ length }, () => 3 * normal()),
    );
    for (const choice of fChoices) {
      const options = { ...choice, outputs, backend } as const;
      const now = fDivergence(logRatios, options);
      const later = await fDivergenceAsync({ data: logRatios, shape: [length] }, options);
      const piece = fDivergence(logRatios.subarray(5, 42), options);
      const out = { derivatives: arrayOf(dtype, { length }) };
      const alone = fDivergence(logRatios, { ...choice, outputs: ["derivatives"], out, backend });
      t.true(Object.is(alone.derivatives, out.derivatives));
      t.deepEqual(Object.keys(alone), ["derivatives", "backend"]);
      identical(t, out.derivatives, now.derivatives);
      for (const name of outputs) {
        identical(t, later[name], now[name], named(choice));
        identical(t, piece[name], now[name].subarray(5, 42), named(choice));
      }
    }
    const threads = threadCount();
    const counts = backend === "cpu" ? [1, 3] : [];
    const [first, second] = counts.map((count) => {
      setThreadCount(count);
      return fDivergence(logRatios, { backend }).values;
    });
    setThreadCount(Math.max(1, threads));
    if (first && second) identical(t, second, first);
  });
}

// Errors.
const right = Float32Array.of(1, 2);
const cases: [what: string, error: object, call: () => unknown][] = [
  [
    'options.divergence is "renyi", which is no f-divergence: a function of the whole sum, not a sum over samples; "alpha" is that sum',
    OptionError,
    () => fDivergence(right, { divergence: "renyi" as never, alpha: 2 }),
  ],
  [
    'options.divergence is "crossEntropy", which is no f-divergence: it depends on more than the ratio; "forwardKl" differs from it by the entropy of the reference',
    OptionError,
    () => fDivergence(right, { divergence: "crossEntropy" as never }),
  ],
  [
    "logRatios is an Array of length 1; it must be a Float32Array, a Float64Array, a DeviceArray, or { data, shape } with one",
    DtypeError,
    () => fDivergence([1] as never),
  ],
  [
    "logRatios.data has 2 elements; its shape [3] needs 3",
    ShapeError,
    () => fDivergence({ data: right, shape: [3] }),
  ],
  [
    'options.outputs[0] is "score"; it must be "values", "derivatives", "valueGradients" or "derivativeGradients"',
    OptionError,
    () => fDivergence(right, { outputs: ["score" as never] }),
  ],
  [
    'options.out.derivatives is given, but options.outputs does not name "derivatives"',
    OptionError,
    () => fDivergence(right, { out: { derivatives: new Float32Array(2) } }),
  ],
  [
    "options.out.values has 3 elements; it must have 2",
    ShapeError,
    () => fDivergence(right, { out: { values: new Float32Array(3) } }),
  ],
  [
    "options.out.values shares memory with logRatios; it must have memory of its own",
    OptionError,
    () => fDivergence(right, { out: { values: right } }),
  ],
];
for (const [message, instanceOf, call] of cases) {
  test(`error: ${message}`, (t) => {
    t.throws(call, { instanceOf: instanceOf as never, message });
  });
}

test("errors of the asynchronous form reject, and an abort writes nothing", async (t) => {
  await t.throwsAsync(() => fDivergenceAsync([1] as never), { instanceOf: DtypeError });
  const controller = new AbortController();
  const values = new Float32Array(2);
  const running = fDivergenceAsync(right, { out: { values }, signal: controller.signal });
  controller.abort(new Error("enough"));
  await t.throwsAsync(() => running, { message: "enough" });
  zeros(t, values);
});
