/**
 * The parser of `yaml`, for whoever reads it only when it is needed. The package is CommonJS: what a bundler makes of
 * `import("yaml")` has nothing but a default export, while a named export of a module of ours is the same everywhere.
 */
export { parse } from "yaml"
