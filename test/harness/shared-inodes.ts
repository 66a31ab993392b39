// The memory that filters share, as the kernel knows it.

/** The numbers of the files that a process maps for it: one. */
export async function sharedInodesOf(pid: number): Promise<readonly string[]> {
  const maps = await Bun.file(`/proc/${pid}/maps`).text();
  return [...new Set([...maps.matchAll(/ (\d+) +\/memfd:vespid-shared/gu)].map(([, inode = ""]) => inode))];
}
