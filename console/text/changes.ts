/** Changes and problems of the timeline in the reader's language, by their kind and fields. */
import type { Change } from "#timeline/api";
import { commonText } from "./common.ts";
import { defineText } from "./mod.ts";

type Fact = string | undefined;
type ChangePhrase = (from: Fact, to: Fact, version: Fact) => string;

const en = {
  "instance-registered": () => "registered",
  "instance-gone": () => "left the registry",
  "instance-lifecycle": (from, to) => moved(from, to),
  "instance-health": (from, to) => moved(from, to),
  "config-released": (_from, _to, version) => `version ${version} released`,
  "config-rolled-back": (_from, to, version) =>
    `rolled back${to === undefined ? "" : ` to version ${to}`}, as version ${version}`,
  "rollout-started": (_from, _to, version) => `gradual release of version ${version} started`,
  "rollout-advanced": (_from, to) => `gradual release advanced${to === undefined ? "" : ` to stage ${to}`}`,
  "rollout-paused": () => "gradual release paused",
  "rollout-resumed": () => "gradual release resumed",
  "rollout-completed": (_from, _to, version) => `version ${version} is live for every instance`,
  "rollout-rolled-back": () => "gradual release rolled back",
  "rollout-superseded": () => "gradual release ended by an emergency release",
  "member-joined": () => "control plane member started",
  "member-left": () => "control plane member is gone",
  "gateway-joined": () => "gateway connected",
  "gateway-left": () => "gateway is gone",
  "token-issued": () => "token issued",
  "token-rotated": () => "token has a new secret",
  "token-revoked": () => "token revoked",
  "policy-changed": () => "policy changed",
  "policy-deleted": () => "policy deleted",
  "binding-changed": (_from, to) => `binding set${to === undefined ? "" : ` to ${to}`}`,
  "binding-deleted": () => "binding deleted",
} satisfies Record<string, ChangePhrase>;

type Phrases = Readonly<Record<string, ChangePhrase | undefined>>;

const phrases = defineText(en, {
  "instance-registered": () => "已注册",
  "instance-gone": () => "已从注册中心移除",
  "instance-lifecycle": (from, to) => moved(from, to),
  "instance-health": (from, to) => moved(from, to),
  "config-released": (_from, _to, version) => `发布了版本 ${version}`,
  "config-rolled-back": (_from, to, version) =>
    `已回滚${to === undefined ? "" : `到版本 ${to}`}，新版本号为 ${version}`,
  "rollout-started": (_from, _to, version) => `版本 ${version} 开始灰度发布`,
  "rollout-advanced": (_from, to) => `灰度发布进入${to === undefined ? "下一阶段" : `阶段 ${to}`}`,
  "rollout-paused": () => "灰度发布已暂停",
  "rollout-resumed": () => "灰度发布已恢复",
  "rollout-completed": (_from, _to, version) => `版本 ${version} 已全量生效`,
  "rollout-rolled-back": () => "灰度发布已回滚",
  "rollout-superseded": () => "灰度发布被紧急发布取代",
  "member-joined": () => "控制平面成员已启动",
  "member-left": () => "控制平面成员已离线",
  "gateway-joined": () => "网关已连接",
  "gateway-left": () => "网关已离线",
  "token-issued": () => "令牌已签发",
  "token-rotated": () => "令牌已轮换密钥",
  "token-revoked": () => "令牌已吊销",
  "policy-changed": () => "策略已修改",
  "policy-deleted": () => "策略已删除",
  "binding-changed": (_from, to) => `绑定已设置${to === undefined ? "" : `为 ${to}`}`,
  "binding-deleted": () => "绑定已删除",
});

const stateText = defineText(
  { starting: "Starting", serving: "Serving", draining: "Draining", stopped: "Stopped", gone: "Not registered" },
  { starting: "启动中", serving: "服务中", draining: "下线中", stopped: "已停止", gone: "未注册" },
);

/** The word for a status or a lifecycle; an unknown one as it is. */
export function stateWord(state: string): string {
  const words: Readonly<Record<string, unknown>> = { ...commonText(), ...stateText() };
  const found = words[`status_${state}`] ?? words[state];
  return typeof found === "string" ? found : state;
}

function moved(from: Fact, to: Fact): string {
  return [from, to]
    .filter((state) => state !== undefined)
    .map(stateWord)
    .join(" → ");
}

/** The event without the name of its subject. A kind that the console does not know has the server's text. */
export function changePhrase({ kind, from, to, version, text }: Change): string {
  const phrase = (phrases() as Phrases)[kind];
  return phrase?.(from, to, version === undefined ? undefined : String(version)) ?? text;
}

const problemTitles = defineText(
  {
    "service-down": "No healthy instance",
    "service-panic": "Too few healthy instances",
    "instance-critical": "Critical",
    "instance-warning": "Warning",
    "config-rejected": "Release rejected by a subscriber",
    "config-behind": "Subscribers run an older release",
    "rollout-paused": "Gradual release paused",
    "rollout-rolled-back": "Gradual release rolled back",
    "secret-unreadable": "Secrets cannot be decrypted",
    "config-unresolved": "Config cannot be resolved",
    "store-unreachable": "Store is not reachable",
    "member-unreachable": "Control plane member is not reachable",
    "certificate-expiring": "Certificate expires soon",
  },
  {
    "service-down": "没有健康的实例",
    "service-panic": "健康实例过少",
    "instance-critical": "实例故障",
    "instance-warning": "实例警告",
    "config-rejected": "有订阅方拒绝了配置",
    "config-behind": "有订阅方仍在使用旧配置",
    "rollout-paused": "灰度发布已暂停",
    "rollout-rolled-back": "灰度发布已回滚",
    "secret-unreadable": "密钥配置无法解密",
    "config-unresolved": "配置无法解析",
    "store-unreachable": "存储不可达",
    "member-unreachable": "控制平面成员不可达",
    "certificate-expiring": "证书即将过期",
  },
);

/** A short title of a problem's kind; undefined for a kind that the console does not know. */
export function problemTitle(kind: string): string | undefined {
  return (problemTitles() as Readonly<Record<string, string | undefined>>)[kind];
}

export const problemHints = defineText<Readonly<Record<string, string>>>(
  {},
  {
    "service-down": "所有请求都会失败。请检查实例的健康检查输出，或启动新的实例。",
    "service-panic": "健康实例低于策略要求的比例，客户端可能会向不健康的实例发送请求。",
    "instance-critical": "请查看健康检查的最近输出。",
    "instance-warning": "健康检查返回警告，实例仍可接收请求。",
    "config-rejected": "请查看拒绝原因，修正后重新发布，或回滚到上一个版本。",
    "config-behind": "请确认订阅方仍在运行，且能访问控制平面。",
    "rollout-paused": "请查看灰度进度，然后恢复或回滚。",
    "rollout-rolled-back": "请查看失败原因，修正后重新发布。",
    "secret-unreadable": "请检查密钥文件是否与写入时一致。",
    "config-unresolved": "请检查占位符和引用的键是否存在。",
    "store-unreachable": "写入会失败。请检查存储的网络和磁盘。",
    "member-unreachable": "请检查该成员的进程和网络。",
    "certificate-expiring": "请在到期前更换证书。",
  },
);
