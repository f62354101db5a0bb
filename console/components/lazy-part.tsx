/** A part of a page whose program is loaded when it is first shown, so that the page itself stays small. */
import { useSignal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { ApiProblem } from "../data/api.ts";
import { Problem, Skeleton } from "./states.tsx";

export function lazyPart<Props extends object>(
  load: () => Promise<{ readonly default: ComponentType<Props> }>,
): ComponentType<Props> {
  let loaded: ComponentType<Props> | undefined;
  return function LazyPart(props: Props) {
    const part = useSignal(loaded);
    const problem = useSignal<ApiProblem | undefined>(undefined);
    const start = () => {
      problem.value = undefined;
      load()
        .then((module) => (part.value = loaded = module.default))
        .catch((error: unknown) => (problem.value = new ApiProblem(0, { detail: String(error) })));
    };
    useEffect(() => {
      if (!loaded) start();
    }, []);
    const Part = part.value;
    if (Part) return <Part {...props} />;
    return problem.value ? <Problem problem={problem.value} onRetry={start} /> : <Skeleton />;
  };
}
