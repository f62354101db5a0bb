/** Problems of the server in the reader's language. The server's own detail names the place, so it follows the translated title. */
import type { ApiProblem } from "../data/api.ts";
import { language } from "./mod.ts";

/** Chinese titles by code. A code that is missing here shows the server's English title. */
const CHINESE: Readonly<Record<string, string>> = {
  NETWORK: "无法连接服务器",
  HTTP_TOKEN_MISSING: "尚未登录",
  HTTP_TOKEN_INVALID: "令牌无效",
  HTTP_TOKEN_EXPIRED: "令牌已过期",
  HTTP_FORBIDDEN: "没有权限",
  HTTP_UNAVAILABLE: "服务暂时不可用",
  HTTP_NOT_FOUND: "不存在",
  HTTP_BODY_INVALID: "请求内容无效",
  HTTP_QUERY_INVALID: "请求参数无效",
  HTTP_TOO_MANY_REQUESTS: "请求过于频繁",
  CONFIG_NOT_FOUND: "配置不存在",
  CONFIG_CONFLICT: "配置已被他人修改",
  CONFIG_CONTENT_INVALID: "配置内容未通过校验",
  CONFIG_REVIEW_REQUIRED: "此环境的发布需要评审",
  REGISTRY_NOT_FOUND: "实例不存在",
  LOCKS_NOT_FOUND: "锁不存在",
  ACCESS_TOKEN_NOT_FOUND: "令牌不存在",
  ACCESS_POLICY_INVALID: "策略无效",
  ACCESS_POLICY_IN_USE: "策略正在使用",
  ACCESS_EXCEEDS_OWN: "超出自身权限",
  ACCESS_LOCKOUT: "此修改会使所有人失去管理权限",
  ACCESS_CHANGED: "已被他人修改",
  IDENTITY_NO_KEYS: "没有可加密私钥的密钥",
  IDENTITY_KEYS_LOST: "证书颁发机构的私钥无法解开",
  IDENTITY_ROTATION_UNDER_WAY: "轮换正在进行",
  IDENTITY_IMPORT_INVALID: "无法导入证书颁发机构",
};

export function problemText({ code, title, message, status }: ApiProblem): string {
  if (language.value === "zh") {
    const known = CHINESE[code];
    if (status === 0) return `${known ?? ""}：${message}`;
    return known === undefined ? message : `${known}：${message}`;
  }
  if (status === 0) return `The server cannot be reached: ${message}`;
  return title === "" || message.startsWith(title) ? message : `${title}. ${message}`;
}
