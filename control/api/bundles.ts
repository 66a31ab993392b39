// Bundles: pushed by their author, checked and derived here, fetched by proxies file by file.
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { Digest, type BundleRef } from "../../runtime/contract/bundle.ts";
import type { Parsed } from "../../runtime/contract/problem.ts";
import { usersOf } from "../compile/review.ts";
import type { Store, StoredBundle } from "../store/store.ts";
import type { Desired } from "./desired.ts";
import { renderProblemReply } from "./problem.ts";

/** The largest artifact that is taken. */
export const ARTIFACT_MAX_BYTES = 32 * 1024 * 1024;

/** Checks a pushed artifact and derives what proxies load. */
export type DeriveBundle = (
  artifact: Uint8Array,
) => Promise<Parsed<{ readonly ref: BundleRef; readonly files: ReadonlyMap<Digest, Uint8Array> }>>;

export interface BundlesApi {
  readonly store: Store;
  readonly desired: Desired;
  readonly deriveBundle: DeriveBundle;
  readonly now: () => number;
}

/** What a blob's address names never changes. */
const IMMUTABLE = { "cache-control": "public, max-age=31536000, immutable" };

/** Routes below `/v1`. */
export function bundleRoutes({ store, desired, deriveBundle, now }: BundlesApi): Hono {
  const app = new Hono();
  const limit = bodyLimit({
    maxSize: ARTIFACT_MAX_BYTES,
    onError: () => renderProblemReply(413, { detail: `an artifact is at most ${ARTIFACT_MAX_BYTES} bytes` }),
  });
  // Deriving is a second of work and hundreds of megabytes: one after the other.
  let deriving: Promise<unknown> = Promise.resolve();

  app.post("/bundles", limit, async (c) => {
    const artifact = new Uint8Array(await c.req.arrayBuffer());
    if (artifact.length === 0) return renderProblemReply(400, { detail: "the body is empty, it must be an artifact" });
    const digest = digestOf(artifact);
    const known = store.getBundle(digest);
    if (known !== undefined) return c.json(renderBundle(known));
    const result = deriving.then(() => deriveBundle(artifact));
    deriving = result.catch(() => undefined);
    const derived = await result;
    if (!derived.ok) return renderProblemReply(422, { problems: derived.problems });
    const { ref, files } = derived.value;
    const bundle = { ref, sizeBytes: artifact.length, createdAtMs: now() };
    store.putBundle(bundle, new Map([...files, [digest, artifact]]));
    desired.reloadBundles();
    return c.json(renderBundle(bundle), 201);
  });
  app.get("/bundles", (c) => c.json({ items: store.listBundles().map(renderBundle) }));
  app.get("/bundles/:digest", (c) => {
    const digest = Digest.safeParse(c.req.param("digest"));
    const bundle = digest.success ? store.getBundle(digest.data) : undefined;
    return bundle === undefined ? noBundle(c.req.param("digest")) : c.json(renderBundle(bundle));
  });
  app.delete("/bundles/:digest", (c) => {
    const digest = Digest.safeParse(c.req.param("digest"));
    if (!digest.success) return noBundle(c.req.param("digest"));
    const users = usersOf(desired.world(), digest.data);
    if (users.length > 0) {
      return renderProblemReply(409, {
        detail: `the bundle is in use by ${users.join(", ")}; delete or change these first`,
      });
    }
    if (!store.deleteBundle(digest.data)) return noBundle(digest.data);
    desired.reloadBundles();
    return c.json({ digest: digest.data, action: "deleted" });
  });
  app.get("/blobs/:digest", (c) => {
    const digest = Digest.safeParse(c.req.param("digest"));
    const bytes = digest.success ? store.getBlob(digest.data) : undefined;
    if (bytes === undefined) return renderProblemReply(404, { detail: `there is no blob ${c.req.param("digest")}` });
    const headers = { ...IMMUTABLE, "content-type": "application/octet-stream", etag: `"${c.req.param("digest")}"` };
    return new Response(Buffer.from(bytes), { headers });
  });
  return app;
}

function renderBundle({ ref, sizeBytes, createdAtMs }: StoredBundle) {
  const { digest, manifest, files } = ref;
  return { digest, manifest, files, sizeBytes, createdAt: new Date(createdAtMs).toISOString() };
}

function noBundle(digest: string): Response {
  return renderProblemReply(404, { detail: `there is no bundle ${digest}` });
}

function digestOf(bytes: Uint8Array): Digest {
  return Digest.parse(`sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`);
}
