/** A way between two programs that a test can cut: bytes then go nowhere, as when a network drops packets. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export interface CuttingProxy extends AsyncDisposable {
  readonly port: number;
  /** From now on nothing passes, nothing is refused and nothing is closed. */
  cut(): void;
  /** New connections pass again; those from before end. */
  mend(): void;
}

export async function cuttingProxy(targetPort: number): Promise<CuttingProxy> {
  let isCut = false;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    sockets.add(near);
    near.on("error", () => {});
    near.once("close", () => sockets.delete(near));
    if (isCut) {
      near.pause();
      return;
    }
    const far = connect(targetPort, "127.0.0.1");
    sockets.add(far);
    far.on("error", () => near.destroy());
    far.once("close", () => {
      sockets.delete(far);
      if (!isCut) near.destroy();
    });
    near.once("close", () => far.destroy());
    near.pipe(far);
    far.pipe(near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const end = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      isCut = true;
      for (const socket of sockets) {
        socket.unpipe();
        socket.pause();
      }
    },
    mend() {
      end();
      isCut = false;
    },
    async [Symbol.asyncDispose]() {
      end();
      server.close();
    },
  };
}
