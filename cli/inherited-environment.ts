/** The environment of a command that posthouse starts. */

/** The inherited variables: all except posthouse's own settings, since tokens are among them. */
export function inherited(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith("POSTHOUSE_")));
}
