/**
 * The identity of an agent on disk: `key.pem`, `certificate.pem`, `bundle.pem`, and `control.json` with the way to the control plane. Each
 * file is replaced in one step, and the certificate is written last, so a kill between two steps leaves a state with a known way out.
 */
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { Type, type Static } from "typebox";
import { Check as matches } from "typebox/value";
import { messageOf } from "#base";
import { replaceFile } from "#base/files";
import type { IdentityMaterial } from "#identity/core";
import { AgentErrors } from "../api.ts";
import { certificateFacts, isForKey, newKey } from "./certificate-request.ts";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
const FILES = {
  key: "key.pem",
  certificate: "certificate.pem",
  bundle: "bundle.pem",
  control: "control.json",
  /** Serial numbers, as the latest trust bundle had them. */
  revoked: "revoked.json",
  /** As control, while a join is under way. */
  pending: "joining.json",
} as const;

export const ControlRecord = Type.Object({
  /** Members of the control plane. */
  urls: Type.Array(Type.String(), { minItems: 1 }),
  /** SHA-256 of the authority that the join token named. */
  fingerprint: Type.String(),
  /** The name that the join asked for. */
  name: Type.String(),
});
export type ControlRecord = Static<typeof ControlRecord>;

export interface StoredIdentity {
  readonly control: ControlRecord;
  readonly material: IdentityMaterial;
  readonly revoked: readonly string[];
}

export class IdentityFolder {
  readonly path: string;

  constructor(dataDir: string) {
    this.path = join(dataDir, "identity");
  }

  /** The key of this host, made at the first call. @throws AGENT_FOLDER_UNUSABLE */
  async key(): Promise<string> {
    const known = await this.#read("key");
    if (known !== undefined) return known;
    const key = await newKey();
    await this.#write("key", key);
    return key;
  }

  async #control(file: "control" | "pending"): Promise<ControlRecord | undefined> {
    const text = await this.#read(file);
    if (text === undefined) return undefined;
    const value = parsed(text);
    if (!matches(ControlRecord, value)) throw this.#damaged(file, "it is not what a join writes");
    return value;
  }

  /** Before the token of a join is used, so that the next run knows what was under way. */
  beginJoin(control: ControlRecord): Promise<void> {
    return this.#write("pending", textOf(control));
  }

  /** After an answer that the join is refused: the token is still unused. */
  abandonJoin(): Promise<void> {
    return rm(join(this.path, FILES.pending), { force: true });
  }

  /** The certificate is last: from then on, the host has joined. */
  async completeJoin(
    control: ControlRecord,
    material: Pick<IdentityMaterial, "certificate" | "bundle">,
  ): Promise<void> {
    await this.#write("control", textOf(control));
    await this.writeMaterial(material);
    await rm(join(this.path, FILES.pending), { force: true });
  }

  /** Replaces the certificate, after the bundle that verifies others. */
  async writeMaterial({ certificate, bundle }: Pick<IdentityMaterial, "certificate" | "bundle">): Promise<void> {
    await this.writeBundle(bundle);
    await this.#write("certificate", certificate);
  }

  writeBundle(bundle: string): Promise<void> {
    return this.#write("bundle", bundle);
  }

  writeRevoked(serials: readonly string[]): Promise<void> {
    return this.#write("revoked", revokedText(serials));
  }

  /** The identity of an agent that has joined; undefined before. @throws AGENT_JOIN_INCOMPLETE, AGENT_IDENTITY_DAMAGED */
  async read(): Promise<StoredIdentity | undefined> {
    const control = (await this.#control("control")) ?? (await this.#control("pending"));
    if (control === undefined) return undefined;
    const [key, certificate, bundle] = [
      await this.#read("key"),
      await this.#read("certificate"),
      await this.#read("bundle"),
    ];
    if (key === undefined || certificate === undefined || bundle === undefined) throw joinIncomplete(control);
    const revoked = readRevoked(await this.#read("revoked"));
    return { control, material: this.#material({ key, certificate, bundle }), revoked };
  }

  #material({ key, certificate, bundle }: Pick<IdentityMaterial, "key" | "certificate" | "bundle">): IdentityMaterial {
    try {
      const { spiffeId = "", untilMs } = certificateFacts(certificate);
      if (!isForKey(certificate, key)) throw new Error("it is not for the key beside it");
      return { spiffeId, certificate, key, bundle, expiresAtMs: untilMs };
    } catch (cause) {
      throw this.#damaged("certificate", messageOf(cause), cause);
    }
  }

  async #read(file: keyof typeof FILES): Promise<string | undefined> {
    try {
      return await readFile(join(this.path, FILES[file]), "utf8");
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw this.#damaged(file, messageOf(cause), cause);
    }
  }

  async #write(file: keyof typeof FILES, text: string): Promise<void> {
    const path = join(this.path, FILES[file]);
    try {
      await mkdir(this.path, { recursive: true, mode: FOLDER_MODE });
      await replaceFile(path, text, FILE_MODE);
    } catch (cause) {
      throw AgentErrors.FOLDER_UNUSABLE(`${path} cannot be written: ${messageOf(cause)}. Make its folder writable.`, {
        cause,
      });
    }
  }

  #damaged(file: keyof typeof FILES, why: string, cause?: unknown) {
    return AgentErrors.IDENTITY_DAMAGED(
      `${join(this.path, FILES[file])} cannot be used: ${why}. Restore the folder ${this.path}, or remove it and join again: posthouse agent join`,
      { cause },
    );
  }
}

/** A join that was killed after it had sent its token. */
export function joinIncomplete({ name, urls }: ControlRecord) {
  return AgentErrors.JOIN_INCOMPLETE(
    `A join as "${name}" was interrupted. Run it again with the same token: posthouse agent join ${urls[0]} --join-token … --name ${name}. ` +
      `If the control plane answers that the token was used, create one for this name: posthouse join-token create --name ${name}.`,
  );
}

export function revokedText(serials: readonly string[]): string {
  return `${JSON.stringify(serials)}\n`;
}

/** Empty for a text that is missing or damaged: the next trust bundle has it again. */
export function readRevoked(text: string | undefined): readonly string[] {
  const value = text === undefined ? [] : parsed(text);
  return matches(Type.Array(Type.String()), value) ? value : [];
}

function textOf(control: ControlRecord): string {
  return `${JSON.stringify(control, undefined, 2)}\n`;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
