/** Modal dialogs: the browser's own element, so focus and Escape behave as everywhere. */
import { X } from "lucide";
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { ApiProblem, type ApiCall, callApi } from "../data/api.ts";
import { commonText } from "../text/common.ts";
import { Button } from "./button.tsx";
import { CopyAs } from "./copy.tsx";
import { Problem } from "./states.tsx";
import { showToast } from "./toast.tsx";

interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
  readonly footer?: ComponentChildren;
  /** CSS width; 34rem by default. */
  readonly width?: string;
  /** At the right edge, as high as the window: details beside a list. */
  readonly isSide?: boolean;
}

/** Shown while it is rendered. */
export function Dialog({ title, onClose, children, footer, width, isSide = false }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={element}
      class={isSide ? "dialog side" : "dialog"}
      aria-labelledby={id}
      style={width === undefined ? {} : { "--dialog": width }}
      onClose={onClose}
      onClick={(event) => {
        if (event.target === element.current) onClose();
      }}
    >
      <header>
        <h2 id={id}>{title}</h2>
        <Button kind="quiet" isSmall icon={X} label={commonText().close} onClick={onClose} />
      </header>
      <div class="body">{children}</div>
      {footer !== undefined && <footer>{footer}</footer>}
    </dialog>
  );
}

interface ActionDialogProps {
  readonly title: string;
  readonly confirm: string;
  readonly isDangerous?: boolean;
  /** The call that the action makes, from the fields' current values. */
  readonly call: ApiCall;
  readonly cli?: string | undefined;
  readonly needs?: string;
  readonly isReady?: boolean;
  readonly done: string;
  readonly onClose: () => void;
  readonly onDone?: (data: unknown) => void | Promise<void>;
  readonly children?: ComponentChildren;
  readonly width?: string;
}

/** A dialog around one call: confirm, wait, show the problem or close with a message. It offers the same call as a command. */
export function ActionDialog(props: ActionDialogProps) {
  const { title, confirm, isDangerous = false, call, cli, needs, isReady = true, done, onClose, onDone } = props;
  const isBusy = useSignal(false);
  const problem = useSignal<ApiProblem | undefined>(undefined);
  const act = async () => {
    if (isBusy.value) return;
    isBusy.value = true;
    problem.value = undefined;
    try {
      const { data } = await callApi(call);
      await onDone?.(data);
      showToast(done);
      onClose();
    } catch (error) {
      problem.value = error instanceof ApiProblem ? error : new ApiProblem(0, { detail: String(error) });
    } finally {
      isBusy.value = false;
    }
  };
  return (
    <Dialog
      title={title}
      onClose={onClose}
      {...(props.width === undefined ? {} : { width: props.width })}
      footer={
        <>
          <span class="left">
            <CopyAs cli={cli} call={call} />
          </span>
          <Button onClick={onClose}>{commonText().cancel}</Button>
          <Button
            kind={isDangerous ? "danger primary" : "primary"}
            {...(needs === undefined ? {} : { needs })}
            isDisabled={!isReady || isBusy.value}
            onClick={() => void act()}
          >
            {confirm}
          </Button>
        </>
      }
    >
      {props.children}
      {problem.value && <Problem problem={problem.value} />}
    </Dialog>
  );
}
