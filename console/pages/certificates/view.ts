/** What each view of the page receives. */
import type { AuthorityView } from "#identity/api";

export interface CertificatesViewProps {
  readonly authority: AuthorityView;
  readonly onChange: () => Promise<void>;
}
