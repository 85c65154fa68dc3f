/**
 * Runs a workspace as a process of its own, for tests: `node workspaceProcess.ts {credentials file}`, options as a
 * line on standard input; ends when standard input does.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { runWorkspaceProcess } from "../../km-cli/local/workspace/WorkspaceProcess.ts"

/** Standard output is for the one line; failures go to standard error. */
const StderrLogger = Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])

NodeRuntime.runMain(
  runWorkspaceProcess({ credentialsFile: process.argv[2] ?? "", endWithStdin: true }).pipe(
    Effect.tapError((error) => Effect.logError(error.message)),
    Effect.provide([NodeServices.layer, StderrLogger])
  ),
  { disableErrorReporting: true }
)
