/** The part of the agent's contract that is about certificates as files: where a service wants its certificate, and how it learns of it. */
import { Type, type Static } from "typebox";
import { Reload, reloadProblem } from "./files.ts";

const Path = (description: string) => Type.String({ minLength: 1, maxLength: 4096, pattern: "^/", description });
const Account = (description: string) => Type.String({ minLength: 1, maxLength: 64, description });

export const CertificateFiles = Type.Object(
  {
    certificate: Path("Absolute path of the certificate with its intermediates, in PEM."),
    key: Type.Optional(
      Path("Path of the key. Absent: the key is in the file of the certificate, as HAProxy wants it."),
    ),
    bundle: Type.Optional(Path("Path of the authorities that verify other services.")),
    mode: Type.Optional(
      Type.String({ pattern: "^0[0-7]{3}$", description: 'Mode of new files, in octal and quoted. Absent: "0600".' }),
    ),
    owner: Type.Optional(Account("User of the files, by name or number, if the agent runs as root.")),
    group: Type.Optional(Account("Group of the files, by name or number.")),
    reload: Type.Optional(Reload),
  },
  {
    additionalProperties: false,
    description:
      "The service's certificate as files, which are replaced at each renewal. Existing files keep their mode.",
  },
);
export type CertificateFiles = Static<typeof CertificateFiles>;

/** The first problem that the shape does not show, with its field below the service. */
export function certificateProblem(
  { certificate, key, bundle, reload }: CertificateFiles,
  isLocal: (host: string) => boolean,
): { field: string; message: string } | undefined {
  const paths = [certificate, key, bundle].filter((path) => path !== undefined);
  const twice = paths.find((path, at) => paths.indexOf(path) !== at);
  if (twice !== undefined) {
    return {
      field: "/certificate",
      message: `${twice} is the path of two files; give each its own, or leave "key" out for one file with both`,
    };
  }
  const problem = reload && reloadProblem(reload, isLocal);
  return problem && { field: `/certificate${problem.field}`, message: problem.message };
}
