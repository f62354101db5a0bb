/** Headings of the help, in its order. */
export const RUN = "Run";
export const LOOK = "Look";
export const CHANGE = "Change";
export const COMMANDS = "Run your own command";
export const MORE = "More";
