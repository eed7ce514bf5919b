// The vector exp, exp2, expm1, log1p and log on every instruction set that runs here: their error in ulp, edges, tails, parity.
import test, { type ExecutionContext } from "ava";
import type { Decimal } from "decimal.js";
import { readFileSync } from "node:fs";
import { elementaryFunctions, type Addon, type ElementaryFunction } from "../../lib/backend/addon.js";
import { loadAddon } from "../../lib/backend/load.js";
import type { NumericArray } from "../../lib/index.js";
import { arrayOf, dtypes, normals, type Dtype } from "../cases.js";
import { root } from "../child.js";
import { identical } from "../close.js";
import { Exact, exactly } from "../oracle.js";
import { ulpsOfFloat32, ulpsOfFloat64 } from "../ulp.js";

const addon = loadAddon().addon as Addon;
const sets = addon
  .instructionSets()
  .filter(({ supported }) => supported)
  .map(({ name }) => name);

function run(set: string, name: ElementaryFunction, from: NumericArray): NumericArray {
  const to = from.slice();
  addon.elementary(set, elementaryFunctions.indexOf(name), from.length, from, to);
  return to;
}

/** What the header promises: `name N ulp` for each function, where need be `name N ulp (baseline N)`. The header is the documentation and the bound. */
const header = readFileSync(`${root}native/math/elementary.inl.h`, "utf8");
function documentedBound(name: ElementaryFunction, set: string): number {
  const cName = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const [, bound, baseline] =
    new RegExp(`\\b${cName} ([0-9.]+) ulp(?: \\(baseline ([0-9.]+)\\))?`).exec(header) ?? [];
  return Number((set === "baseline" ? baseline : undefined) ?? bound);
}

interface Domain {
  /** In float64, good enough for float32. */
  inFloat64: (x: number) => number;
  exact: (x: number) => Decimal;
  /** Where the result is finite, by element type. */
  range: Record<Dtype, [low: number, high: number]>;
}

const third = new Exact(1).div(3);
const domains: Record<ElementaryFunction, Domain> = {
  exp: {
    inFloat64: Math.exp,
    exact: (x) => exactly(x).exp(),
    range: { float32: [-103.9, 88.72283], float64: [-745.1, 709.782712893384] },
  },
  exp2: {
    inFloat64: (x) => 2 ** x,
    exact: (x) => new Exact(2).pow(exactly(x)),
    range: { float32: [-126, 126.99], float64: [-1022, 1022.99] },
  },
  expm1: {
    inFloat64: Math.expm1,
    // Below 1e-8 nothing would be left of 40 digits, but three terms of the series are enough.
    exact: (x) => {
      const e = exactly(x);
      if (Math.abs(x) > 1e-8) return e.exp().sub(1);
      return e.mul(e.mul(e.mul(third).add(1)).div(2).add(1));
    },
    range: { float32: [-60, 88.72283], float64: [-60, 709.782712893384] },
  },
  log1p: {
    inFloat64: Math.log1p,
    exact: (x) => {
      const e = exactly(x);
      if (Math.abs(x) > 1e-8) return e.add(1).ln();
      return e.mul(e.mul(e.mul(third).sub(0.5)).add(1));
    },
    range: { float32: [-1 + 2 ** -24, 3.4e38], float64: [-1 + 2 ** -53, 1.7e308] },
  },
  log: {
    inFloat64: Math.log,
    exact: (x) => exactly(x).ln(),
    range: { float32: [2 ** -149, 3.4e38], float64: [5e-324, 1.7e308] },
  },
};

/** The worst of some millions of points, which a run of this file would meet once in a while only. */
const worstKnown: Record<ElementaryFunction, number[]> = {
  exp: [80.75166320800781, -27.377992630004883, -37.77601623535156, 572.8861710055114],
  exp2: [-26.243736267089844, -1.4999349117279053],
  expm1: [0.39538639783859253, 0.3943265676498413, 0.35827839867538747, 0.37812568724911655],
  log1p: [0.4023016095161438, -0.2928933063008651],
  log: [1.4023016095161438, 0.7071066],
};

/** Numbers of all magnitudes in a range, of its middle, and next to the edges between two powers of two. */
function points(name: ElementaryFunction, dtype: Dtype, count: number): NumericArray {
  const [low, high] = domains[name].range[dtype];
  const normal = normals(7);
  const uniform = (from: number, to: number): number => {
    // The normal distribution function would do; its sine is uniform enough, and reaches both ends.
    const share = (Math.sin(normal() * 1e3) + 1) / 2;
    return from + share * (to - from);
  };
  const leastExponent = dtype === "float32" ? -45 : -320;
  const values: number[] = [low, high, ...worstKnown[name]];
  for (let i = 0; i < count / 4; i++) {
    values.push(
      uniform(low, high),
      uniform(-1.5, 1.5),
      Math.sign(normal()) * 10 ** uniform(leastExponent, Math.log10(high - low)),
      name === "log"
        ? 2 ** Math.round(uniform(-30, 30)) * Math.SQRT2 * (1 + 1e-7 * normal())
        : name === "log1p"
          ? 2 ** Math.round(uniform(-30, 30)) * Math.SQRT2 * (1 + 1e-7 * normal()) - 1
          : (Math.round(uniform(low, high) / Math.LN2) + 0.5) * Math.LN2 * (1 + 1e-7 * normal()),
    );
  }
  const inRange = arrayOf(dtype, values).filter((x) => x >= low && x <= high && x !== 0);
  return inRange;
}

/** The largest error in ulp on each instruction set; `errorOf` knows the true values by their index. */
function checkError(
  t: ExecutionContext,
  name: ElementaryFunction,
  from: NumericArray,
  errorOf: (y: number, index: number) => number,
): void {
  for (const set of sets) {
    const bound = documentedBound(name, set);
    let [worst, at] = [0, 0];
    run(set, name, from).forEach((y, i) => {
      const error = errorOf(y, i);
      // Written so that a NaN counts.
      if (!(error <= worst)) [worst, at] = [error, from[i] as number];
    });
    t.log(`${set}: ${worst.toFixed(2)} ulp at ${at}`);
    t.true(worst <= bound, `${set}: ${worst.toFixed(3)} ulp at ${at}, documented ${bound}`);
    // Half an ulp is what rounding a true value costs: less, and nothing was compared.
    t.true(worst >= 0.45, `${set}: ${worst} ulp is too good`);
  }
}

for (const name of elementaryFunctions) {
  test(`float32 ${name} is within its documented error on every instruction set`, (t) => {
    const from = points(name, "float32", 200000);
    const expected = Array.from(from, domains[name].inFloat64);
    checkError(t, name, from, (y, i) => ulpsOfFloat32(y, expected[i] as number));
  });

  test(`float64 ${name} is within its documented error on every instruction set`, (t) => {
    const from = points(name, "float64", 2000);
    const expected = Array.from(from, domains[name].exact);
    checkError(t, name, from, (y, i) => ulpsOfFloat64(y, expected[i] as Decimal));
  });
}

/** Where functions end: the least argument with an infinite exponential, the last with one above 0, subnormals. */
const edges: Record<Dtype, Record<ElementaryFunction, [x: number, y: number][]>> = {
  float32: {
    exp: [
      [88.7228393, Infinity],
      [-103.97, 2 ** -149],
      [-104, 0],
      [1e-40, 1],
    ],
    exp2: [
      [-126.51, 0],
      [-1e30, 0],
      [-126, 2 ** -126],
      [126, 2 ** 126],
      [-1e-40, 1],
    ],
    expm1: [
      [88.7228393, Infinity],
      [-40, -1],
      [-1e30, -1],
      [1e-40, 1e-40],
      [-(2 ** -149), -(2 ** -149)],
    ],
    log1p: [
      [1e-40, 1e-40],
      [2 ** -149, 2 ** -149],
      [-1.0000001, NaN],
      [-3e38, NaN],
    ],
    log: [[-(2 ** -149), NaN]],
  },
  float64: {
    exp: [
      [709.7827128933841, Infinity],
      [-745.1332191019411, 5e-324],
      [-745.1332191019412, 0],
      [-1e300, 0],
      [5e-324, 1],
    ],
    exp2: [
      [-1022.51, 0],
      [-1e300, 0],
      [-1022, 2 ** -1022],
      [1022, 2 ** 1022],
      [-5e-324, 1],
    ],
    expm1: [
      [709.7827128933841, Infinity],
      [-40, -1],
      [-1e300, -1],
      [5e-324, 5e-324],
    ],
    log1p: [
      [5e-324, 5e-324],
      [-1 - 2 ** -52, NaN],
      [-1e300, NaN],
      [-1 + 2 ** -53, Math.log1p(-1 + 2 ** -53)],
    ],
    log: [[-5e-324, NaN]],
  },
};
const commonEdges: Record<ElementaryFunction, [x: number, y: number][]> = {
  exp: [
    [0, 1],
    [-0, 1],
    [Infinity, Infinity],
    [-Infinity, 0],
    [NaN, NaN],
  ],
  exp2: [
    [0, 1],
    [-0, 1],
    [-Infinity, 0],
    [NaN, NaN],
  ],
  expm1: [
    [0, 0],
    [Infinity, Infinity],
    [-Infinity, -1],
    [NaN, NaN],
  ],
  log1p: [
    [0, 0],
    [-1, -Infinity],
    [Infinity, Infinity],
    [-Infinity, NaN],
    [NaN, NaN],
  ],
  log: [
    [1, 0],
    [0, -Infinity],
    [-0, -Infinity],
    [Infinity, Infinity],
    [-Infinity, NaN],
    [NaN, NaN],
  ],
};

for (const dtype of dtypes) {
  for (const name of elementaryFunctions) {
    test(`${dtype} ${name}: edges, wherever in a vector`, (t) => {
      const cases = [...commonEdges[name], ...edges[dtype][name]];
      for (const set of sets) {
        for (const [x, y] of cases) {
          // One edge among ordinary numbers, in each lane of the first vector and in a tail.
          for (const at of [0, 1, 7, 8, 15, 17, 18]) {
            const from = arrayOf(dtype, new Array<number>(19).fill(-0.5).with(at, x));
            const expected = run(set, name, arrayOf(dtype, new Array<number>(19).fill(-0.5)));
            expected[at] = y;
            identical(t, run(set, name, from), expected, `${set} ${name}(${x})`);
          }
        }
      }
    });

    test(`${dtype} ${name}: a tail is computed like the rest, and nothing beyond it is written`, (t) => {
      const from = points(name, dtype, 200).slice(0, 67);
      for (const set of sets) {
        const whole = run(set, name, from);
        for (let length = 0; length <= from.length; length++) {
          const to = from.map(() => 12345);
          addon.elementary(set, elementaryFunctions.indexOf(name), length, from, to);
          const expected = whole.map((y, i) => (i < length ? y : 12345));
          identical(t, to, expected, `${set}, length ${length}`);
        }
      }
    });
  }
}

const wide = sets.filter((set) => set !== "baseline");
if (wide.length < 2) {
  test.skip(`AVX2 and AVX-512 give the same bits (this processor has ${sets.join(", ")})`, () => undefined);
} else {
  for (const dtype of dtypes) {
    for (const name of elementaryFunctions) {
      test(`${dtype} ${name}: ${wide.join(" and ")} give the same bits`, (t) => {
        const from = points(name, dtype, 20000);
        const [first, ...others] = wide.map((set) => run(set, name, from)) as [
          NumericArray,
          ...NumericArray[],
        ];
        for (const other of others) identical(t, other, first);
      });
    }
  }
}
