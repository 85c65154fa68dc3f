import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    reporters: ["minimal"],
    globalSetup: ["test/support/buildOnce.ts", "test/aws/emulators.ts"],
    include: ["test/aws/**/*.test.ts"],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    maxWorkers: 2
  }
})
