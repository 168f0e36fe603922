"use strict";
/* The check of an answer in a lab's panel: as `Lab.check`, by training the repaired config. */

Object.assign(course.trainer, (() => {
  const { element, fill } = course.dom;
  const { judge, contradicted, hint } = course.judgement;
  const { button, progressOf } = course.trainer;
  const DIGITS = 12; // of a fingerprint that is shown

  /** The form, where its verdict goes, its field, and whether it is training. */
  const answerForm = (about, reader, id, bench) => {
    const { texts, lab } = about;
    const input = element("input", {
      id: `${id}-answer`, type: "text", autocomplete: "off", spellcheck: "false", placeholder: texts.placeholder,
    });
    const check = button(texts.check, "submit");
    const place = element("div", { class: "trainer-verdict", role: "status" });
    const made = element("form", { class: "trainer-answer", novalidate: "" },
      element("label", { for: input.id }, texts.answer), input, check);
    const show = (found, line, sentence) => {
      place.className = `trainer-verdict trainer-${found ? "good" : "bad"}`;
      place.replaceChildren(element("code", {}, `${found ? "✓" : "✗"} ${line}`), element("p", {}, sentence));
      bench?.answered(found);
    };
    const say = (found, judgement, evidence, sentence) => {
      const values = { key: judgement.key };
      for (const side of ["typed", "healthy", "broken"]) {
        values[side] = reader.asTyped(judgement.key, judgement[side]);
      }
      show(found, `${judgement.text}   ${evidence(values)}`, fill(texts[sentence], values));
    };

    let hold;
    const prove = (judgement) => {
      const { steps } = judgement.repaired;
      // What is recorded on the way changes nothing of the result, and takes time.
      const config = { ...judgement.repaired, eval_interval: steps };
      const progress = progressOf(about, texts.checking);
      let last;
      place.className = "trainer-verdict";
      const own = (hold = course.runs.train({ config, encoded: reader.encoded(config), code: about.code }, (news) => {
        last = news;
        if (news.state === "refused") place.replaceChildren(fill(texts[news.reason], news));
        else if (news.state === "finished") {
          const [healthy] = lab.ends.healthy;
          const hash = news.result.fingerprint;
          const found = hash === healthy;
          const [left, right] = [hash, healthy].map((one) => one.slice(0, DIGITS));
          say(found, judgement, () => `${left} ${found ? "=" : "≠"} ${right}`,
            found ? "fixed" : hint(judgement, about.near));
        } else progress.show(news);
      }));
      const stop = button(texts.stop, "button", () => {
        own.stop();
        place.replaceChildren(texts.stopped_check);
      });
      if (last?.state === "refused") return;
      const which = element("code", {}, judgement.text);
      place.replaceChildren(element("p", {}, which, " ", texts.checking), progress.box, stop);
    };

    made.addEventListener("submit", (event) => {
      event.preventDefault();
      hold?.stop(); // of an earlier answer
      input.removeAttribute("aria-invalid");
      place.replaceChildren();
      try {
        const ofCase = about.bench?.hunks && course.trainer.judgeCase(about, input.value);
        if (ofCase) {
          show(...ofCase);
          return;
        }
        const judgement = judge(reader, input.value, lab.config, about.config);
        const reason = contradicted(judgement);
        if (reason === "same") {
          say(false, judgement, (v) => `${lab.control} ${v.healthy} = ${lab.broken} ${v.broken}`, reason);
        } else if (reason) {
          say(false, judgement, (v) => `${lab.broken} ${v.broken} = ${v.typed}`, reason);
        } else prove(judgement);
      } catch (error) {
        if (!(error instanceof course.config.Problem)) throw error;
        place.className = "trainer-verdict trainer-bad";
        place.replaceChildren(error.message);
        input.setAttribute("aria-invalid", "true");
      }
    });
    // A verdict is about the answer that was checked, not about what is typed since.
    input.addEventListener("input", () => place.classList.add("trainer-stale"));
    const choose = (answer) => {
      input.value = answer;
      input.dispatchEvent(new Event("input", { bubbles: true }));
      input.focus();
    };
    if (about.bench?.hunks) {
      made.append(button(texts.nothing, "button", () => {
        choose("nothing");
        made.requestSubmit();
      }));
    }
    return { boxes: [made, place], input, choose, busy: () => hold?.going() };
  };

  return { answerForm };
})());
