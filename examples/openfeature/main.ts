/** Feature flags through the OpenFeature SDK, evaluated in this process. */
import { OpenFeature, ProviderEvents } from "@openfeature/server-sdk";
import { PosthouseProvider } from "posthouse/openfeature";

const provider = new PosthouseProvider({
  url: process.env["POSTHOUSE_CONTROL_URLS"] ?? "http://127.0.0.1:8500",
  token: () => process.env["POSTHOUSE_TOKEN"],
  app: "shop",
});
await OpenFeature.setProviderAndWait(provider);
const flags = OpenFeature.getClient();

const show = async () => {
  const isNew = await flags.getBooleanValue("new-checkout", false, { targetingKey: "user-1" });
  console.log(`new-checkout is ${isNew ? "on" : "off"}`);
};
OpenFeature.addHandler(ProviderEvents.ConfigurationChanged, () => void show());
await show();
process.once("SIGTERM", () => void OpenFeature.close());
