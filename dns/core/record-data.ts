/** The records in the answers of posthouse. */

/** A record without owner, class and time to live, in the form of the packet library. */
export type RecordData =
  | { readonly type: "A" | "AAAA" | "NS" | "CNAME" | "PTR"; readonly data: string }
  | {
      readonly type: "SRV";
      readonly data: {
        readonly priority: number;
        readonly weight: number;
        readonly port: number;
        readonly target: string;
      };
    }
  | { readonly type: "TXT"; readonly data: readonly string[] }
  | { readonly type: "HINFO"; readonly data: { readonly cpu: string; readonly os: string } };
