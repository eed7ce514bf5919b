// KULLBACK_CPU_ISA: the instruction set that is forced is the one that runs, and all give the same answers.
import test from "ava";
import { fileURLToPath } from "node:url";
import { backendInfo } from "../../lib/index.js";
import { agreementOf } from "../cases.js";
import { root, run, runModule, type ChildResult } from "../child.js";
import { close } from "../close.js";
import type { ChildReport } from "./instruction-set-child.js";

const sets = backendInfo().cpu?.instructionSets ?? [];
const tested = process.env.KULLBACK_TEST_BACKEND;
const script = fileURLToPath(new URL("instruction-set-child.js", import.meta.url));

/** One process for each, and one without the variable. */
const results = new Map<string | undefined, Promise<ChildResult>>(
  [undefined, ...sets].map((set) => [
    set,
    run(process.execPath, [script], {
      env: { ...(set && { KULLBACK_CPU_ISA: set }), ...(tested && { KULLBACK_TEST_BACKEND: tested }) },
    }),
  ]),
);

async function reportOf(set: string | undefined): Promise<ChildReport> {
  const result = await results.get(set);
  if (result?.code !== 0) throw new Error(`${set}: ${JSON.stringify(result)}`);
  return JSON.parse(result.stdout) as ChildReport;
}

test("every instruction set of this processor runs where KULLBACK_CPU_ISA says so, and the best without it", async (t) => {
  t.true(sets.includes("baseline"), sets.join());
  for (const set of sets) t.is((await reportOf(set)).instructionSet, set);
  t.is((await reportOf(undefined)).instructionSet, sets.at(-1));
});

const wide = sets.filter((set) => set !== "baseline");
if (wide.length < 2) {
  test.skip(`wide instruction sets give the same bits (this processor has ${sets.join(", ")})`, () =>
    undefined);
} else {
  test(`${wide.join(" and ")} give the same bits`, async (t) => {
    const [first, ...others] = (await Promise.all(wide.map(reportOf))) as [ChildReport, ...ChildReport[]];
    t.true(first.cases.length > 50);
    for (const other of others) {
      first.cases.forEach(({ what, digest }, i) => t.is(other.cases[i]?.digest, digest, what));
    }
  });
}

if (wide.length === 0) {
  test.skip("the baseline agrees with the wide instruction sets (this processor has none)", () => undefined);
} else {
  test("the baseline, which cannot fuse, agrees with the wide instruction sets", async (t) => {
    const [baseline, other] = await Promise.all([reportOf("baseline"), reportOf(wide[0])]);
    t.is(baseline.cases.length, other.cases.length);
    baseline.cases.forEach((actual, i) => {
      const expected = other.cases[i] as (typeof other.cases)[number];
      t.is(actual.what, expected.what);
      const relative = agreementOf(
        { divergence: actual.divergence },
        actual.what.startsWith("float32") ? "float32" : "float64",
      );
      for (const name of ["values", "student", "teacher"] as const) {
        close(t, actual[name], expected[name], { relative, what: `${actual.what}, ${name}` });
      }
    });
    // Else both would be one instruction set under two names.
    t.true(baseline.cases.some(({ digest }, i) => digest !== other.cases[i]?.digest));
  });
}

test("a name that is no instruction set's is an OptionError that names those that are", async (t) => {
  const source =
    "import('kullback').then(({ softmaxDivergence, OptionError }) => { const rows = { data: new Float32Array(2), shape: " +
    "[1, 2] }; try { softmaxDivergence(rows, rows); } catch (error) { console.log(error instanceof OptionError, " +
    "error.code, error.message); } });";
  for (const name of ["sse2", "AVX2", "avx1024", " "]) {
    const { code, stdout, stderr } = await runModule(source, { cwd: root, env: { KULLBACK_CPU_ISA: name } });
    t.is(
      stdout.trim(),
      `true ERR_KULLBACK_OPTION KULLBACK_CPU_ISA is ${JSON.stringify(name)}, which is unknown; here it can be ${sets.join(", ")}`,
      stderr,
    );
    t.is(code, 0);
  }
});
