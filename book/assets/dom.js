"use strict";
/* What every live panel needs: making elements, filling in sentences. */
window.course = window.course || {};

window.course.dom = {
  /** An element with attributes and children; an attribute that is null or false is left out. */
  element: (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== false) made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  },

  /** A sentence with what its braces stand for. */
  fill: (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]),

  /** Whether a text is a number with a comma, where a point is wanted; as `messages.no_number`. */
  decimalComma: (text) => /^[-+]?\d*,\d+$/.test(text.trim()),

  /** A text without its middle, if it is long; as `messages.shortened`. */
  shortened: (text) => (text.length > 80 ? `${text.slice(0, 38)}...${text.slice(-38)}` : text),
};
