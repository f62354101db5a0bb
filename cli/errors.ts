/** What is wrong with how a command was called, in codes. A wrong setting has a code of its own area. */
import { defineErrors } from "#base";

export const CliErrors = defineErrors("CLI", {
  ARGUMENT_INVALID: { status: 400, title: "Argument not valid" },
  FILE_UNREADABLE: { status: 400, title: "File not readable" },
  FOLDER_NOT_EMPTY: { status: 400, title: "Folder holds something else" },
});
