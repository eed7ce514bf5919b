// Tests of close() and its kin: a comparison that cannot fail would make every other test worthless.
import test, { type ExecutionContext } from "ava";
import { close, identical, vanishes, zeros } from "./close.js";

/** Asserts that the comparison passes, or fails with this message. */
async function expectFailure(
  t: ExecutionContext,
  message: string | undefined,
  comparison: (inner: ExecutionContext) => void,
): Promise<void> {
  const attempt = await t.try(comparison);
  attempt.discard();
  t.is(attempt.errors[0]?.message, message);
}

test("close() passes within the tolerance, and returns the largest relative error", (t) => {
  t.is(close(t, [1, 2.125], [1, 2], { relative: 0.04, absolute: 0.05 }), 0.0625);
});

test("close() fails beyond the tolerance and names the worst element", async (t) => {
  await expectFailure(t, "gradient: [1] is 2.5, expected 2: off by 0.5, tolerance 0.02", (inner) => {
    close(inner, [1.01, 2.5], [1, 2], { relative: 0.01, what: "gradient" });
  });
});

test("close() measures against the largest expected number, or against the largest of each group", async (t) => {
  close(t, [100, 1.5], [100, 1], { relative: 0.01 });
  await expectFailure(t, "[1] is 1.5, expected 1: off by 0.5, tolerance 0.01", (inner) => {
    close(inner, [100, 1.5], [100, 1], { relative: 0.01, group: 1 });
  });
});

test("close() fails for zeros and for 1.1 times the expected numbers, at every tolerance that it accepts", async (t) => {
  const expected = [0.3, -2, 1];
  for (const relative of [1e-9, 1e-3, 0.0999]) {
    for (const wrong of [expected.map(() => 0), expected.map((x) => 1.1 * x), expected.map((x) => -x)]) {
      const attempt = await t.try((inner) => {
        close(inner, wrong, expected, { relative });
      });
      attempt.discard();
      t.false(attempt.passed, `${wrong.join()} at ${relative}`);
    }
  }
});

test("close() refuses a tolerance that zeros would pass, even where the numbers are equal", async (t) => {
  await expectFailure(
    t,
    "tolerance 0.00001 is blind at scale 0.000002 (from [0] on): zeros or 1.1 * expected pass",
    (inner) => {
      close(inner, [1e-6, 2e-6], [1e-6, 2e-6], { absolute: 1e-5 });
    },
  );
  await expectFailure(
    t,
    "tolerance 0 is blind at scale 0 (from [2] on): zeros or 1.1 * expected pass",
    (inner) => {
      close(inner, [1, 2, 0, 0], [1, 2, 0, 0], { relative: 1e-6, group: 2 });
    },
  );
});

test("close() refuses NaN, infinities, differing lengths and nothing at all", async (t) => {
  await expectFailure(t, "[0] is NaN, expected 1: off by Infinity, tolerance 0.01", (inner) => {
    close(inner, NaN, 1, { relative: 0.01 });
  });
  await expectFailure(t, "expected[1] is Infinity; use identical()", (inner) => {
    close(inner, [1, Infinity], [1, Infinity], { relative: 0.01 });
  });
  await expectFailure(t, "1 numbers, expected 2, at least one", (inner) => {
    close(inner, [1], [1, 2], { relative: 0.01 });
  });
  await expectFailure(t, "0 numbers, expected 0, at least one", (inner) => {
    close(inner, [], [], { relative: 0.01 });
  });
});

test("zeros() takes 0 and -0 and nothing else", async (t) => {
  zeros(t, [0, -0]);
  await expectFailure(t, "padding: [1] is 5e-324, expected exactly 0", (inner) => {
    zeros(inner, [0, 5e-324], "padding");
  });
  await expectFailure(t, "[0] is NaN, expected exactly 0", (inner) => {
    zeros(inner, NaN);
  });
  await expectFailure(t, "no numbers at all", (inner) => {
    zeros(inner, []);
  });
});

test("vanishes() wants a small number, where a wrong one would be large", async (t) => {
  vanishes(t, -1e-7, { bound: 1e-6, scale: 1 });
  await expectFailure(t, "0.000002, expected 0 within 0.000001", (inner) => {
    vanishes(inner, 2e-6, { bound: 1e-6, scale: 1 });
  });
  await expectFailure(t, "NaN, expected 0 within 0.000001", (inner) => {
    vanishes(inner, NaN, { bound: 1e-6, scale: 1 });
  });
  await expectFailure(t, "bound 0.000001 is blind at scale 0.000005", (inner) => {
    vanishes(inner, 0, { bound: 1e-6, scale: 5e-6 });
  });
});

test("identical() tells bits apart, -0 from 0 too, and takes NaN for NaN", async (t) => {
  identical(t, [1, NaN, -Infinity], [1, NaN, -Infinity]);
  await expectFailure(t, "[0] is 0, expected exactly -0", (inner) => {
    identical(inner, 0, -0);
  });
  await expectFailure(t, "[1] is 1, expected exactly 1.0000000000000002", (inner) => {
    identical(inner, [1, 1], [1, 1 + 2 ** -52]);
  });
  await expectFailure(t, "1 numbers, expected 2", (inner) => {
    identical(inner, [1], [1, 2]);
  });
});
