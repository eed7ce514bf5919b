// Rules for the TypeScript and the scripts. Formatting is Prettier's.
import eslint from "@eslint/js";
import prettier from "eslint-config-prettier";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

const node = Object.fromEntries(["console", "process", "URL"].map((name) => [name, "readonly"]));

export default defineConfig(
  globalIgnores(["build", "build-*", "dist", "prebuilds", "output"]),
  eslint.configs.recommended,
  {
    rules: {
      "max-lines": ["error", { max: 500 }],
      "max-lines-per-function": ["error", { max: 60 }],
      complexity: ["error", { max: 20 }],
    },
  },
  { files: ["**/*.{js,mjs}"], languageOptions: { globals: node } },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { project: "./tsconfig.json" } },
    rules: {
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true },
      ],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/explicit-module-boundary-types": "error",
      "@typescript-eslint/non-nullable-type-assertion-style": "off",
      // Public functions check what JavaScript callers pass, which the types say cannot be.
      "@typescript-eslint/no-unnecessary-condition": "off",
      "@typescript-eslint/only-throw-error": "off",
      "@typescript-eslint/prefer-promise-reject-errors": "off",
    },
  },
  {
    files: ["{test,bench,examples}/**/*.ts"],
    // What is known to be there, a test may say so.
    rules: { "@typescript-eslint/no-non-null-assertion": "off" },
  },
  prettier,
);
