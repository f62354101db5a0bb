/** Confirms the login of a device: `posthouse login` shows the code and the address of this page. */
import "./device.css";
import { Check, CircleSlash, ShieldCheck, X } from "lucide";
import { useSignal } from "@preact/signals";
import type { DeviceLoginInfo } from "#access/api";
import { Button } from "../../components/button.tsx";
import { TextField } from "../../components/field.tsx";
import { Card, Facts, PageHeader } from "../../components/layout.tsx";
import { EmptyState, Loaded, Problem } from "../../components/states.tsx";
import { ApiProblem, callApi, pathOf, sessionState } from "../../data/api.ts";
import { useQuery } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatTime } from "../../data/time.ts";
import { readUserCode } from "./core.ts";
import { deviceText } from "./text.ts";

export default function DevicePage() {
  const text = deviceText();
  const [asked, setAsked] = useQuery("code");
  const code = readUserCode(asked);
  return (
    <div class="device">
      <PageHeader title={text.title} subtitle={text.subtitle} />
      {code === undefined ? (
        <CodeForm typed={asked} onCode={setAsked} />
      ) : (
        <Question key={code} code={code} onOther={() => setAsked("")} />
      )}
    </div>
  );
}

function CodeForm({ typed, onCode }: { readonly typed: string; readonly onCode: (code: string) => void }) {
  const text = deviceText();
  const value = useSignal(typed);
  const code = readUserCode(value.value);
  return (
    <Card>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (code !== undefined) onCode(code);
        }}
      >
        <TextField
          label={text.code}
          hint={text.codeHint}
          isMono
          isRequired
          hasFocus
          placeholder="BCDF-GHJK"
          value={value.value}
          onInput={(next) => (value.value = next)}
        />
        <div class="actions">
          <Button kind="primary" type="submit" isDisabled={code === undefined}>
            {text.next}
          </Button>
        </div>
      </form>
    </Card>
  );
}

function Question({ code, onOther }: { readonly code: string; readonly onOther: () => void }) {
  const path = pathOf`/v1/device-logins/${code}`;
  const login = useResource<DeviceLoginInfo>(path);
  const decided = useSignal<{ readonly allow: boolean; readonly device: string } | undefined>(undefined);
  const text = deviceText();
  if (decided.value) {
    const { allow, device } = decided.value;
    return (
      <EmptyState icon={allow ? ShieldCheck : CircleSlash} title={allow ? text.allowed : text.denied}>
        {allow ? text.allowedText(device) : text.deniedText(device)}
      </EmptyState>
    );
  }
  return (
    <>
      <Loaded of={login}>
        {(info) => <Decision info={info} onDecided={(allow) => (decided.value = { allow, device: info.device })} />}
      </Loaded>
      {login.problem && (
        <div class="actions">
          <Button onClick={onOther}>{text.other}</Button>
        </div>
      )}
    </>
  );
}

interface DecisionProps {
  readonly info: DeviceLoginInfo;
  readonly onDecided: (allow: boolean) => void;
}

function Decision({ info, onDecided }: DecisionProps) {
  const text = deviceText();
  const isBusy = useSignal(false);
  const problem = useSignal<ApiProblem | undefined>(undefined);
  const session = sessionState.value;
  const decide = async (allow: boolean) => {
    isBusy.value = true;
    problem.value = undefined;
    try {
      await callApi({ method: "POST", path: pathOf`/v1/device-logins/${info.userCode}/decision`, body: { allow } });
      onDecided(allow);
    } catch (error) {
      problem.value = error instanceof ApiProblem ? error : new ApiProblem(0, { detail: String(error) });
    } finally {
      isBusy.value = false;
    }
  };
  return (
    <Card title={text.question(info.device)}>
      <div class="question">
        <p class="device-code mono">{info.userCode}</p>
        <p class="notice">{text.warning}</p>
        <Facts
          of={[
            [text.asks, <span title={text.asksHint}>{info.device}</span>],
            [text.from, <span class="mono">{info.address}</span>],
            [text.since, formatAgo(info.since)],
            [text.you, session.kind === "in" ? session.session.name : ""],
            [text.until, formatTime(info.until)],
          ]}
        />
        {problem.value && <Problem problem={problem.value} />}
        <div class="actions">
          <Button kind="primary" icon={Check} isDisabled={isBusy.value} onClick={() => void decide(true)}>
            {text.allow}
          </Button>
          <Button icon={X} isDisabled={isBusy.value} onClick={() => void decide(false)}>
            {text.deny}
          </Button>
        </div>
      </div>
    </Card>
  );
}
