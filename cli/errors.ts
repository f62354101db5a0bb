/** Codes for wrong use of a command. Wrong settings have the codes of their own area. */
import { defineErrors } from "#base";

export const CliErrors = defineErrors("CLI", {
  ARGUMENT_INVALID: { status: 400, title: "Argument not valid" },
  FILE_UNREADABLE: { status: 400, title: "File not readable" },
  FOLDER_NOT_EMPTY: { status: 400, title: "Folder has other content" },
});
