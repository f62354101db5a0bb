/** Texts of the code editor and of differences. */
import { defineText } from "../../text/mod.ts";

export const codeText = defineText(
  {
    leave: "Tab indents. To leave the editor by keyboard, press Escape and then Tab.",
    problems: "Problems",
    place: (line: number, column: number) => `Line ${line}, column ${column}`,
    same: "No differences.",
    before: "Before",
    after: "After",
  },
  {
    leave: "Tab 键用于缩进。如需用键盘离开编辑器，请先按 Esc 再按 Tab。",
    problems: "问题",
    place: (line, column) => `第 ${line} 行，第 ${column} 列`,
    same: "没有差异。",
    before: "修改前",
    after: "修改后",
  },
);

/** CodeMirror's own words, which are English. */
export const CHINESE_PHRASES: Readonly<Record<string, string>> = {
  "$ unchanged lines": "$ 行未改动",
  Completions: "补全",
  Diagnostics: "问题",
  "No diagnostics": "没有问题",
  close: "关闭",
  "Fold line": "折叠",
  "Unfold line": "展开",
  "folded code": "已折叠",
  unfold: "展开",
  "Folded lines": "已折叠行",
  "Unfolded lines": "已展开行",
  to: "至",
  "Control character": "控制字符",
};
