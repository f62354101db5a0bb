/** Locks: a list by namespace, and one lock with its holder and queue. */
import { useRoute } from "preact-iso";
import { LockView } from "./detail.tsx";
import { LockListView } from "./list.tsx";
import "./locks.css";

export default function LocksPage() {
  const { name } = useRoute().params;
  return name === undefined ? <LockListView /> : <LockView key={name} name={name} />;
}
