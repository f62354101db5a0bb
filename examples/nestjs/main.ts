/** A NestJS service with the module. */
import "reflect-metadata";
import { Controller, Get, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import type { Posthouse } from "posthouse/client";
import { InjectPosthouse, PosthouseModule } from "posthouse/nestjs";

class StockController {
  readonly #posthouse: Posthouse;

  constructor(posthouse: Posthouse) {
    this.#posthouse = posthouse;
  }

  async stock(): Promise<{ pieces: number; self: number }> {
    const answer = await this.#posthouse.fetch("http://stock.service/healthz");
    return { pieces: 7, self: answer.status };
  }
}
InjectPosthouse()(StockController, undefined as never, 0);
Get()(StockController.prototype, "stock", Object.getOwnPropertyDescriptor(StockController.prototype, "stock")!);
Controller()(StockController);

class AppModule {
  readonly service = "stock";
}
Module({ imports: [PosthouseModule.forRoot({ service: "stock" })], controllers: [StockController] })(AppModule);

const app = await NestFactory.create(AppModule, { logger: ["error", "warn"] });
app.enableShutdownHooks();
await app.listen(Number(process.env["PORT"] ?? 0));
console.log("stock listens");
