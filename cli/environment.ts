/**
 * Effective configs as environment variables. `app.yaml: {db: {url: x}}` is `DB_URL=x`: the path to a value, its parts joined by
 * `_`, in capitals, anything but letters and digits as `_`. A text or properties key is one variable by its own name. A list is
 * JSON, null is nothing; a number or a boolean is as it is written. The sets come in order, the later over the earlier; a
 * variable that is named by hand wins over all.
 */
import { messageOf, own, setOwn } from "#base";
import { isTable, Literal, readSource } from "#base/formats";
import { isMasked, type Client } from "#client";

export type EffectiveConfig = Awaited<ReturnType<Client["config"]["effective"]>>;

/** `NAME=key#path`: one variable by hand; without a path it is the whole text of the key. */
export interface NamedVariable {
  readonly name: string;
  readonly key: string;
  readonly path: readonly string[];
}

const VARIABLE = /^([A-Za-z_][A-Za-z0-9_]*)=([^#]+?)(?:#(.+))?$/;

/** Undefined when it is not of the form `NAME=key#path`, where a path is `db.url`. */
export function parseVariable(text: string): NamedVariable | undefined {
  const [, name, key, path] = VARIABLE.exec(text) ?? [];
  return name === undefined || key === undefined ? undefined : { name, key, path: path?.split(".") ?? [] };
}

/**
 * The variables of some configs, or what is wrong with them: a value that is not what its format says, two keys of one set
 * that would be one variable, a variable by hand whose key or path is missing.
 */
export function environmentOf(
  configs: readonly Pick<EffectiveConfig, "app" | "profile" | "items">[],
  { prefix, variables }: { prefix: string; variables: readonly NamedVariable[] },
): { readonly values: Record<string, string> } | { readonly problem: string } {
  const values: Record<string, string> = {};
  try {
    for (const config of configs) Object.assign(values, ofSet(config, prefix));
    for (const name of Object.keys(values)) requireHarmless(name);
    for (const variable of variables) setOwn(values, variable.name, byHand(configs, variable));
    return { values };
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

/**
 * Variables that decide which code runs, in the loader, a shell or a language's runtime: whoever releases config would run
 * programs on this host. `--env` names one on purpose.
 */
const DECIDES_CODE = new RegExp(
  `^(?:${[
    "PATH|LD_.*|DYLD_.*|GCONV_PATH|LOCPATH|NLSPATH|GLIBC_TUNABLES|HOSTALIASES|RESOLV_HOST_CONF|HOME|XDG_(?:CONFIG|DATA)_.*",
    "SHELL|SHELLOPTS|BASHOPTS|BASH_ENV|BASH_FUNC_.*|IFS|PS4|PROMPT_COMMAND|CDPATH|ZDOTDIR|EDITOR|VISUAL|PAGER|LESSOPEN|LESSCLOSE",
    "NODE_OPTIONS|NODE_PATH|NODE_EXTRA_CA_CERTS|NODE_TLS_REJECT_UNAUTHORIZED|NODE_REPL_EXTERNAL_MODULE|NPM_CONFIG_.*",
    "PYTHON(?:PATH|HOME|STARTUP|INSPECT|BREAKPOINT|USERBASE|PLATLIBDIR|WARNINGS|EXECUTABLE)|PERL5LIB|PERL5OPT|PERL5DB|PERLLIB",
    "RUBYOPT|RUBYLIB|GEM_HOME|GEM_PATH|BUNDLE_GEMFILE|PHPRC|PHP_INI_SCAN_DIR|LUA_(?:INIT|PATH|CPATH).*|R_(?:PROFILE|ENVIRON|LIBS).*",
    "JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|JDK_JAVA_OPTIONS|JAVA_HOME|CLASSPATH|MAVEN_OPTS|GRADLE_OPTS|CATALINA_OPTS",
    "DOTNET_(?:STARTUP_HOOKS|ADDITIONAL_DEPS|SHARED_STORE)|CORECLR_.*|COR_PROFILER.*|COR_ENABLE_PROFILING|ERL_(?:[AZ]?FLAGS|LIBS)",
    "GIT_(?:SSH|SSH_COMMAND|ASKPASS|EXEC_PATH|CONFIG.*|EDITOR|PAGER|EXTERNAL_DIFF|TEMPLATE_DIR|PROXY_COMMAND)|SSH_ASKPASS",
    "SSL_CERT_FILE|SSL_CERT_DIR|OPENSSL_(?:CONF|MODULES|ENGINES)",
  ].join("|")})$`,
  "i",
);

function requireHarmless(name: string): void {
  if (!DECIDES_CODE.test(name)) return;
  throw new Error(
    `config would set ${name}, which decides what code runs here; rename the key, use --prefix, or name it on purpose: --env ${name}=KEY#PATH`,
  );
}

/** Keys that posthouse reads itself, and the command has no use for. */
function isReadHere(key: string): boolean {
  return /^(?:imports\.yaml|flags\.(?:yaml|json)|(?:.*\.)?schema\.json)$/.test(key);
}

function ofSet({ app, profile, items }: Pick<EffectiveConfig, "app" | "profile" | "items">, prefix: string) {
  const values: Record<string, string> = {};
  const origins = new Map<string, string>();
  const put = (path: readonly string[], value: unknown, origin: string) => {
    if (isTable(value)) {
      for (const [part, inner] of Object.entries(value)) put([...path, part], inner, `${origin} ${part}`);
    } else if (value !== null && value !== undefined) {
      const name =
        prefix +
        path
          .join("_")
          .replaceAll(/[^A-Za-z0-9]/g, "_")
          .toUpperCase();
      const other = origins.get(name);
      if (other !== undefined) throw new Error(`${app}/${profile}: "${other}" and "${origin}" are both ${name}`);
      if (!/^[A-Za-z_]/.test(name)) throw new Error(`${app}/${profile}: "${origin}" is no variable; set a prefix`);
      origins.set(name, origin);
      setOwn(values, name, textOf(value, name));
    }
  };
  for (const [key, item] of Object.entries(items)) {
    if (isReadHere(key)) continue;
    requireTold(item, `${app}/${profile} ${key}`);
    const tree = dataOf(item, `${app}/${profile} ${key}`);
    // A structured key that holds no table is one variable, as a text is.
    if (isTable(tree)) put([], tree, key);
    else put([key], tree, key);
  }
  return values;
}

function byHand(configs: Parameters<typeof environmentOf>[0], { name, key, path }: NamedVariable): string {
  const config = configs.findLast(({ items }) => Object.hasOwn(items, key));
  const item = own(config?.items, key);
  if (!item) throw new Error(`${name}: no set has the key "${key}"`);
  requireTold(item, key);
  if (path.length === 0) return textOf(item.value, name);
  let value = dataOf(item, key);
  for (const part of path) value = isTable(value) ? own(value, part) : undefined;
  if (value === undefined || value === null) throw new Error(`${name}: "${key}" has nothing at ${path.join(".")}`);
  return textOf(value, name);
}

/** No command is to run with a mask for a password. */
function requireTold(item: EffectiveConfig["items"][string], place: string): void {
  if (isMasked(item)) throw new Error(`${place} is a secret, which this token may not read; use one of the role agent`);
}

/** A properties key is one variable, as a text is: its names are no paths. A binary one is its base64. */
function dataOf(item: EffectiveConfig["items"][string], place: string): unknown {
  const { format, value, secret } = item;
  try {
    return format === "yaml" || format === "json" || format === "toml" ? readSource(item) : value;
  } catch (error) {
    // What a parser says quotes the text.
    throw new Error(`${place} is no ${format}${secret ? "" : `: ${messageOf(error)}`}`, { cause: error });
  }
}

function textOf(value: unknown, name: string): string {
  const text = typeof value === "string" ? value : value instanceof Literal ? value.source : JSON.stringify(value);
  if (text.includes("\0")) throw new Error(`${name}: a variable may hold no zero byte`);
  return text;
}
