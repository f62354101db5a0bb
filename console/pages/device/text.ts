/** Texts of the page that confirms the login of a device. */
import { defineText } from "../../text/mod.ts";

export const deviceText = defineText(
  {
    title: "Sign in a device",
    subtitle:
      "`posthouse login` on another machine shows a code. Confirm it here, and that machine works with your rights.",
    code: "Code",
    codeHint: "Eight letters, as the machine shows them.",
    next: "Continue",
    question: (device: string) => `Sign in “${device}” as yourself?`,
    asks: "Machine",
    asksHint: "It chose this name itself.",
    from: "Address",
    since: "Asked",
    until: "Signed in until",
    you: "As",
    warning: "Confirm only if you ran the command yourself a moment ago, and the machine shows the same code.",
    allow: "Confirm",
    deny: "Deny",
    allowed: "The machine is signed in",
    allowedText: (device: string) =>
      `You can close this page, and go on at “${device}”. Its token is in the list of tokens.`,
    denied: "Denied",
    deniedText: (device: string) =>
      `“${device}” received nothing. If you did not expect the request, tell your operator.`,
    other: "Another code",
  },
  {
    title: "登录设备",
    subtitle: "在另一台机器上运行 posthouse login 会显示一个代码。在这里确认后，那台机器即以你的权限工作。",
    code: "代码",
    codeHint: "机器上显示的八个字母。",
    next: "继续",
    question: (device) => `以你的身份登录“${device}”？`,
    asks: "机器",
    asksHint: "名称由该机器自行填写。",
    from: "地址",
    since: "请求时间",
    until: "登录有效期至",
    you: "登录身份",
    warning: "仅当刚才是你本人运行了该命令，并且机器上显示的代码与此一致时才确认。",
    allow: "确认",
    deny: "拒绝",
    allowed: "该机器已登录",
    allowedText: (device) => `可以关闭此页面，回到“${device}”继续操作。它的令牌可在令牌列表中查看。`,
    denied: "已拒绝",
    deniedText: (device) => `“${device}”没有获得任何权限。如果这不是你预期的请求，请告知管理员。`,
    other: "换一个代码",
  },
);
