/** The entry of the console. */
// First, since it declares the order of the layers of all styles.
import "./design/mod.css";
import { effect } from "@preact/signals";
import { render } from "preact";
import { App } from "./app.tsx";
import { loadSession } from "./data/session.ts";
import { locale } from "./text/mod.ts";
import "./shell/theme.ts";

effect(() => {
  document.documentElement.lang = locale.value;
});

const root = document.querySelector("#app");
if (!root) throw new Error("index.html has no #app");
render(<App />, root);
await loadSession();
