/**
 * Answers compressed for clients that take it. Only what shrinks, only as it passes, and never what is compressed or
 * must stay as it is.
 */
import { pipeline, type Transform } from "node:stream";
import { constants, createBrotliCompress, createGzip, createZstdCompress } from "node:zlib";
import { addVary } from "../core/header-edits.ts";
import type { AnswerHeaders } from "../core/headers.ts";
import { chooseEncoding } from "../core/encoding.ts";
import type { Forward } from "../core/pipeline.ts";
import type { CompiledCompress, Encoding } from "../core/route.ts";
import type { UpstreamAnswer } from "../upstream/call.ts";

/** Brotli's fastest third: beyond, a core compresses less than a network carries. */
const BROTLI_QUALITY = 4;
const GZIP_LEVEL = 6;

const COMPRESSORS: Readonly<Record<Encoding, () => Transform>> = {
  gzip: () => createGzip({ level: GZIP_LEVEL }),
  br: () => createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY } }),
  zstd: () => createZstdCompress(),
};

export function compressAnswer(forward: Forward, method: string, answer: UpstreamAnswer): UpstreamAnswer {
  const { compress } = forward.route;
  if (!compress || method === "HEAD" || !fits(compress, answer)) return answer;
  const { headers } = answer;
  // Whether or not this client takes it: the next may, and a cache between must know.
  addVary(headers, "Accept-Encoding");
  const encoding = chooseEncoding(forward.request.head.header("accept-encoding"), compress.encodings);
  if (!encoding) return answer;
  delete headers["content-length"];
  delete headers["accept-ranges"];
  headers["content-encoding"] = encoding;
  const tag = headers["etag"];
  // Other bytes, same meaning: that is what a weak tag says.
  if (typeof tag === "string" && !tag.startsWith("W/")) headers["etag"] = `W/${tag}`;
  const compressor = COMPRESSORS[encoding]();
  pipeline(answer.stream, compressor, () => {});
  return { ...answer, stream: compressor };
}

function fits(
  { types, bytesMin }: CompiledCompress,
  { status, headers }: { status: number; headers: AnswerHeaders },
): boolean {
  if (status < 200 || status === 204 || status === 205 || status === 206 || status === 304) return false;
  if (headers["content-encoding"] !== undefined || headers["content-range"] !== undefined) return false;
  if (/\bno-transform\b/i.test(String(headers["cache-control"] ?? ""))) return false;
  const length = headers["content-length"];
  if (length !== undefined && Number(length) < bytesMin) return false;
  const type =
    String(headers["content-type"] ?? "")
      .split(";", 1)[0]
      ?.trim()
      .toLowerCase() ?? "";
  // An event must not wait in a compressor for the next one.
  if (type === "text/event-stream" || type.startsWith("application/grpc")) return false;
  return types.some((pattern) => typeMatches(pattern, type));
}

function typeMatches(pattern: string, type: string): boolean {
  const star = pattern.indexOf("*");
  if (star < 0) return pattern === type;
  return (
    type.length >= pattern.length && type.startsWith(pattern.slice(0, star)) && type.endsWith(pattern.slice(star + 1))
  );
}
