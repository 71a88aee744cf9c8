// The last lines, of which only those in sight are in the document.
import { clean, clock, element } from "./text.js";

const MOST = 5000, HEIGHT = 18, MARGIN = 10;

export class Log {
  constructor(place) {
    this.place = place;
    this.space = element("div", { className: "space" });
    this.rows = element("div", { className: "lines" });
    place.append(this.space, this.rows);
    this.lines = [];
    this.shown = [];
    this.needle = "";
    this.stream = 0;
    this.following = true;
    this.paused = false;
    this.due = false;
    this.top = 0;
    place.addEventListener("scroll", () => {
      // A place that has moved up was moved by a person; one that grows is moved by us.
      const end = place.scrollHeight - place.clientHeight - place.scrollTop < 2 * HEIGHT;
      if (end) this.following = true;
      else if (place.scrollTop < this.top - 1) this.following = false;
      this.top = place.scrollTop;
      this.draw();
    }, { passive: true });
    new ResizeObserver(() => this.draw()).observe(place);
  }

  add(lines) {
    for (const line of lines) line.text = clean(line.text);
    this.lines.push(...lines);
    if (this.lines.length > MOST) this.lines.splice(0, this.lines.length - MOST);
    if (this.paused) return;
    this.shown.push(...lines.filter((line) => this.wants(line)));
    const over = this.shown.length - MOST;
    if (over > 0) {
      this.shown.splice(0, over);
      if (!this.following) this.place.scrollTop = this.top = Math.max(0, this.top - over * HEIGHT);
    }
    this.draw();
  }

  clear() {
    this.lines = [];
    this.filter();
  }

  pause(paused) {
    this.paused = paused;
    if (!paused) this.filter();
  }

  look(needle, stream) {
    [this.needle, this.stream] = [needle.toLowerCase(), stream];
    this.filter();
  }

  filter() {
    this.shown = this.lines.filter((line) => this.wants(line));
    this.following = true;
    this.draw();
  }

  wants(line) {
    if (line.note) return !this.needle;
    return (!this.stream || line.stream === this.stream) && (!this.needle || line.text.toLowerCase().includes(this.needle));
  }

  draw() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      const height = `${this.shown.length * HEIGHT}px`;
      if (this.space.style.height !== height) this.space.style.height = height;
      if (this.following) this.place.scrollTop = this.top = this.place.scrollHeight;
      const first = Math.max(0, Math.floor(this.place.scrollTop / HEIGHT) - MARGIN);
      const room = Math.ceil(this.place.clientHeight / HEIGHT) + 2 * MARGIN;
      this.rows.style.transform = `translateY(${first * HEIGHT}px)`;
      this.rows.replaceChildren(...this.shown.slice(first, first + room).map((line) => this.row(line)));
    });
  }

  row(line) {
    const what = element("span", { className: "what" });
    if (this.needle) this.mark(what, line.text);
    else what.textContent = line.text;
    const row = element("div", { className: `row${line.stream === 2 ? " err" : ""}${line.note ? " note" : ""}` });
    const who = element("span", { className: "who", textContent: line.note ? "" : String(line.rank) });
    if (!line.note) who.style.setProperty("--hue", String((line.rank * 67 + 210) % 360));
    row.append(element("span", { className: "at", textContent: clock(line.time) }), who, what);
    return row;
  }

  mark(what, text) {
    const lower = text.toLowerCase();
    let from = 0;
    for (let at = lower.indexOf(this.needle); at >= 0 && lower.length === text.length; at = lower.indexOf(this.needle, from)) {
      what.append(text.slice(from, at), element("mark", { textContent: text.slice(at, at + this.needle.length) }));
      from = at + this.needle.length;
    }
    what.append(text.slice(from));
  }
}
