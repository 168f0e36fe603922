"use strict";
/* The two forms of a panel: a field for each leaf that a page allows, or, in a lab, lines of key=value.

     const form = course.trainer.fields(about, reader, id);
     form.box;              its element
     form.read(source);     what was changed, as typed values; throws a Problem that names `source`
     form.fillIn(values);   values as a reader types them; the others as in the panel's config
     form.typed();          what stands there, for `form.restore`
     form.blame(text);      mark the field that a problem is about */

Object.assign(course.trainer, (() => {
  const { element, fill } = course.dom;

  /** One field for each leaf that may be changed. */
  const fields = (about, reader, id) => {
    const box = element("div", { class: "trainer-fields" });
    const inputs = {};
    for (const key of about.leaves) {
      const rule = about.rules[key];
      const choices = rule.type === "bool" ? ["true", "false"] : rule.choices;
      const options = (choices || []).map((one) => element("option", { value: one }, one));
      const input = choices
        ? element("select", {}, ...options)
        : element("input", {
            type: "text", autocomplete: "off", spellcheck: "false",
            inputmode: ["int", "float"].includes(rule.type) ? "decimal" : null,
          });
      input.id = `${id}-${key}`;
      input.value = reader.asTyped(key, about.config[key]);
      inputs[key] = input;
      box.append(element("div", {}, element("label", { for: input.id }, element("code", {}, key)), input));
    }
    const read = (source) => {
      const changes = {};
      for (const [key, input] of Object.entries(inputs)) {
        input.removeAttribute("aria-invalid");
        const typed = reader.parse(input.value, `${source}: ${key}`);
        if (reader.asTyped(key, about.config[key]) !== input.value.trim()) changes[key] = typed;
      }
      return changes;
    };
    const fillIn = (values) => {
      for (const [key, input] of Object.entries(inputs)) {
        input.value = values[key] ?? reader.asTyped(key, about.config[key]);
      }
    };
    const blame = (text) => {
      const key = Object.keys(inputs).find((name) => text.includes(`${name}:`) || text.includes(`${name}.`));
      inputs[key]?.setAttribute("aria-invalid", "true");
      inputs[key]?.focus();
    };
    const typed = () => Object.fromEntries(Object.entries(inputs).map(([key, input]) => [key, input.value]));
    return { box, read, fillIn, blame, typed, restore: fillIn };
  };

  /** A lab's form: any leaf, one `key=value` a line, as in JupyterLab. */
  const lines = (about, reader, id) => {
    const { texts, messages } = about;
    const area = element("textarea", {
      id: `${id}-changes`, rows: 3, spellcheck: "false", autocomplete: "off",
      placeholder: "optimizer.learning_rate=0.003\nschedule.warmup_steps=50",
    });
    const label = element("label", { for: area.id }, texts.changes);
    const read = (source) => {
      const changes = {};
      area.removeAttribute("aria-invalid");
      for (const line of area.value.split("\n").filter((one) => one.trim())) {
        const [shortKey, typed] = reader.assignment(line, source);
        const key = reader.fullKey(shortKey);
        if (key in changes) {
          throw new course.config.Problem(fill(messages.field, { source, field: key, reason: messages.twice }));
        }
        reader.checkLeaf(key, typed, source);
        changes[key] = typed;
      }
      return changes;
    };
    const fillIn = (values) => {
      area.value = Object.entries(values).map(([key, value]) => `${key}=${value}`).join("\n");
    };
    const blame = () => {
      area.setAttribute("aria-invalid", "true");
      area.focus();
    };
    const restore = (text) => {
      area.value = text;
    };
    const box = element("div", { class: "trainer-fields" }, label, area);
    return { box, read, fillIn, blame, typed: () => area.value, restore };
  };

  return { fields, lines };
})());
