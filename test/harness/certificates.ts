// A certificate authority and what it signs, made by openssl on the spot.
import { runProgram } from "./program.ts";
import type { TempFolder } from "./temp-folder.ts";

/** Files of one identity, PEM. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

/** An authority with one server and one client that it vouches for. */
export interface Certificates {
  readonly authority: string;
  /** For 127.0.0.1 and localhost, `spiffe://cluster.local/ns/default/sa/server`. */
  readonly server: Certificate;
  /** `spiffe://cluster.local/ns/default/sa/client`. */
  readonly client: Certificate;
}

/** Makes them in the folder; P-256 keys, as Istio's with ECDSA. */
export async function makeCertificates(folder: TempFolder): Promise<Certificates> {
  const authority = folder.file("authority.pem");
  const authorityKey = folder.file("authority.key");
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await openssl(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    authorityKey,
    "-out",
    authority,
    "-days",
    "2",
    "-subj",
    "/O=test",
  );
  const sign = async (name: string, addresses: string): Promise<Certificate> => {
    const certificate = folder.file(`${name}.pem`);
    const key = folder.file(`${name}.key`);
    const request = folder.file(`${name}.csr`);
    const extensions = folder.file(`${name}.ext`);
    await Bun.write(
      extensions,
      `subjectAltName = ${addresses}URI:spiffe://cluster.local/ns/default/sa/${name}\nextendedKeyUsage = serverAuth, clientAuth\n`,
    );
    await openssl("req", ...newKey, "-keyout", key, "-out", request, "-subj", `/O=${name}`);
    const from = ["-CA", authority, "-CAkey", authorityKey, "-CAcreateserial", "-extfile", extensions];
    await openssl("x509", "-req", "-in", request, ...from, "-days", "2", "-out", certificate);
    return { certificate, key };
  };
  return {
    authority,
    server: await sign("server", "IP:127.0.0.1,DNS:localhost,"),
    client: await sign("client", ""),
  };
}

async function openssl(...command: readonly string[]): Promise<void> {
  const run = await runProgram(["openssl", ...command]);
  if (run.status !== 0) throw new Error(`openssl ${command[0]} ended with ${run.status}:\n${run.output}`);
}
