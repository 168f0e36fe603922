"use strict";
/* Ours: tells require.js where the widgets' files lie, whatever the page's folder is. */
requirejs.config({
  paths: {
    "@jupyter-widgets/html-manager/dist": new URL("../html-manager", document.currentScript.src).href,
  },
});
