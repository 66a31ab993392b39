import { defineFilter, z } from "vespid";

export default defineFilter({
  name: "transform",
  stage: "transform",
  reads: ["content-type", "content-encoding"],
  writes: ["etag"],
  // Whole, within the limit of the filter's use. With "stream", response.body.transform sees piece after piece.
  body: { response: "buffer" },
  config: z.strictObject({
    /** Fields that are masked wherever they are in a JSON reply. */
    fields: z.array(z.string().min(1)).min(1),
    mask: z.string().default("***"),
  }),

  async response(response, { config }) {
    const { headers, body } = response;
    const isJson = /^application\/(?:[\w.+-]+\+)?json\b/u.test(headers.get("content-type") ?? "");
    if (!isJson || headers.has("content-encoding")) return;
    const document = await body.json();
    const fields = new Set(config.fields);
    if (!mask(document, fields, config.mask)) return;
    body.replace(JSON.stringify(document));
    // It named the bytes that were replaced.
    headers.delete("etag");
  },
});

/** Whether something was masked. */
function mask(value: unknown, fields: ReadonlySet<string>, text: string): boolean {
  if (typeof value !== "object" || value === null) return false;
  let isMasked = false;
  for (const [field, inner] of Object.entries(value)) {
    if (fields.has(field)) {
      Reflect.set(value, field, text);
      isMasked = true;
    } else if (mask(inner, fields, text)) isMasked = true;
  }
  return isMasked;
}
