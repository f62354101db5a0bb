/** The environment of a command that posthouse starts. */

/** What the command inherits: everything except our own settings, since tokens are among them. */
export function inherited(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith("POSTHOUSE_")));
}
