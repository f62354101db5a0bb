/**
 * Builds the Debian package `posthouse_VERSION_ARCH.deb` (`npm run build:deb`), by `dpkg-deb` alone: the built program, the packages
 * that it needs at run time, a Node, systemd units, settings and documents.
 *
 * The package contains its own Node, the npm package `node` of this checkout. No release of Debian has a Node that is new enough, so a
 * dependency on `nodejs` could be installed only beside a foreign package source. The program also runs on the Node that it was tested on.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { copyPackages, productionPackages, type ProductionPackage } from "./production-packages.ts";

const root = join(import.meta.dirname, "..");
/** Debian's names of the platforms that the npm package `node` has. */
const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, string>>> = {
  arm64: "arm64",
  ppc64: "ppc64el",
  s390x: "s390x",
  x64: "amd64",
};
/** The libraries that Node's binary is linked to. */
const DEPENDS = "libatomic1, libc6 (>= 2.28), libgcc-s1, libstdc++6";
const DESCRIPTION = `microservice control plane: registry, config, gateway, agent
 A service registry with health checks, a versioned config server that pushes
 to agents, and a JWT, ACL and TLS gateway, in one program.
 .
 The package contains the Node that the program runs on. It starts nothing:
 enable posthouse.service, or posthouse-agent.service and
 posthouse-gateway.service on hosts without a control plane.`;

export interface DebianPackageOptions {
  /** Folder of the built program, as scripts/build.ts makes it. */
  readonly dist: string;
  /** Folder that receives the package. */
  readonly target: string;
  /** As `dpkg-deb -Z` takes it. */
  readonly compression: "none" | "xz";
}

/** @returns the path of the package */
export function buildDebianPackage({ dist, target, compression }: DebianPackageOptions): string {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined) throw new Error(`Debian packages for the platform ${process.arch} cannot be built.`);
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const stage = mkdtempSync(join(tmpdir(), "posthouse-deb-"));
  try {
    chmodSync(stage, 0o755);
    const packages = productionPackages(root);
    addProgram(stage, dist, packages);
    addSettings(stage);
    addDocuments(stage, packages);
    // As Debian sorts versions, 1.0.0~rc.1 is before 1.0.0.
    addControl(stage, { architecture, version: version.replace("-", "~") });
    mkdirSync(target, { recursive: true });
    const file = join(target, `posthouse_${version.replace("-", "~")}_${architecture}.deb`);
    const built = spawnSync("dpkg-deb", ["--root-owner-group", `-Z${compression}`, "--build", stage, file], {
      encoding: "utf8",
    });
    if (built.status !== 0) throw new Error(`dpkg-deb failed: ${built.error?.message ?? built.stderr}`);
    return file;
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

function add(stage: string, to: string, content: string | Buffer, mode = 0o644): void {
  mkdirSync(dirname(join(stage, to)), { recursive: true });
  writeFileSync(join(stage, to), content);
  chmodSync(join(stage, to), mode);
}

const addFile = (stage: string, from: string, to: string, mode?: number) =>
  add(stage, to, readFileSync(join(root, from)), mode);

function addProgram(stage: string, dist: string, packages: readonly ProductionPackage[]): void {
  const home = join(stage, "usr/lib/posthouse");
  mkdirSync(home, { recursive: true });
  cpSync(dist, join(home, "dist"), { recursive: true, filter: (source) => !source.endsWith(".d.ts") });
  cpSync(join(root, "bin"), join(home, "bin"), { recursive: true });
  copyFileSync(join(root, "package.json"), join(home, "package.json"));
  copyPackages(root, packages, home);
  copyFileSync(join(root, "node_modules/node/bin/node"), join(home, "node"));
  chmodSync(join(home, "node"), 0o755);
  addFile(stage, "deploy/debian/posthouse", "usr/lib/posthouse/posthouse", 0o755);
  mkdirSync(join(stage, "usr/bin"), { recursive: true });
  symlinkSync("../lib/posthouse/posthouse", join(stage, "usr/bin/posthouse"));
  for (const unit of globSync("*.service", { cwd: join(root, "deploy/systemd") }))
    addFile(stage, join("deploy/systemd", unit), join("usr/lib/systemd/system", unit));
}

/** The settings of each unit. They may contain tokens, so only root can read them; systemd passes a copy to the unit. */
const SETTINGS = ["posthouse", "agent", "gateway"];

function addSettings(stage: string): void {
  for (const name of SETTINGS) addFile(stage, `deploy/${name}.example.yaml`, `etc/posthouse/${name}.yaml`, 0o600);
  mkdirSync(join(stage, "etc/posthouse/services"));
}

function addDocuments(stage: string, packages: readonly ProductionPackage[]): void {
  const folder = "usr/share/doc/posthouse";
  for (const name of ["guides", "reference"])
    cpSync(join(root, "docs", name), join(stage, folder, name), { recursive: true });
  addFile(stage, "docs/glossary.md", join(folder, "glossary.md"));
  addFile(stage, "README.md", join(folder, "README.md"));
  const manual = readFileSync(join(root, "docs/reference/posthouse.1"));
  add(stage, "usr/share/man/man1/posthouse.1.gz", gzipSync(manual, { level: 9 }));
  add(stage, join(folder, "changelog.gz"), gzipSync(readFileSync(join(root, "CHANGELOG.md")), { level: 9 }));
  add(stage, join(folder, "copyright"), copyrightOf(packages));
}

/** In Debian's format for machines (copyright-format/1.0). */
function copyrightOf(packages: readonly ProductionPackage[]): string {
  const indented = (text: string) => text.trim().replaceAll(/^/gm, " ").replaceAll(/^ *$/gm, " .");
  const node = readFileSync(join(root, "deploy/debian/node.license"), "utf8");
  return [
    "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: posthouse",
    "Files: *\nCopyright: the posthouse authors\nLicense: Apache-2.0",
    "Files: usr/lib/posthouse/node\nCopyright: Node.js contributors, as named in its license\nLicense: Node",
    ...packages.map(({ path, name, version, license, licenseFiles }) => {
      const place = `usr/lib/posthouse/${path}`;
      const text =
        licenseFiles.length === 0
          ? `${name} ${version} has no file with its license.`
          : `${name} ${version}. License text: ${licenseFiles.map((file) => `/${place}/${file}`).join(", ")}`;
      return `Files: ${place}/*\nCopyright: the authors of ${name}, as named in its license\nLicense: ${license}\nComment: ${text}`;
    }),
    "License: Apache-2.0\n On Debian systems, the text of this license is in /usr/share/common-licenses/Apache-2.0.",
    `License: Node\n${indented(node)}`,
    "",
  ].join("\n\n");
}

function addControl(stage: string, { architecture, version }: { architecture: string; version: string }): void {
  const files = globSync("**/*", { cwd: stage, withFileTypes: true }).filter((entry) => entry.isFile());
  const bytes = files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
  const control = {
    Package: "posthouse",
    Version: version,
    Architecture: architecture,
    Maintainer: "The posthouse authors <posthouse@posthouse.invalid>",
    "Installed-Size": Math.ceil(bytes / 1024),
    Depends: DEPENDS,
    Section: "net",
    Priority: "optional",
    Description: DESCRIPTION,
  };
  const text = Object.entries(control).map(([name, value]) => `${name}: ${value}\n`);
  add(stage, "DEBIAN/control", text.join(""));
  add(stage, "DEBIAN/conffiles", SETTINGS.map((name) => `/etc/posthouse/${name}.yaml\n`).join(""));
  for (const script of ["postinst", "prerm", "postrm"])
    addFile(stage, `deploy/debian/${script}`, `DEBIAN/${script}`, 0o755);
}

if (import.meta.main) {
  const build = mkdtempSync(join(tmpdir(), "posthouse-build-"));
  try {
    const dist = join(build, "dist");
    const built = spawnSync(process.execPath, [join(root, "scripts/build.ts"), dist], { stdio: "inherit" });
    if (built.status !== 0) process.exit(built.status ?? 1);
    console.log(buildDebianPackage({ dist, target: process.argv[2] ?? join(root, "dist-deb"), compression: "xz" }));
  } finally {
    rmSync(build, { recursive: true, force: true });
  }
}
