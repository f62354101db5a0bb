/** The actions of the control API in both languages, and the fields of their resources. A test compares them with the server's. */
import { defineText } from "../../text/mod.ts";

const FIELDS_OF_INSTANCE = ["namespace", "service"] as const;
const FIELDS_OF_KEY = ["namespace", "app", "profile", "key"] as const;
const FIELDS_OF_LOCK = ["namespace", "lock"] as const;
const NONE = [] as const;

export const ACTION_FIELDS = {
  "registry:read": FIELDS_OF_INSTANCE,
  "registry:write": FIELDS_OF_INSTANCE,
  "registry:policies": FIELDS_OF_INSTANCE,
  "registry:override": FIELDS_OF_INSTANCE,
  "config:read": FIELDS_OF_KEY,
  "config:acknowledge": ["namespace", "app", "profile"],
  "config:draft": FIELDS_OF_KEY,
  "config:review": FIELDS_OF_KEY,
  "config:publish": FIELDS_OF_KEY,
  "config:rules": ["namespace"],
  "config:secrets": FIELDS_OF_KEY,
  "config:reveal": FIELDS_OF_KEY,
  "config:keys": NONE,
  "config:audit": ["namespace", "app"],
  "locks:read": FIELDS_OF_LOCK,
  "locks:write": FIELDS_OF_LOCK,
  "locks:break": FIELDS_OF_LOCK,
  "gateway:read": ["namespace", "route"],
  "quotas:lease": NONE,
  "traffic:report": NONE,
  "traffic:gateway": NONE,
  "access:manage": NONE,
  "access:explain": NONE,
  "identity:read": NONE,
  "identity:issue": FIELDS_OF_INSTANCE,
  "identity:manage": NONE,
  "identity:delegate": NONE,
  "operations:read": NONE,
} as const satisfies Record<string, readonly string[]>;

export type ActionName = keyof typeof ACTION_FIELDS;
export const ACTION_NAMES = Object.keys(ACTION_FIELDS) as readonly ActionName[];
export const RESOURCE_FIELDS = ["namespace", "service", "app", "profile", "key", "lock", "route", "bus"] as const;
export type ResourceField = (typeof RESOURCE_FIELDS)[number];

export const actionText = defineText(
  {
    "registry:read": "see services, instances and their health",
    "registry:write": "register instances, and change its own",
    "registry:policies": "set how a service treats its unhealthy instances",
    "registry:override": "change instances and sessions of other callers",
    "config:read": "read configs, with secrets masked",
    "config:acknowledge": "report which release an instance runs",
    "config:draft": "draft and propose changes of keys",
    "config:review": "approve or reject proposals of others",
    "config:publish": "release keys, roll them back, and control gradual releases",
    "config:rules": "change the rules of releases",
    "config:secrets": "receive secrets in the clear, of apps that it is bound to",
    "config:reveal": "reveal one secret, which is audited",
    "config:keys": "manage the keys that encrypt secrets",
    "config:audit": "read the audit of revealed secrets",
    "locks:read": "see locks and their holders",
    "locks:write": "acquire locks, and release its own",
    "locks:break": "release locks of other callers",
    "gateway:read": "see the routes of gateways, and explain requests",
    "quotas:lease": "lease from rate limits that gateways share",
    "traffic:report": "report calls between its services",
    "traffic:gateway": "report calls as a gateway",
    "access:manage": "manage tokens, policies and bindings",
    "access:explain": "ask what other callers may do, and see refusals",
    "identity:read": "see certificates, nodes and the certificate authority",
    "identity:issue": "get certificates for names that it is bound to",
    "identity:manage": "rotate, import and revoke certificates, and let nodes join",
    "identity:delegate": "issue short-lived tokens to services on its host",
    "operations:read": "see the state of the system and its metrics",
  },
  {
    "registry:read": "查看服务、实例及其健康状态",
    "registry:write": "注册实例，并修改自己的实例",
    "registry:policies": "设置服务如何对待不健康的实例",
    "registry:override": "修改其他调用方的实例和会话",
    "config:read": "读取配置（密钥已遮盖）",
    "config:acknowledge": "上报实例所运行的版本",
    "config:draft": "起草和提议键的修改",
    "config:review": "批准或驳回他人的提议",
    "config:publish": "发布、回滚键，并控制灰度发布",
    "config:rules": "修改发布规则",
    "config:secrets": "接收所属应用的明文密钥",
    "config:reveal": "查看单个密钥（会被审计）",
    "config:keys": "管理用于加密密钥的主密钥",
    "config:audit": "查看密钥的查看记录",
    "locks:read": "查看锁及其持有者",
    "locks:write": "获取锁，并释放自己的锁",
    "locks:break": "释放其他调用方的锁",
    "gateway:read": "查看网关路由，并解释请求",
    "quotas:lease": "租用网关共享的限额",
    "traffic:report": "上报自身服务间的调用",
    "traffic:gateway": "以网关身份上报调用",
    "access:manage": "管理令牌、策略和绑定",
    "access:explain": "查询其他调用方的权限，并查看被拒绝的请求",
    "identity:read": "查看证书、节点和证书颁发机构",
    "identity:issue": "为所绑定的名称获取证书",
    "identity:manage": "轮换、导入和吊销证书，并允许节点加入",
    "identity:delegate": "为本机服务签发短期令牌",
    "operations:read": "查看系统状态和指标",
  },
);

/** The actions that a name or glob of a rule stands for. */
export function actionsOf(glob: string): readonly ActionName[] {
  const pattern = new RegExp(`^${glob.split("*").map(escaped).join(".*")}$`);
  return ACTION_NAMES.filter((name) => pattern.test(name));
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
