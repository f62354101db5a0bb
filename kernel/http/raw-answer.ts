/** Answers of a server to something that is not a request: a problem as the text of an HTTP/1.1 response, after which it closes. */
import { HttpErrors, typeOfProblem } from "./problem.ts";

export function rawAnswer(
  name: keyof typeof HttpErrors,
  { detail, headers = "" }: { readonly detail?: string; readonly headers?: string } = {},
): string {
  const { title, status, code } = HttpErrors[name];
  const problem = { type: typeOfProblem(code), title, status, code, ...(detail === undefined ? {} : { detail }) };
  const body = JSON.stringify(problem);
  const length = Buffer.byteLength(body);
  return `HTTP/1.1 ${status} ${title}\r\ncontent-type: application/problem+json\r\n${headers}content-length: ${length}\r\nconnection: close\r\n\r\n${body}`;
}
