/** Codes for wrong use of a command, and for failures of the command itself. Wrong settings have the codes of their own area. */
import { defineErrors } from "#base";

export const CliErrors = defineErrors("CLI", {
  ARGUMENT_INVALID: { status: 400, title: "Argument not valid" },
  FILE_UNREADABLE: { status: 400, title: "File not readable" },
  FILE_UNWRITABLE: { status: 500, title: "File not written" },
  EXPORT_INVALID: { status: 400, title: "Export not readable" },
  FOLDER_NOT_EMPTY: { status: 400, title: "Folder has other content" },
  CONFIRMATION_MISSING: { status: 400, title: "Confirmation required" },
  EDITOR_FAILED: { status: 500, title: "Editor failed" },
  TIMEOUT: { status: 504, title: "Not in time" },
  NOT_FOUND: { status: 404, title: "Not found" },
  CONFLICT: { status: 409, title: "Changed since it was read" },
  CONTEXT_NOT_FOUND: { status: 404, title: "Context not found" },
  CONTEXTS_INVALID: { status: 400, title: "File of contexts not valid" },
  CONTEXTS_EXPOSED: { status: 400, title: "File of contexts readable by others" },
  TOKEN_MISSING: { status: 401, title: "Token required" },
  AGENT_AWAY: { status: 503, title: "No agent answers" },
  RESOURCE_INVALID: { status: 400, title: "Resource not valid" },
  APPLY_INCOMPLETE: { status: 500, title: "Not every resource was applied" },
});
