import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    reporters: ["minimal"],
    globalSetup: "test/support/buildOnce.ts",
    include: ["test/**/*.test.ts"],
    exclude: ["test/aws/**", "test/interop/**", "**/node_modules/**"],
    // A test ends when its work is done or a process that it waits for has died, and names which; this is for one that
    // hangs, on a machine that is busy with thirty other things too.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    maxWorkers: 2
  }
})
