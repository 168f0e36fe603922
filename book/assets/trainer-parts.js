"use strict";
/* What the panels of {trainer} are made of: buttons, a progress line, a list that the browser keeps. */
window.course = window.course || {};

window.course.trainer = (() => {
  const { element, fill } = course.dom;

  const button = (text, type, pressed) => {
    const made = element("button", { type, class: "trainer-button" }, text);
    if (pressed) made.addEventListener("click", pressed);
    return made;
  };

  /** "about 10 s", as `notice.duration`. */
  const duration = (seconds, messages) =>
    seconds < 90
      ? fill(messages.about_seconds, { seconds: Math.max(1, Math.round(seconds / 5)) * 5 })
      : fill(messages.about_minutes, { minutes: Math.round(seconds / 60) });

  /** A list in the browser's storage; a browser that has none keeps nothing. */
  const storage = (key) => ({
    read: () => {
      try {
        const found = JSON.parse(localStorage.getItem(key) || "[]");
        return Array.isArray(found) ? found : [];
      } catch {
        return [];
      }
    },
    /** Whether it is kept. */
    write: (list) => {
      try {
        if (list.length) localStorage.setItem(key, JSON.stringify(list));
        else localStorage.removeItem(key);
        return true;
      } catch {
        return false;
      }
    },
  });

  /** A run's line while it trains: how far it is, and the buttons that hold it. */
  const progressOf = (about, name) => {
    const { texts, messages } = about;
    const bar = element("progress", { max: 1, value: 0, "aria-label": name });
    const text = element("span", { class: "trainer-progress" });
    const box = element("div", { class: "trainer-running" }, bar, text);
    const show = (news) => {
      bar.value = news.step / news.steps;
      const rate = news.rate.toFixed(news.rate < 10 ? 1 : 0);
      if (news.state === "paused") text.textContent = fill(texts.paused, news);
      else if (!news.rate) text.textContent = news.state === "waiting" ? texts.waiting : texts.preparing;
      else if (news.secondsLeft === null) text.textContent = fill(texts.step, news);
      else {
        const left = duration(news.secondsLeft, messages);
        text.textContent = fill(texts.running, { ...news, rate, left });
      }
    };
    return { box, show };
  };

  const holdButtons = (about, name, held) => {
    const { texts } = about;
    let paused = false;
    const named = (made, action) => made.setAttribute("aria-label", fill(texts.of_run, { action, run: name }));
    const pause = button(texts.pause, "button", () => {
      paused = !paused;
      pause.textContent = paused ? texts.resume : texts.pause;
      named(pause, pause.textContent);
      held()[paused ? "pause" : "resume"]();
    });
    const stop = button(texts.stop, "button", () => held().stop());
    named(pause, texts.pause);
    named(stop, texts.stop);
    return [pause, stop];
  };

  return { button, storage, progressOf, holdButtons };
})();
