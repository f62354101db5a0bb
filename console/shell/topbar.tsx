/** The top bar: search, namespace, time range, and whether the page is live. */
import { Menu as MenuIcon, Radio, RefreshCw, Search } from "lucide";
import { Badge } from "../components/badge.tsx";
import { Button } from "../components/button.tsx";
import { Segmented } from "../components/field.tsx";
import { Icon } from "../components/icon.tsx";
import { feedState, lastLiveAt } from "../data/feed.ts";
import { useRange } from "../data/location.ts";
import { formatClock } from "../data/time.ts";
import { commonText } from "../text/common.ts";
import { shellText } from "../text/shell.ts";
import { NamespaceChoice } from "./namespace.tsx";

const RANGES = ["1", "6", "24"] as const;

interface TopbarProps {
  readonly onMenu: () => void;
  readonly onSearch: () => void;
}

export function Topbar({ onMenu, onSearch }: TopbarProps) {
  const text = shellText();
  const [range, setRange] = useRange();
  return (
    <header class="topbar">
      <span class="menu-button">
        <Button kind="quiet" icon={MenuIcon} label={text.menu} onClick={onMenu} />
      </span>
      <button type="button" class="search-button" onClick={onSearch}>
        <Icon of={Search} size={14} />
        <span class="truncate">{text.searchHint}</span>
        <kbd>{/Mac|iPhone|iPad/.test(navigator.userAgent) ? "⌘K" : "Ctrl K"}</kbd>
      </button>
      <span class="spring" />
      <span class="wide">
        <FeedBadge />
      </span>
      <NamespaceChoice />
      <span class="wide">
        <Segmented
          label={text.range}
          value={String(range) as (typeof RANGES)[number]}
          options={RANGES.map((hours) => [hours, text.hours(Number(hours))] as const)}
          onChange={(hours) => setRange(Number(hours))}
        />
      </span>
    </header>
  );
}

function FeedBadge() {
  const text = commonText();
  const state = feedState.value;
  if (state === "live")
    return (
      <Badge tone="good" icon={Radio}>
        {text.live}
      </Badge>
    );
  return (
    <Badge tone={state === "offline" ? "warn" : "idle"} icon={RefreshCw}>
      {text.connecting}
    </Badge>
  );
}

/** Says that the page may be old while the server cannot be reached. */
export function OfflineBanner() {
  if (feedState.value !== "offline") return null;
  return (
    <div class="banner" role="status">
      {commonText().offline(formatClock(lastLiveAt.value))}
    </div>
  );
}
