/** The properties of each view of the page. */
import type { AuthorityView } from "#identity/api";

export interface CertificatesViewProps {
  readonly authority: AuthorityView;
  readonly onChange: () => Promise<void>;
}
