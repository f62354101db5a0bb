/** The sidebar: the table of pages, by group. */
import { useLocation } from "preact-iso";
import { Icon } from "../components/icon.tsx";
import { linkTo } from "../data/location.ts";
import { can } from "../data/session.ts";
import type { PageGroup, PageRow } from "../pages/page.ts";
import { PAGES } from "../pages/mod.ts";
import { shellText } from "../text/shell.ts";
import { AccountMenu } from "./account-menu.tsx";

const GROUPS: readonly PageGroup[] = ["observe", "change", "administer"];

interface SidebarProps {
  readonly isOpen: boolean;
  readonly onClose: () => void;
}

export function Sidebar({ isOpen, onClose }: SidebarProps) {
  const text = shellText();
  const { path } = useLocation();
  const current = path.replace(/^\/ui\/?/, "").split("/")[0] ?? "";
  const visible = PAGES.filter(({ group, needs }) => group !== undefined && (needs === undefined || can(needs)));
  return (
    <>
      <aside class="sidebar" data-open={isOpen}>
        <a class="brand" href={linkTo("/")} aria-label="posthouse">
          <img src="/ui/icon.svg" alt="" />
          <span class="word">posthouse</span>
        </a>
        <nav aria-label={text.navigation} onClick={onClose}>
          {GROUPS.filter((group) => visible.some((page) => page.group === group)).map((group) => (
            <div key={group} role="group" aria-label={text[`group_${group}`]}>
              {group !== "observe" && <div class="nav-group">{text[`group_${group}`]}</div>}
              {visible
                .filter((page) => page.group === group)
                .map((page) => (
                  <SidebarLink key={page.id} page={page} isCurrent={page.id === current} />
                ))}
            </div>
          ))}
        </nav>
        <div class="sidebar-end">
          <AccountMenu />
        </div>
      </aside>
      {isOpen && <button type="button" class="scrim" aria-label={text.menu} onClick={onClose} />}
    </>
  );
}

function SidebarLink({ page, isCurrent }: { readonly page: PageRow; readonly isCurrent: boolean }) {
  return (
    <a class="nav-link" href={linkTo(`/${page.id}`)} title={page.title()} aria-current={isCurrent ? "page" : undefined}>
      <Icon of={page.icon} />
      <span class="word">{page.title()}</span>
    </a>
  );
}
