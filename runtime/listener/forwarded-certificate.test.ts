import { expect, test } from "bun:test";
import { createHash, X509Certificate } from "node:crypto";
import { runProgram } from "../../test/harness/program.ts";
import { makeTempFolder } from "../../test/harness/temp-folder.ts";
import { renderForwarded, uriOf } from "./forwarded-certificate.ts";

/** One with that subject and those names, by openssl. */
async function make(subject: string, names: string): Promise<{ readonly pem: string; readonly der: Buffer }> {
  await using folder = await makeTempFolder();
  const file = folder.file("c.pem");
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", folder.file("c.key")];
  const what = ["-utf8", "-days", "2", "-subj", subject, "-addext", `subjectAltName=${names}`, "-out", file];
  const run = await runProgram(["openssl", "req", "-x509", ...key, ...what]);
  expect(run.status).toBe(0);
  const pem = await Bun.file(file).text();
  return { pem, der: new X509Certificate(pem).raw };
}

test("a certificate of the mesh is told as Istio's Envoy tells it", async () => {
  const { pem, der } = await make("/O=front/CN=a", "DNS:b.test,URI:spiffe://cluster.local/ns/x/sa/front,DNS:c.test");
  const hash = createHash("sha256").update(der).digest("hex");
  expect(renderForwarded(der, "spiffe://cluster.local/ns/x/sa/own")).toBe(
    `By=spiffe://cluster.local/ns/x/sa/own;Hash=${hash};Subject="CN=a,O=front";` +
      "URI=spiffe://cluster.local/ns/x/sa/front;DNS=b.test;DNS=c.test",
  );
  expect(renderForwarded(der, "")).toStartWith(`Hash=${hash};`);
  expect(uriOf(pem)).toBe("spiffe://cluster.local/ns/x/sa/front");
});

test("what separates elements stays inside of its value, whatever a certificate says", async () => {
  const { der } = await make('/CN=x";URI=admin,By=y/O=fröhlich', "URI:spiffe://a;URI=spiffe://admin");
  const told = renderForwarded(der, "").replace(/^Hash=[0-9a-f]{64};/u, "");
  expect(told).toBe('Subject="O=fr\\C3\\B6hlich,CN=x\\"\\;URI=admin\\,By=y";URI="spiffe://a;URI=spiffe://admin"');
});
