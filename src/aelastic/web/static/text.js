// How things are written for people. What ranks have written is only ever shown as text.

// Escape sequences, which end with their line at the latest, control characters, and what turns the text around.
const NOISE = new RegExp(
  "\\x1b\\[[0-?]*[ -/]*[@-~]" + "|\\x1b[\\]PX^_][^\\x07\\x1b\\n]*(?:\\x07|\\x1b\\\\)?" + "|\\x1b[ -/]*[0-~]" +
  "|[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]", "g");

export const clean = (text) => text.replace(NOISE, "");

export function duration(seconds) {
  const all = Math.max(0, Math.floor(seconds)), two = (n) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

export function size(bytes) {
  for (const unit of ["B", "K", "M"]) {
    if (bytes < 1000) return `${Math.round(bytes)}${unit}`;
    bytes /= 1024;
  }
  return `${bytes.toFixed(1)}G`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
let lastSecond = 0, lastClock = "";

export function clock(time) {
  const second = Math.floor(time);
  if (second !== lastSecond) [lastSecond, lastClock] = [second, CLOCK.format(second * 1000)];
  return lastClock;
}

export const count = (number) => number.toLocaleString("en");

const SIGNALS = { 1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL",
  10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM" };

export const ending = (code) => code < 0 ? SIGNALS[-code] ?? `signal ${-code}` : `exit ${code}`;

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}
