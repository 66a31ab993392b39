// Certificates as a mesh has them, made by openssl for one test file.
import { runProgram } from "./program.ts";
import type { TempFolder } from "./temp-folder.ts";

/** A certificate and its key, as files. */
export interface CertificateFiles {
  readonly certificate: string;
  readonly privateKey: string;
}

/** An authority of a test's own. */
export interface TestAuthority {
  /** Its root, a file. */
  readonly root: string;
  /** A certificate with these names, as openssl writes them: `DNS:a.test`, `URI:spiffe://…`. `days` below 0 has expired. */
  issue(name: string, altNames: string, days?: number): Promise<CertificateFiles>;
}

/** Makes an authority whose files lie in the folder. */
export async function makeAuthority(folder: TempFolder, name = "ca"): Promise<TestAuthority> {
  const root = folder.file(`${name}.pem`);
  const rootKey = folder.file(`${name}.key`);
  await openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", rootKey);
  await openssl("req", "-x509", "-new", "-key", rootKey, "-subj", `/O=${name}`, "-days", "30", "-out", root);
  return {
    root,
    issue: async (leaf, altNames, days = 30) => {
      const files = { certificate: folder.file(`${name}-${leaf}.pem`), privateKey: folder.file(`${name}-${leaf}.key`) };
      const request = folder.file(`${name}-${leaf}.csr`);
      const extensions = folder.file(`${name}-${leaf}.ext`);
      await Bun.write(extensions, `subjectAltName=${altNames}\nextendedKeyUsage=serverAuth,clientAuth\n`);
      await openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", files.privateKey);
      await openssl("req", "-new", "-key", files.privateKey, "-subj", `/CN=${leaf}`, "-out", request);
      const signed = ["x509", "-req", "-in", request, "-CA", root, "-CAkey", rootKey, "-CAcreateserial"];
      await openssl(...signed, "-days", String(days), "-extfile", extensions, "-out", files.certificate);
      return files;
    },
  };
}

async function openssl(...args: readonly string[]): Promise<void> {
  const { status, output } = await runProgram(["openssl", ...args]);
  if (status !== 0) throw new Error(`openssl ${args[0] ?? ""} failed:\n${output}`);
}
