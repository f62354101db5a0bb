/** The products whose exports can be converted. A new one is a row and a file. */
import type { Convert } from "./conversion.ts";

export interface ConversionRow {
  /** The export that it reads. */
  readonly reads: string;
  readonly load: () => Promise<Convert>;
}

export const CONVERSIONS: Readonly<Record<string, ConversionRow>> = {
  "consul-kv": {
    reads: "JSON of `consul kv export`",
    load: async () => (await import("./consul-kv.ts")).convertConsulKv,
  },
  nacos: {
    reads: "zip of the console's export of a namespace",
    load: async () => (await import("./nacos.ts")).convertNacos,
  },
  apollo: { reads: "zip of the portal's export", load: async () => (await import("./apollo.ts")).convertApollo },
  "spring-config": {
    reads: "folder of a Spring Cloud Config server, such as a checkout",
    load: async () => (await import("./spring-config.ts")).convertSpringConfig,
  },
  kong: {
    reads: "declarative YAML or JSON; becomes the routes of the gateway",
    load: async () => (await import("./kong.ts")).convertKong,
  },
};
