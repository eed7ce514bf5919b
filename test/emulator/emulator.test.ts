// The emulator that executes CUDA kernels on the host: each seeded bug is reported by the checks that should see it, no
// correct kernel is complained about, and collectives, clusters and conversions do as the hardware does.
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { all, root, run } from "../child.js";

type Variant = "plain" | "address" | "access";
const variants: Variant[] = ["plain", "address", "access"];
const settings = [
  "order=forward",
  "order=reverse",
  "order=random,seed=3",
  "copies=early",
  "streams=eager",
  "order=reverse,copies=early,streams=eager",
];

/** What each check says of each bug: text that its output must hold under the named settings. */
const bugs: Record<string, Partial<Record<Variant, [setting: string, report: string]>>> = {
  "no-barrier": { plain: ["order=forward", "wrong"], access: ["order=forward", "nobody wrote"] },
  "no-second-barrier": { plain: ["order=forward", "wrong"], access: ["order=forward", "race: "] },
  "no-warp-barrier": { plain: ["order=forward", "wrong"], access: ["order=forward", "nobody wrote"] },
  "shuffle-as-fence": { access: ["order=forward", "race: "] },
  "barrier-in-branch": { address: ["order=forward", "barrier"], access: ["order=forward", "barrier"] },
  "return-before-barrier": { address: ["order=forward", "barrier"], access: ["order=forward", "barrier"] },
  "two-barriers-paired": { address: ["order=forward", "divergent"], access: ["order=forward", "divergent"] },
  "shuffle-in-branch": { address: ["order=forward", "deadlock"], access: ["order=forward", "deadlock"] },
  "shuffle-in-part-of-a-warp": { address: ["order=forward", "mask"], access: ["order=forward", "mask"] },
  "shuffle-from-outside": { address: ["order=forward", "lane 0"], access: ["order=forward", "lane 0"] },
  "shared-one-too-many": {
    address: ["order=forward", "use-after-poison"],
    access: ["order=forward", "outside"],
  },
  "shared-next-array": {
    address: ["order=forward", "use-after-poison"],
    access: ["order=forward", "outside"],
  },
  "device-one-too-many": {
    address: ["order=forward", "heap-buffer-overflow"],
    access: ["order=forward", "not device memory"],
  },
  "vector-past-end": {
    address: ["order=forward", "heap-buffer-overflow"],
    access: ["order=forward", "runs over the end"],
  },
  "misaligned-vector": { address: ["order=forward", "misaligned"] },
  "shared-unwritten": { access: ["order=forward", "nobody wrote"] },
  "device-unwritten": { access: ["order=forward", "nobody wrote"] },
  "no-copy-wait": { plain: ["copies=late", "wrong"], access: ["copies=late", "in flight"] },
  "no-copy-barrier": { plain: ["order=forward", "wrong"], access: ["order=forward", "nobody wrote"] },
  "stage-refilled-early": { plain: ["copies=early", "wrong"], access: ["copies=early", "race: "] },
  "cluster-early-read": {
    plain: ["order=forward", "wrong"],
    access: ["order=forward", "outside every shared array"],
  },
  "cluster-early-exit": { address: ["order=forward", "exited"], access: ["order=forward", "exited"] },
  "blocks-without-atomics": { access: ["order=forward", "race: "] },
  "histogram-without-atomics": { access: ["order=forward", "race: "] },
  "unsynchronised-read": { plain: ["streams=deferred", "wrong"], address: ["streams=deferred", "wrong"] },
  "freed-host-buffer": { address: ["streams=deferred", "heap-use-after-free"] },
  "too-little-shared": { address: ["order=forward", "shared arrays need"] },
  "host-pointer": { access: ["order=forward", "not device memory"] },
  "endless-spin": { address: ["order=forward", "livelock"] },
  "too-many-threads": { address: ["order=forward", "threads per block"] },
  "no-fence": { access: ["order=forward", "race: "] },
  "integer-overflow": { address: ["order=forward", "signed integer overflow"] },
};

async function program(
  variant: Variant,
  name: string,
  setting: string,
  args: string[] = [],
): Promise<{ code: number | null; text: string }> {
  const { code, stdout, stderr } = await run(join(root, "build-emulator", variant, name), args, {
    env: { KULLBACK_EMULATOR: setting, ASAN_OPTIONS: "detect_leaks=0" },
  });
  return { code, text: stdout + stderr };
}

async function names(): Promise<string[]> {
  return (await program("plain", "bugs", "", ["list"])).text.trim().split("\n");
}

async function checkBugs(t: ExecutionContext): Promise<void> {
  const expected = Object.entries(bugs).flatMap(([bug, reports]) =>
    Object.entries(reports).map(([variant, report]) => ({ bug, variant: variant as Variant, report })),
  );
  await all(expected, async ({ bug, variant, report: [setting, report] }) => {
    const { code, text } = await program(variant, "bugs", setting, [bug]);
    t.not(code, 0, `${bug} passed under ${variant}`);
    t.true(text.includes(report), `${bug} under ${variant}: ${text.slice(0, 500)}`);
  });
}

test("every seeded bug is in the list, and one of the address and access builds reports it", async (t) => {
  const listed = (await names()).filter((name) => !name.endsWith("-control"));
  // Float atomics are a matter of two runs, and have a test of their own.
  t.deepEqual(listed.filter((name) => name !== "float-atomics").sort(), Object.keys(bugs).sort());
  for (const [bug, reports] of Object.entries(bugs)) t.truthy(reports.address ?? reports.access, bug);
});

test("every seeded bug is reported", checkBugs);

test("float atomics give other bits in another order", async (t) => {
  for (const variant of variants) {
    const forward = await program(variant, "bugs", "order=forward", ["float-atomics"]);
    const reverse = await program(variant, "bugs", "order=reverse", ["float-atomics"]);
    t.regex(forward.text, /^bits [0-9a-f]{8}\nclean\n$/);
    t.regex(reverse.text, /^bits [0-9a-f]{8}\nclean\n$/);
    t.not(forward.text, reverse.text);
  }
});

test("a race names both source lines", async (t) => {
  const { text } = await program("access", "bugs", "", ["no-second-barrier"]);
  t.regex(text, /race: .* at bug_kernels\.cuh:\d+ on shared memory .* at bug_kernels\.cuh:\d+/);
});

test("no correct kernel is complained about, in any build or setting", async (t) => {
  const controls = (await names()).filter((name) => name.endsWith("-control"));
  t.true(controls.length >= 10);
  const runs = controls.flatMap((name) =>
    variants.flatMap((variant) => settings.map((setting) => ({ name, variant, setting }))),
  );
  await all(runs, async ({ name, variant, setting }) => {
    const { code, text } = await program(variant, "bugs", setting, [name]);
    t.is(text, "clean\n", `${name}, ${variant}, ${setting}`);
    t.is(code, 0);
  });
});

test("collectives, clusters, limits and conversions do as the hardware does", async (t) => {
  const runs = variants.flatMap((variant) => settings.map((setting) => ({ variant, setting })));
  await all(runs, async ({ variant, setting }) => {
    t.deepEqual(
      await program(variant, "semantics", setting),
      { code: 0, text: "" },
      `${variant}, ${setting}`,
    );
  });
});

test("an older device refuses clusters, and a wrong setting is refused", async (t) => {
  const old = await program("plain", "bugs", "sm=80", ["cluster-early-read-control"]);
  t.regex(old.text, /clusters need sm_90/);
  t.regex(
    (await program("plain", "bugs", "order=sideways", ["no-barrier"])).text,
    /order=sideways is no setting/,
  );
});
