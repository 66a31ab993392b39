// `import … from "vespid/testing"`: everything that tests of filters use.
export { mount } from "./mount.ts";
export { runFilter } from "./run-filter.ts";
export type { AskedOutcome, TestCharge, TestInstance } from "./asked.ts";
export type { TestConnection } from "./connect.ts";
export type { EngineName } from "./engine.ts";
export type { AskOptions, MountedFilter, MountOptions } from "./mount.ts";
export type { LogLine, Outcome, TestRequest } from "./outcome.ts";
export type { TestBody } from "./pieces.ts";
export type { Scene, SceneResult } from "./run-filter.ts";
export type { Answerer, AnswerInit, ReceivedRequest, TestAnswer, TestUpstream } from "./upstream.ts";
