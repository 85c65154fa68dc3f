/**
 * Logs on standard error as one JSON object a line, and OpenTelemetry by OTLP when the standard `OTEL_*` variables name
 * an endpoint (opentelemetry.io/docs/specs/otel/protocol/exporter). Every program's main uses the same layer.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Otlp from "effect/observability/Otlp"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import { jsonLines } from "./LogLines.ts"

/** Standard output belongs to data; a reporter that writes there would land in the middle of it. */
export const layerLogs = Logger.layer([jsonLines])

/** The specification's default for `OTEL_{SIGNAL}_EXPORTER` is `otlp`; Effect's is none. */
const specifiedDefaults = ConfigProvider.layerAdd(
  ConfigProvider.fromUnknown({
    OTEL_TRACES_EXPORTER: ["otlp"],
    OTEL_METRICS_EXPORTER: ["otlp"],
    OTEL_LOGS_EXPORTER: ["otlp"]
  })
)

/**
 * Without `OTEL_EXPORTER_OTLP_ENDPOINT` (or a signal's own) nothing is exported. What was recorded is flushed when the
 * layer closes, for at most `OTEL_EXPORTER_OTLP_TIMEOUT` milliseconds.
 */
export const layer = (serviceName: string, version: string) =>
  Otlp.layerFromConfig({
    resource: { serviceName, serviceVersion: version },
    loggerMergeWithExisting: true
  }).pipe(
    Layer.provide(Layer.mergeAll(OtlpSerialization.layerJson, FetchHttpClient.layer, specifiedDefaults)),
    Layer.provideMerge(layerLogs)
  )
