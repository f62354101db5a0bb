/** Why a candidate lost, in Chinese. The server's English words have few forms; an unknown one stays as it is. Pure. */

const CRITERIA: Readonly<Record<string, string>> = {
  hint: "提示来源",
  priority: "优先级",
  host: "主机名",
  path: "路径",
  methods: "方法",
  headers: "请求头条件",
  query: "查询参数条件",
  cookies: "Cookie 条件",
  source: "来源网段",
  scheme: "协议",
  name: "名称",
};

const CONDITIONS: Readonly<Record<string, string>> = { header: "请求头", cookie: "Cookie ", query: "查询参数" };

const FORMS: readonly (readonly [RegExp, (...parts: string[]) => string])[] = [
  [/^the first match$/, () => "最先匹配"],
  [/^host is not (.+)$/, (_, host = "") => `主机名不是 ${host}`],
  [/^path is not (\S+) (.+)$/, (_, kind = "", path = "") => `路径不匹配 ${kind} ${path}`],
  [/^method is not (.+)$/, (_, methods = "") => `方法不是 ${methods.replaceAll(" or ", " / ")}`],
  [/^the scheme is not (.+)$/, (_, scheme = "") => `协议不是 ${scheme}`],
  [/^the client is not in (.+)$/, (_, source = "") => `客户端不在 ${source} 中`],
  [/^"(.+)" comes before it by (\w+)$/, (_, route = "", by = "") => `“${route}”在${CRITERIA[by] ?? by}上优先`],
  [/^(header|cookie|query): not (.+)$/, (_, kind = "", rest = "") => `${CONDITIONS[kind] ?? kind}不满足 ${rest}`],
  [/^matches, but was not compared$/, () => "匹配，但未参与比较"],
];

export function chineseReason(reason: string): string {
  for (const [form, words] of FORMS) {
    const found = form.exec(reason);
    if (found) return words(...found);
  }
  return reason;
}
