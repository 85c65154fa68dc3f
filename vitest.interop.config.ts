import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    globalSetup: "test/support/buildOnce.ts",
    include: ["test/interop/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 1
  }
})
