/** The pages of services: the list, and one service. */
import { useRoute } from "preact-iso";
import { ServiceListView } from "./list.tsx";
import { ServiceDetail } from "./detail.tsx";
import "./services.css";

export default function ServicesPage() {
  const service = useRoute().params["service"];
  return service === undefined ? <ServiceListView /> : <ServiceDetail key={service} service={service} />;
}
