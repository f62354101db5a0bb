/**
 * The documentation site, of the same Markdown files that the repository shows: `npm run docs` writes `dist-docs`. The source folder is
 * the root, because both READMEs and the pages of docs/ belong to it.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import { defineConfig, type DefaultTheme, type MarkdownRenderer } from "vitepress";

const root = join(import.meta.dirname, "..", "..");
/** Pages outside docs/ that belong to the site. */
const ROOT_PAGES = [
  "README.md",
  "README.zh-CN.md",
  "ARCHITECTURE.md",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
];
const REWRITES: Readonly<Record<string, string>> = {
  "README.md": "index.md",
  "README.zh-CN.md": "zh/index.md",
  "docs/guides/README.md": "guides/index.md",
  "docs/guides/README.zh-CN.md": "zh/guides/index.md",
  // Beside SECURITY.md, from which it would differ by case alone.
  "docs/security.md": "threat-model.md",
  "docs/:rest*": ":rest*",
};

/** Where a Markdown file of the repository appears in the site, such as `/guides/config.md`. */
function sitePath(file: string): string {
  const exact = Object.entries(REWRITES).find(([from]) => from === file)?.[1];
  return `/${exact ?? file.replace(/^docs\//, "")}`;
}

/** Files that machines read, beside the pages of the reference. They are part of the site, unchanged. */
const REFERENCE = "docs/reference";
const DATA_FILES = readdirSync(join(root, REFERENCE)).filter((name) => name.endsWith(".json"));

/** Links between files of the repository, as links of the site. Files that the site does not have are links to the repository's copy. */
function relinked(md: MarkdownRenderer): void {
  md.core.ruler.push("relink", (state) => {
    // `path` is the place in the site; links are relative to the file in the repository.
    const { path, realPath = path } = state.env as { readonly path: string; readonly realPath?: string };
    const folder = relative(root, dirname(realPath)).replaceAll("\\", "/");
    for (const token of state.tokens.flatMap(({ children }) => children ?? [])) {
      const href = token.type === "link_open" ? token.attrGet("href") : null;
      if (href === null || /^(\w+:|#|\/)/.test(href)) continue;
      const [target = "", hash] = href.split("#", 2);
      const file = posix.normalize(posix.join(folder, target));
      const isPage = file.endsWith(".md") && (file.startsWith("docs/") || ROOT_PAGES.includes(file));
      const isData = posix.dirname(file) === REFERENCE && DATA_FILES.includes(posix.basename(file));
      const to = isPage || isData ? sitePath(file) : undefined;
      // Code and results are part of a checkout, not of the site. Their names stay readable as text.
      if (to === undefined)
        token.attrs = [
          ["class", "file-of-checkout"],
          ["title", file],
        ];
      else token.attrSet("href", hash === undefined ? to : `${to}#${hash}`);
      // The site's own router would look for a page.
      if (isData) token.attrSet("target", "_self");
    }
  });
}

/** Double braces are text in our pages. The generator would evaluate them as expressions. */
function withoutExpressions(md: MarkdownRenderer): void {
  const escaped = (content: string) => md.utils.escapeHtml(content).replaceAll("{{", "&#123;&#123;");
  md.renderer.rules["text"] = (tokens, index) => escaped(tokens[index]?.content ?? "");
  md.renderer.rules["code_inline"] = (tokens, index) =>
    `<code v-pre>${md.utils.escapeHtml(tokens[index]?.content ?? "")}</code>`;
}

/** The first heading of a page. */
function titleOf(file: string): string {
  return /^# (.+)$/m.exec(readFileSync(join(root, file), "utf8"))?.[1]?.replaceAll("`", "") ?? file;
}

/** The pages of a folder, in the order of `first`, and then by title. */
function pagesOf(folder: string, first: readonly string[] = []): DefaultTheme.SidebarItem[] {
  const names = readdirSync(join(root, folder)).filter((name) => name.endsWith(".md") && !name.startsWith("README"));
  const rank = (name: string) => (first.includes(name) ? first.indexOf(name) : first.length);
  return names
    .map((name) => ({
      name,
      text: titleOf(`${folder}/${name}`),
      link: sitePath(`${folder}/${name}`).replace(/\.md$/, ""),
    }))
    .sort((one, other) => rank(one.name) - rank(other.name) || one.text.localeCompare(other.text))
    .map(({ text, link }) => ({ text, link }));
}

const GUIDES_FIRST = [
  "discovery.md",
  "health-checks.md",
  "agent.md",
  "config.md",
  "gateway.md",
  "console.md",
  "cli.md",
];

const sidebar: DefaultTheme.SidebarItem[] = [
  {
    text: "posthouse",
    items: [
      { text: "Quick start", link: "/" },
      { text: "Glossary", link: "/glossary" },
    ],
  },
  { text: "Guides", items: [{ text: "All guides", link: "/guides/" }, ...pagesOf("docs/guides", GUIDES_FIRST)] },
  { text: "Reference", items: pagesOf("docs/reference") },
  {
    text: "Project",
    collapsed: true,
    items: [
      { text: "Architecture", link: "/ARCHITECTURE" },
      { text: "Decisions", link: "/adr/README" },
      { text: "Invariants", link: "/invariants" },
      { text: "Track record", link: "/track-record" },
      { text: "Security", link: "/SECURITY" },
      { text: "Threat model", link: "/threat-model" },
      { text: "Contributing", link: "/CONTRIBUTING" },
      { text: "Changelog", link: "/CHANGELOG" },
    ],
  },
];

/** Splits texts into words for the search. Chinese has no spaces between words. It runs in the browser, so it uses nothing from here. */
function searchWords(text: string): string[] {
  const words = [...new Intl.Segmenter("zh", { granularity: "word" }).segment(text)];
  return words.filter(({ isWordLike }) => isWordLike).map(({ segment }) => segment.toLowerCase());
}

/**
 * One index for both languages: most pages exist in English only, and the generator takes the language from the path in the repository,
 * so it has no index for Chinese.
 */
const sharedSearch = {
  name: "posthouse:shared-search",
  transform: (code: string, id: string) =>
    id === "/@localSearchIndex" ? code.replace(/"root": (\(\) => import\([^)]*\))/, '$&,"zh": $1') : undefined,
};

const SEARCH_IN_CHINESE = {
  button: { buttonText: "搜索", buttonAriaLabel: "搜索文档" },
  modal: {
    displayDetails: "显示详情",
    resetButtonTitle: "清除",
    backButtonTitle: "关闭",
    noResultsText: "没有找到：",
    footer: { selectText: "选择", navigateText: "切换", closeText: "关闭" },
  },
};

export default defineConfig({
  title: "posthouse",
  description: "A microservice control plane in one program: registry, config server, gateway and agent.",
  srcDir: root,
  outDir: join(root, "dist-docs"),
  cacheDir: join(root, "node_modules", ".cache", "vitepress"),
  srcExclude: readdirSync(root, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory()
      ? entry.name === "docs"
        ? []
        : [`${entry.name}/**`]
      : ROOT_PAGES.includes(entry.name)
        ? []
        : [entry.name],
  ),
  rewrites: REWRITES as Record<string, string>,
  cleanUrls: true,
  buildEnd({ outDir }) {
    const folder = join(outDir, sitePath(REFERENCE));
    mkdirSync(folder, { recursive: true });
    for (const name of DATA_FILES) copyFileSync(join(root, REFERENCE, name), join(folder, name));
  },
  // Their tables are wide and need the place of the outline.
  transformPageData(page) {
    if (["reference/settings.md", "reference/metrics.md"].includes(page.relativePath))
      page.frontmatter["aside"] = false;
  },
  head: [["link", { rel: "icon", href: "/icon.svg", type: "image/svg+xml" }]],
  vite: { publicDir: join(root, "console", "public"), logLevel: "warn", plugins: [sharedSearch] },
  markdown: {
    languageAlias: { zone: "ini" },
    config: (md) => {
      relinked(md);
      withoutExpressions(md);
    },
  },
  locales: {
    root: { label: "English", lang: "en", themeConfig: { sidebar } },
    zh: {
      label: "中文",
      lang: "zh-CN",
      title: "posthouse 驿站",
      description: "一个程序就是一套完整的微服务控制面：注册中心、配置中心、网关与 Agent。",
      themeConfig: {
        sidebar: [
          {
            text: "posthouse 驿站",
            items: [
              { text: "快速开始", link: "/zh/" },
              { text: "指南总览", link: "/zh/guides/" },
            ],
          },
          { text: "指南（英文）", items: pagesOf("docs/guides", GUIDES_FIRST) },
          { text: "参考（英文）", items: pagesOf("docs/reference") },
        ],
        nav: [
          { text: "指南", link: "/zh/guides/" },
          { text: "配置项", link: "/reference/settings" },
          { text: "错误码", link: "/reference/errors" },
        ],
        outline: { label: "本页内容", level: [2, 3] },
        docFooter: { prev: "上一页", next: "下一页" },
        darkModeSwitchLabel: "主题",
        sidebarMenuLabel: "目录",
        returnToTopLabel: "回到顶部",
        langMenuLabel: "语言",
      },
    },
  },
  themeConfig: {
    logo: "/icon.svg",
    // Only the overviews exist in both languages, so the menu leads to the first page of a language.
    i18nRouting: false,
    nav: [
      { text: "Guides", link: "/guides/" },
      { text: "Settings", link: "/reference/settings" },
      { text: "Errors", link: "/reference/errors" },
    ],
    outline: { level: [2, 3] },
    search: {
      provider: "local",
      options: {
        miniSearch: { options: { tokenize: searchWords } },
        locales: { zh: { translations: SEARCH_IN_CHINESE } },
      },
    },
  },
});
