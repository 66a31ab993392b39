// How much code a path through a function body can run without spending fuel. Loops and entries spend one, whatever
// their size, so straight code between them is bounded too: a body of divisions would cost a thousand times an ordinary turn.
import { OP, readLabels } from "./opcodes.ts";

/** Bytes of code for one unit of fuel, as the metering pass counts: some hundred instructions, half a microsecond at worst. */
export const PATH_MAX_BYTES = 1024;

interface Frame {
  readonly isLoop: boolean;
  /** Cost where the other branch of an `if` begins; -1 where there is none. */
  other: number;
  /** The most that a branch to the frame's end has cost. */
  atEnd: number;
}

/** Follows the instructions of one body in order. Costs only ever err upwards. */
export class PathCost {
  readonly #max: number;
  #cost = 0;
  readonly #frames: Frame[] = [];

  constructor(max: number) {
    this.#max = max;
  }

  /** Whether fuel must be spent before this instruction. */
  isDue(opcode: number, length: number): boolean {
    return this.#cost > 0 && this.#cost + this.#weigh(opcode, length) > this.#max;
  }

  spend(): void {
    this.#cost = 0;
  }

  /** The instruction at `start` was passed. */
  pass(opcode: number, length: number, bytes: Uint8Array, start: number): void {
    this.#cost += this.#weigh(opcode, length);
    switch (opcode) {
      case OP.block:
      case OP.loop:
      case OP.try:
        return this.#enter(opcode === OP.loop, -1);
      case OP.if:
        return this.#enter(false, this.#cost);
      case OP.tryTable:
        this.#enter(false, -1);
        for (const label of readLabels(bytes, start, opcode)) this.#branch(label + 1, this.#max);
        return undefined;
      case OP.else:
        return this.#turn();
      case OP.catch:
      case OP.catchAll:
        // What came before goes on behind the end; what was thrown may have cost anything.
        this.#branch(0, this.#cost);
        this.#cost = this.#max;
        return undefined;
      case OP.end:
      case OP.delegate:
        return this.#leave();
      case OP.br:
      case OP.brIf:
      case OP.brTable:
      case OP.brOnNull:
      case OP.brOnNonNull:
        for (const label of readLabels(bytes, start, opcode)) this.#branch(label, this.#cost);
        // What follows an unconditional branch is not reached from here.
        if (opcode === OP.br || opcode === OP.brTable) this.#cost = 0;
        return undefined;
      case OP.unreachable:
      case OP.return:
        this.#cost = 0;
        return undefined;
      default:
        return undefined;
    }
  }

  /** Growing a memory is a call of the engine, not an instruction. */
  #weigh(opcode: number, length: number): number {
    return opcode === OP.memoryGrow ? this.#max : length;
  }

  #enter(isLoop: boolean, other: number): void {
    this.#frames.push({ isLoop, other, atEnd: 0 });
  }

  #turn(): void {
    const frame = this.#frames.at(-1);
    if (frame === undefined) return;
    frame.atEnd = Math.max(frame.atEnd, this.#cost);
    this.#cost = Math.max(0, frame.other);
    frame.other = -1;
  }

  #leave(): void {
    const frame = this.#frames.pop();
    if (frame !== undefined) this.#cost = Math.max(this.#cost, frame.atEnd, frame.other);
  }

  /** A loop's label is its head, which spends. */
  #branch(label: number, cost: number): void {
    const frame = this.#frames.at(-1 - label);
    if (frame !== undefined && !frame.isLoop) frame.atEnd = Math.max(frame.atEnd, cost);
  }
}
