/** The default theme in the colors of the console. */
import DefaultTheme from "vitepress/theme-without-fonts";
import "./posthouse.css";

export default DefaultTheme;
