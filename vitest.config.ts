import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    globalSetup: "test/support/buildOnce.ts",
    include: ["test/**/*.test.ts"],
    exclude: ["test/interop/**", "**/node_modules/**"],
    // Real processes (the agent, git, the bridge) share two cores with the tests.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2
  }
})
