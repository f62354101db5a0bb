/**
 * Effective configs as environment variables. `app.yaml: {db: {url: x}}` becomes `DB_URL=x`: the parts of the path are joined by `_`,
 * in upper case, with every other character replaced by `_`. A text or properties key is one variable with the key's name. A list is
 * JSON, null is left out, and a number or a boolean keeps its spelling. Later sets override earlier ones, and a variable that is named
 * explicitly overrides all.
 */
import { messageOf, own, setOwn, shapeOf } from "#base";
import { isTable, Literal, readSource } from "#base/formats";
import { isMasked, type Client } from "#client";

export type EffectiveConfig = Awaited<ReturnType<Client["config"]["effective"]>>;

/** `NAME=key#path`: one explicit variable; without a path its value is the whole text of the key. */
export interface NamedVariable {
  readonly name: string;
  readonly key: string;
  readonly path: readonly string[];
}

const VARIABLE = /^([A-Za-z_][A-Za-z0-9_]*)=([^#]+?)(?:#(.+))?$/;

/** Undefined unless the text has the form `NAME=key#path`, with a path such as `db.url`. */
export function parseVariable(text: string): NamedVariable | undefined {
  const [, name, key, path] = VARIABLE.exec(text) ?? [];
  return name === undefined || key === undefined ? undefined : { name, key, path: path?.split(".") ?? [] };
}

/**
 * The variables of some configs, or the first problem: a value that does not match its format, two keys of one set that would
 * become the same variable, or an explicit variable whose key or path is missing.
 */
export function environmentOf(
  configs: readonly Pick<EffectiveConfig, "app" | "profile" | "items">[],
  { prefix, variables }: { prefix: string; variables: readonly NamedVariable[] },
): { readonly values: Record<string, string> } | { readonly problem: string } {
  const values: Record<string, string> = {};
  try {
    for (const config of configs) Object.assign(values, ofSet(config, prefix));
    for (const name of Object.keys(values)) requireHarmless(name);
    for (const variable of variables) setOwn(values, variable.name, explicitValue(configs, variable));
    return { values };
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

/**
 * Variables that decide which code runs, in the loader, a shell or a language runtime. With them, anyone who releases config could
 * run programs on this host. `--env` can name one on purpose.
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
    `config would set ${name}, which decides what code runs on this host; rename the key, use --prefix, or set it on purpose: --env ${name}=KEY#PATH`,
  );
}

/** Keys that posthouse reads itself, and that the command does not need. */
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
      if (other !== undefined)
        throw new Error(`${app}/${profile}: "${other}" and "${origin}" both become ${name}; rename one of them`);
      if (!/^[A-Za-z_]/.test(name))
        throw new Error(`${app}/${profile}: "${origin}" is not a valid variable name; set --prefix`);
      origins.set(name, origin);
      setOwn(values, name, variableText(value, name));
    }
  };
  for (const [key, item] of Object.entries(items)) {
    if (isReadHere(key)) continue;
    requireReadable(item, `${app}/${profile} ${key}`);
    const tree = dataOf(item, `${app}/${profile} ${key}`);
    // A structured key without a table is one variable, like a text.
    if (isTable(tree)) put([], tree, key);
    else put([key], tree, key);
  }
  return values;
}

function explicitValue(configs: Parameters<typeof environmentOf>[0], { name, key, path }: NamedVariable): string {
  const config = configs.findLast(({ items }) => Object.hasOwn(items, key));
  const item = own(config?.items, key);
  if (!item) throw new Error(`${name}: no set has the key "${key}"`);
  requireReadable(item, key);
  if (path.length === 0) return variableText(item.value, name);
  let value = dataOf(item, key);
  for (const part of path) value = isTable(value) ? own(value, part) : undefined;
  if (value === undefined || value === null) throw new Error(`${name}: "${key}" has no value at ${path.join(".")}`);
  return variableText(value, name);
}

/** A command must not run with a mask instead of a password. */
function requireReadable(item: EffectiveConfig["items"][string], place: string): void {
  if (isMasked(item))
    throw new Error(`${place} is a secret, which this token may not read; use a token with the policy agent`);
}

/** A properties key is one variable, like a text, since names of a flat format are not paths. A binary key is its base64 text. */
function dataOf(item: EffectiveConfig["items"][string], place: string): unknown {
  const { format, value, secret } = item;
  try {
    return shapeOf(format) === "tree" ? readSource(item) : value;
  } catch (error) {
    // The parser's message quotes the text.
    throw new Error(`${place} is not valid ${format}${secret ? "" : `: ${messageOf(error)}`}`, { cause: error });
  }
}

function variableText(value: unknown, name: string): string {
  const text = typeof value === "string" ? value : value instanceof Literal ? value.source : JSON.stringify(value);
  if (text.includes("\0")) throw new Error(`${name}: a variable must not contain a zero byte`);
  return text;
}
