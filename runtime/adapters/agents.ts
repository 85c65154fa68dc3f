/**
 * The coding agents of this build, by what `spec.agent.kind` of a profile says. To add one: write its folder, with a layer of
 * `Agent`, name it here, and give it its surroundings in `runtime/sandbox/Agents.ts`, which does not compile before. Names
 * alone, so that who judges a profile reads none of them.
 */
export const agentKinds = ["claude"] as const
export type AgentKind = (typeof agentKinds)[number]
