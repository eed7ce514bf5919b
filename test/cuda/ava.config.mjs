// What a run on CUDA tests, on a GPU or on the emulator: the operations, their lives beside JavaScript, and CUDA's own
// affairs. Where CUDA cannot run, it fails.
export default {
  files: [
    "dist/test/f-*.test.js",
    "dist/test/linear-*.test.js",
    "dist/test/softmax-*.test.js",
    "dist/test/token-*.test.js",
    "dist/test/lifecycle/*.test.js",
    "dist/test/addon.test.js",
    "dist/test/device-array.test.js",
    "dist/test/cuda/*.test.js",
  ],
  environmentVariables: { KULLBACK_BACKEND: "cuda", KULLBACK_TEST_BACKEND: "cuda" },
  timeout: "2m",
};
