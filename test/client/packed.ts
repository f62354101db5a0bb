/** An empty project with the package as others get it: built, packed, and unpacked beside the packages that a test allows. */
import { execFile } from "node:child_process";
import { copyFile, cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { builtProgram, projectRoot, tempFolder, type TempFolder } from "#test/kit";

const run = promisify(execFile);
/** The packages that the client may load: no server, no store, no gRPC. Any other import would fail. */
export const RUNTIME = ["ipaddr.js", "smol-toml", "typebox", "undici", "yaml"];
/** Flags need this one as well, for their patterns. */
export const FOR_FLAGS = ["re2js"];
/** The packages of a program with types: the types of Node and of the client, and a library of schemas. */
export const FOR_TYPES = ["@standard-schema/spec", "@types/node", "zod"];

export interface PackedProject extends TempFolder {
  /** Where the package was packed, with `dist`. */
  readonly source: string;
  /** The packed file. */
  readonly archive: string;
}

/** `packages`: those of the checkout that the project's programs can load. */
export async function packedProject(packages: readonly string[]): Promise<PackedProject> {
  const project = await tempFolder();
  const modules = join(project.path, "node_modules");
  const link = async (name: string) => {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(join(projectRoot, "node_modules", name), join(modules, name));
  };
  await Promise.all(packages.map(link));
  // Packed outside the project, so that a concurrent build in the project is not disturbed.
  const source = join(project.path, "source");
  await using program = await builtProgram();
  await cp(program.dist, join(source, "dist"), { recursive: true });
  for (const name of ["package.json", "README.md", "LICENSE"])
    await copyFile(join(projectRoot, name), join(source, name));
  await cp(join(projectRoot, "bin"), join(source, "bin"), { recursive: true });
  const flags = ["--ignore-scripts", "--json", "--offline", "--pack-destination", project.path];
  const { stdout } = await run("npm", ["pack", ...flags], { cwd: source, maxBuffer: 64 * 1024 * 1024 });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  const archive = join(project.path, filename);
  await mkdir(join(modules, "posthouse"));
  await run("tar", ["-xzf", archive, "--strip-components", "1", "-C", join(modules, "posthouse")]);
  await writeFile(join(project.path, "package.json"), JSON.stringify({ type: "module" }));
  return { ...project, source, archive };
}

/** Unpacks the package into an empty project, beside its dependencies and with its command, as an installation leaves it. */
export async function installPacked(archive: string, project: string): Promise<void> {
  const modules = join(project, "node_modules");
  await mkdir(join(modules, "posthouse"), { recursive: true });
  await run("tar", ["-xzf", archive, "--strip-components", "1", "-C", join(modules, "posthouse")]);
  const manifest = JSON.parse(await readFile(join(modules, "posthouse", "package.json"), "utf8")) as {
    bin: { posthouse: string };
    dependencies: Record<string, string>;
  };
  for (const name of Object.keys(manifest.dependencies)) {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(join(projectRoot, "node_modules", name), join(modules, name));
  }
  await mkdir(join(modules, ".bin"));
  await symlink(join("..", "posthouse", manifest.bin.posthouse), join(modules, ".bin", "posthouse"));
}
