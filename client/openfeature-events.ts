/** The event emitter that the OpenFeature SDK requires of a provider. The SDK's own is a class, which only the caller loads. */
import type {
  AnyProviderEvent,
  EventContext,
  EventDetails,
  EventHandler,
  Logger,
  ProviderEventEmitter,
} from "@openfeature/server-sdk";
import { messageOf } from "#base";

export class ProviderEmitter implements ProviderEventEmitter<AnyProviderEvent> {
  readonly #handlers = new Map<string, EventHandler[]>();
  #logger: Logger | undefined;

  /** Handlers are called at once and in order. A handler that fails is logged and does not stop the next one. */
  emit(event: `${AnyProviderEvent}`, context?: EventContext): void {
    for (const handler of this.#handlers.get(event) ?? []) void this.#call(handler, context as EventDetails);
  }

  async #call(handler: EventHandler, details: EventDetails): Promise<void> {
    try {
      await handler(details);
    } catch (error) {
      this.#logger?.error(`a handler of a provider event failed: ${messageOf(error)}`);
    }
  }

  addHandler(event: AnyProviderEvent, handler: EventHandler): void {
    this.#handlers.set(event, [...this.getHandlers(event), handler]);
  }

  removeHandler(event: AnyProviderEvent, handler: EventHandler): void {
    this.#handlers.set(
      event,
      this.getHandlers(event).filter((one) => one !== handler),
    );
  }

  removeAllHandlers(event?: AnyProviderEvent): void {
    if (event === undefined) this.#handlers.clear();
    else this.#handlers.delete(event);
  }

  getHandlers(event: AnyProviderEvent): EventHandler[] {
    return this.#handlers.get(event) ?? [];
  }

  setLogger(logger: Logger): this {
    this.#logger = logger;
    return this;
  }
}
