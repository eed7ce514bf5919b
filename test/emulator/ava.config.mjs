// The tests of the emulator and of the kernels on it, which `npm run test:emulator` builds first. A file's name on the
// command line chooses one.
export default {
  files: ["dist/test/emulator/*.test.js"],
  timeout: "2m",
};
