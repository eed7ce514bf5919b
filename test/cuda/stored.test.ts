// Arrays of every element type in the device's memory: read, written beside, written over and added to there as arrays of
// the host are.
import test from "ava";
import {
  DeviceArray,
  softmaxDivergence,
  type Dtype,
  type NumericArray,
  type Rows,
  type StoredArray,
} from "../../lib/index.js";
import { encode } from "../../lib/reference/elements.js";
import { logitPair, sides } from "../cases.js";

const dtypes = ["float32", "float64", "float16", "bfloat16"] as const;
const gradients = sides;

function stored(dtype: Dtype, data: NumericArray): StoredArray {
  if (dtype === "float32") return Float32Array.from(data);
  if (dtype === "float64") return Float64Array.from(data);
  return Uint16Array.from(data, (x) => encode(dtype, x));
}

interface Stored {
  data: StoredArray;
  shape: readonly number[];
  dtype: Dtype;
}

const onDevice = ({ data, shape, dtype }: Stored): Rows<DeviceArray> => ({
  data: DeviceArray.from(data, { dtype }),
  shape,
  dtype,
});

for (const dtype of dtypes) {
  const pair = () => {
    const { student, teacher } = logitPair({ rows: 5, columns: 1031, dtype: "float64" });
    const rowsOf = ({ data, shape }: Rows): Stored => ({
      data: stored(dtype, data),
      shape,
      dtype,
    });
    return { student: rowsOf(student), teacher: rowsOf(teacher) };
  };

  test(`${dtype}: gradients beside, over and onto device arrays are those of the host's arrays`, (t) => {
    const { student, teacher } = pair();
    const expected = softmaxDivergence(student, teacher, { gradients, backend: "cuda" });
    const beside = softmaxDivergence(onDevice(student), onDevice(teacher), { gradients });
    t.is(beside.value, expected.value);

    const over = { student: onDevice(student), teacher: onDevice(teacher) };
    softmaxDivergence(over.student, over.teacher, {
      gradients,
      out: { student: over.student.data, teacher: over.teacher.data },
    });

    const held = stored(
      dtype,
      Float64Array.from({ length: student.data.length }, (_, i) => Math.cos(i) / 1031),
    );
    const added = { student: held.slice(), teacher: held.slice() };
    softmaxDivergence(student, teacher, { gradients, accumulate: true, out: added, backend: "cuda" });
    const onto = {
      student: DeviceArray.from(held, { dtype }),
      teacher: DeviceArray.from(held, { dtype }),
    };
    softmaxDivergence(onDevice(student), onDevice(teacher), { gradients, accumulate: true, out: onto });
    for (const side of sides) {
      t.deepEqual(beside.gradients[side].read(), expected.gradients[side], side);
      t.deepEqual(over[side].data.read(), expected.gradients[side], side);
      t.deepEqual(onto[side].read(), added[side], side);
    }
  });

  test(`${dtype}: one teacher in probabilities, and log-priors, from device arrays`, (t) => {
    const { student } = pair();
    const columns = 1031;
    const uniform = {
      data: stored(dtype, new Float64Array(columns).fill(1 / columns)),
      shape: [columns],
      dtype,
    };
    const options = {
      teacher: "probabilities",
      broadcast: true,
      logPrior: { student: Array.from({ length: columns }, (_, i) => Math.sin(i)) },
      gradients: ["student"],
      reduction: "none",
    } as const;
    const expected = softmaxDivergence(student, uniform, { ...options, backend: "cuda" });
    const actual = softmaxDivergence(onDevice(student), onDevice(uniform), options);
    t.deepEqual(actual.values, expected.values);
    t.true(expected.values.every((value) => value > 0));
    t.deepEqual(actual.gradients.student.read(), expected.gradients.student);
  });
}
