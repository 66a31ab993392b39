// Which worker accepts from which sockets. (pure)

/** A worker that may accept. */
export interface Acceptor {
  readonly slot: number;
  readonly rows: readonly number[];
}

/** Row `r` is worker `r`'s; one whose worker is not there is looked after by another, so that nobody waits in a dead queue. */
export function ownerOf<T extends Acceptor>(row: number, acceptors: readonly T[]): T | undefined {
  return acceptors.find(({ slot }) => slot === row) ?? acceptors[row % Math.max(1, acceptors.length)];
}

/**
 * The rows that each should accept from now. One that a row moves away from keeps it until its new owner accepts from it:
 * two may, none must not.
 */
export function planRows<T extends Acceptor>(
  rowCount: number,
  acceptors: readonly T[],
): ReadonlyMap<T, readonly number[]> {
  const plan = new Map<T, number[]>(acceptors.map((acceptor) => [acceptor, []]));
  for (let row = 0; row < rowCount; row++) {
    const owner = ownerOf(row, acceptors);
    for (const [acceptor, rows] of plan) {
      const keeps = acceptor.rows.includes(row) && owner?.rows.includes(row) !== true;
      if (acceptor === owner || keeps) rows.push(row);
    }
  }
  return plan;
}
